# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel tests on other kernels: Debian's, in virtual machines without KVM.

``python -m tests.vm`` boots each with an initramfs made of this machine's own files.
"""

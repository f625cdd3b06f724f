# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries planned actions out through the kernel layer, in order, undoing where it can."""

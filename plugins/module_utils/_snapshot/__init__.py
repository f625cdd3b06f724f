# SPDX-License-Identifier: GPL-3.0-or-later
"""The file format of a saved conntrack table: bytes and streams, no system call."""

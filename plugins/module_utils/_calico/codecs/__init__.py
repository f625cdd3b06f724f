# SPDX-License-Identifier: GPL-3.0-or-later
"""Calico's map keys and values as plain values, and back; bytes of unknown size are refused."""

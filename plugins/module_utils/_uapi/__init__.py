# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's vocabulary: numbers, names and plain values that every layer shares."""

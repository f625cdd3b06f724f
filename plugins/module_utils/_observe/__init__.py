# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the node's state through the kernel layer into the plain values that planners take."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows only: what the fact sheets say, one value for each fact."""

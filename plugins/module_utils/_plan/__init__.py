# SPDX-License-Identifier: GPL-3.0-or-later
"""Pure functions from what was observed and what is wanted to the actions between them."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark, ``make bench``: the collection against other ways to do the same."""

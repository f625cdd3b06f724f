# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a run: gathered from what roles leave, compared, and shown as a page."""

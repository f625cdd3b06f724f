# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at lab nodes over ssh with the system's own tools, never through the collection."""

# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole node as it is: read only, and whatever cannot be read becomes a warning."""

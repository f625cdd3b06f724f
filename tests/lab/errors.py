# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the command line turns into a sentence."""


class LabError(Exception):
    """Something the user can act on; the text is one whole sentence."""

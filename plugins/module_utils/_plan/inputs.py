# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of parameters that need no look at the node."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from .._errors import BadInputError

MAX_COMPONENT = 240
"""Bytes of a name on a bpffs that leave room for the prefix of a temporary pin (255 in all)."""


def in_range(parameter: str, value: int, low: int, high: int) -> None:
    """Raise BadInputError unless ``low`` <= ``value`` <= ``high``."""
    if not low <= value <= high:
        raise BadInputError(parameter, value, f"is not a whole number from {low} to {high}")


def pin_path(parameter: str, path: str) -> None:
    """Raise BadInputError unless ``path`` can name a pin: absolute, and no dots in its names."""
    if not path.startswith("/"):
        raise BadInputError(parameter, path, "is relative, but a pin needs an absolute path")
    names = PurePosixPath(path).parts[1:]
    if not names or path.endswith("/"):
        raise BadInputError(parameter, path, "names a directory, but a pin is a file")
    for name in names:
        if "." in name:
            raise BadInputError(parameter, path, f"has a dot in {name!r}, which a bpffs refuses")
        if len(name.encode()) > MAX_COMPONENT:
            raise BadInputError(parameter, path, f"has a name longer than {MAX_COMPONENT} bytes")


def directory_path(parameter: str, path: str) -> None:
    """Raise BadInputError unless ``path`` is absolute."""
    if not path.startswith("/"):
        raise BadInputError(parameter, path, "is relative, but has to be an absolute path")


def map_name(parameter: str, name: str) -> None:
    """Raise BadInputError unless the kernel takes ``name`` for a map."""
    if not re.fullmatch(r"[A-Za-z0-9_.]{1,15}", name):
        raise BadInputError(parameter, name, "is not 1 to 15 letters, digits, dots or underscores")


def distinct(parameter: str, path: str, other: str) -> None:
    """Raise BadInputError when a second pin is the same as the map's own."""
    if path == other:
        raise BadInputError(parameter, path, "is the map's own path, and has to be another one")

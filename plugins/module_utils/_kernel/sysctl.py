# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings below /proc/sys, by the names that sysctl(8) gives them.

A dot in a name parts directories, and a slash stands for a dot in a directory's name, as in
``net.ipv4.conf.eth0/100.rp_filter``.
"""

from __future__ import annotations

import os
from pathlib import Path

from .._errors import SyscallError

_ROOT = Path("/proc/sys")
_SWAP = str.maketrans("./", "/.")


def read(name: str) -> str | None:
    """A setting's value; None when there is no such setting or it cannot be read."""
    try:
        return (_ROOT / name.translate(_SWAP)).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def write(name: str, value: str) -> None:
    """Change a setting. Raises SyscallError."""
    try:
        (_ROOT / name.translate(_SWAP)).write_text(value, "ascii")
    except OSError as error:
        number = error.errno or 0
        raise SyscallError("write", number, os.strerror(number), name) from error


def children(name: str) -> tuple[str, ...]:
    """Names of what is below a directory of settings, ready to be part of a name."""
    try:
        return tuple(
            sorted(one.name.translate(_SWAP) for one in (_ROOT / name.translate(_SWAP)).iterdir())
        )
    except OSError:
        return ()

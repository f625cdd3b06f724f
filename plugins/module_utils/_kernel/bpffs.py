# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins on a BPF file system."""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path
from typing import Iterator

from .._errors import RefusedError, SyscallError
from .._uapi.bpf import BPFFS_MAGIC
from . import proc
from .objects import BpfObject, open_pin

OWN_PREFIX = "bpfops_"
"""First letters of every pin that stands only while a pin is replaced."""

PIN_DIRECTORY_MODE = 0o700

_libc = ctypes.CDLL(None, use_errno=True)
_libc.statfs.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
_STATFS_BYTES = 256  # struct statfs has 120 bytes on 64-bit machines


def filesystem_magic(path: str) -> int:
    """f_type of the file system that holds ``path`` (statfs(2)). Raises SyscallError."""
    buffer = ctypes.create_string_buffer(_STATFS_BYTES)
    ctypes.set_errno(0)
    if _libc.statfs(os.fsencode(path), buffer):
        number = ctypes.get_errno()
        raise SyscallError("statfs", number, os.strerror(number), path)
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF


def on_bpffs(path: str) -> bool:
    """Whether ``path``, or its nearest existing parent, is on a bpffs."""
    place = Path(path)
    while not place.exists():
        if place == place.parent:
            return False
        place = place.parent
    return filesystem_magic(str(place)) == BPFFS_MAGIC


def any_mounted() -> bool:
    """Whether a bpffs is mounted anywhere in this mount namespace."""
    lines = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    return any(line.split()[2] == "bpf" for line in lines)


def kind_at(path: str) -> str | None:
    """What is at ``path``: map, program, link, directory or other; None when nothing is.

    Raises SyscallError when a pin cannot be opened.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        return "directory"
    if not stat.S_ISREG(mode) or filesystem_magic(path) != BPFFS_MAGIC:
        return "other"
    with BpfObject(open_pin(path)) as opened:
        return proc.object_kind(opened.fd) or "other"


def walk(top: str) -> Iterator[str]:
    """Paths of all pins below ``top`` in order; directories that vanish meanwhile are passed.

    Names with a dot are the kernel's own preloaded iterators, which nobody else can create.
    """
    for directory, children, names in os.walk(top):
        children.sort()
        for name in sorted(name for name in names if "." not in name):
            yield str(Path(directory, name))


def replace(new: BpfObject, path: str) -> None:
    """Let ``path`` name ``new`` from one instant to the next, whatever was pinned there.

    rename(2) within a bpffs is atomic: no reader ever finds the path missing. A temporary pin
    that an interrupted run left beside it is removed first. Raises SyscallError.
    """
    temporary = str(Path(path).with_name(OWN_PREFIX + Path(path).name))
    Path(temporary).unlink(missing_ok=True)
    new.pin(temporary)
    try:
        Path(temporary).rename(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise SyscallError(
            "rename", error.errno or 0, os.strerror(error.errno or 0), path
        ) from error


def make_directory(path: str) -> None:
    """Create a pin directory and its missing parents, mode 0700. Raises RefusedError."""
    missing = []
    place = Path(path)
    while not place.exists():
        missing.append(place)
        place = place.parent
    for directory in reversed(missing):
        try:
            directory.mkdir(PIN_DIRECTORY_MODE)
        except OSError as error:
            raise RefusedError(f"{directory} cannot be created on the bpffs: {error}.") from error

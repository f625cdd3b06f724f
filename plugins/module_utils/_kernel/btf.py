# SPDX-License-Identifier: GPL-3.0-or-later
"""BPF Type Format: the type id of a kernel function, and what a map's types contain.

Format: Documentation/bpf/btf.rst of the kernel. A type has no stored id: it is its place in the
type section, counted from 1.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from ctypes import c_uint32, c_uint64
from functools import lru_cache
from typing import Callable, Dict, Iterator

from .maps import btf_fd
from .objects import read_info

VMLINUX = "/sys/kernel/btf/vmlinux"
"""BTF of the running kernel, where it was built with CONFIG_DEBUG_INFO_BTF (5.2; file 5.4)."""

WINDOW = 256 << 10
"""Bytes of the file that are in memory at a time; it has 3 to 8 MB."""

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_FUNC = 12
_RECORD_WORDS = 3  # name, info, size or type; 4 bytes each
# What follows a record, in words: for the type, and for each of its vlen members.
_EXTRA = {1: 1, 3: 3, 14: 1, 17: 1}
_MEMBER = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}
_LAST_KIND = 19  # ENUM64, 6.0

_SPECIAL = tuple(
    b"\0" + name + b"\0"
    for name in (
        b"bpf_spin_lock",
        b"bpf_res_spin_lock",
        b"bpf_timer",
        b"bpf_wq",
        b"bpf_task_work",
        b"bpf_list_head",
        b"bpf_list_node",
        b"bpf_rb_root",
        b"bpf_rb_node",
        b"bpf_refcount",
        b"kptr",
        b"kptr_untrusted",
        b"percpu_kptr",
        b"uptr",
    )
)

Read = Callable[[int, int], bytes]
"""Bytes of a file by offset and number, fewer at its end."""


class _RawBtfInfo(ctypes.Structure):
    """The first fields of struct bpf_btf_info (4.18), 16 bytes."""

    _fields_ = [("btf", c_uint64), ("btf_size", c_uint32), ("id", c_uint32)]


class _Steps(Dict[int, int]):
    """Words of a whole type record by its info word; KeyError for a kind that is not known."""

    def __missing__(self, info: int) -> int:
        kind, members = info >> 24 & 0x1F, info & 0xFFFF
        if not 0 < kind <= _LAST_KIND:
            raise KeyError(info)
        self[info] = _RECORD_WORDS + _EXTRA.get(kind, 0) + _MEMBER.get(kind, 0) * members
        return self[info]


@lru_cache(maxsize=None)
def function_id(name: str, path: str = VMLINUX) -> int | None:
    """The type id of the kernel function ``name``; None without BTF, or when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _function_id(_reader(fd), name)
    except (KeyError, struct.error):  # kinds of a later kernel, or not BTF
        return None
    finally:
        os.close(fd)


def may_have_special_fields(btf_id: int) -> bool:
    """Whether loaded BTF names a type that the kernel keeps out of reads and writes of a value.

    Such are locks, timers and kernel pointers (enum btf_field_type). Other maps may share the
    BTF, so True does not mean that a certain value has one. Raises SyscallError.
    """
    blob = loaded(btf_id)
    return any(name in blob for name in _SPECIAL)


def loaded(btf_id: int) -> bytes:
    """The BTF with this id as it was loaded (4.18). Raises SyscallError."""
    fd = btf_fd(btf_id)
    try:
        info = _RawBtfInfo()
        read_info(fd, info)
        buffer = ctypes.create_string_buffer(info.btf_size)
        info = _RawBtfInfo(ctypes.addressof(buffer), info.btf_size)
        read_info(fd, info)
        return buffer.raw
    finally:
        os.close(fd)


def _reader(fd: int) -> Read:
    # Mapped (6.16) it is read six times as fast as by read(2), which gives a page a call.
    try:
        mapped = mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
    except (OSError, ValueError):
        return lambda offset, size: os.pread(fd, size, offset)
    return lambda offset, size: mapped[offset : offset + size]


def _function_id(read: Read, name: str) -> int | None:
    magic, _, _, header, types, types_size, strings, strings_size = _HEADER.unpack(
        read(0, _HEADER.size)
    )
    if magic != _MAGIC:
        return None
    types, strings = header + types, header + strings
    needle = b"\0" + name.encode("ascii") + b"\0"
    for found in _find(read, strings, strings + strings_size, needle):
        for linkage in range(3):  # static, global, extern
            record = struct.pack("<II", found + 1 - strings, _FUNC << 24 | linkage)
            for place in _find(read, types, types + types_size, record):
                count = None if (place - types) % 4 else _count(read, types, place)
                if count is not None:
                    return count + 1
    return None


def _find(read: Read, start: int, end: int, needle: bytes) -> Iterator[int]:
    """Offsets of ``needle`` in a part of the file."""
    while start < end:
        window = read(start, min(WINDOW, end - start))
        place = window.find(needle)
        while place >= 0:
            yield start + place
            place = window.find(needle, place + 1)
        if len(window) < len(needle):
            return
        start += len(window) - (len(needle) - 1)


def _count(read: Read, start: int, end: int) -> int | None:
    """Type records from ``start`` to ``end``; None when no record ends there."""
    steps, count = _Steps(), 0
    while start < end:
        window = read(start, min(WINDOW, end - start))
        words = memoryview(window)[: len(window) // 4 * 4].cast("I")
        place, last = 0, len(words) - 1
        if last < _RECORD_WORDS - 1:
            return None
        while place < last:
            place += steps[words[place + 1]]
            count += 1
        start += place * 4
    return count if start == end else None

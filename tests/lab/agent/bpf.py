# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps, pins, links and small programs by bpf(2), through libbpf 0.7 or later."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .libbpf import LIB, checked
from .map_rows import HASH, LRU_HASH, PERCPU_ARRAY, PERCPU_HASH

SCHED_CLS = 3
BATCH = 4096


class MapSpec(NamedTuple):
    """Parameters of a map to create; sizes in bytes."""

    name: str
    type: int
    key: int
    value: int
    max_entries: int
    flags: int


class MapInfo(NamedTuple):
    """What the kernel says of a map."""

    id: int
    type: int
    key: int
    value: int
    max_entries: int


class MapOpts(ctypes.Structure):
    """First part of struct bpf_map_create_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("btf_and_inner_map", ctypes.c_uint32 * 5),
        ("map_flags", ctypes.c_uint32),
    )


class ProgOpts(ctypes.Structure):
    """First part of struct bpf_prog_load_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_uint32),
    )


def create(spec: MapSpec) -> int:
    """Create a map and return its file descriptor."""
    opts = MapOpts(ctypes.sizeof(MapOpts), map_flags=spec.flags)
    made = LIB.bpf_map_create(
        *(spec.type, spec.name.encode(), spec.key, spec.value, spec.max_entries),
        ctypes.byref(opts),
    )
    return checked(f"creating map {spec.name}", made)


def pin(fd: int, path: Path) -> None:
    """Pin a map, program or link, making the directory."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    checked(f"pinning {path}", LIB.bpf_obj_pin(fd, os.fsencode(path)))


def opened(path: Path) -> int | None:
    """File descriptor of what is pinned, or None without a pin."""
    fd = LIB.bpf_obj_get(os.fsencode(path))
    if fd == -errno.ENOENT:
        return None
    return checked(f"opening {path}", fd)


def info(fd: int) -> MapInfo:
    """Read a map's parameters from its fdinfo."""
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    found = dict(re.findall(r"^(\w+):\t(\d+)$", text, re.MULTILINE))
    names = ("map_id", "map_type", "key_size", "value_size", "max_entries")
    return MapInfo(*(int(found[name]) for name in names))


def program_id(fd: int) -> int:
    """Kernel-wide id of a program."""
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    return int(re.findall(r"^prog_id:\t(\d+)", text, re.MULTILINE)[0])


def update(fd: int, key: bytes, value: bytes) -> None:
    """Write one entry."""
    checked("writing a map entry", LIB.bpf_map_update_elem(fd, key, value, ctypes.c_uint64(0)))


def set_program(fd: int, slot: int, program: int) -> None:
    """Put a program into a slot of a program array."""
    update(fd, struct.pack("<I", slot), struct.pack("<I", program))


def lookup(fd: int, key: bytes) -> bytes | None:
    """Value of a key, or None."""
    value = ctypes.create_string_buffer(_value_size(info(fd)))
    if LIB.bpf_map_lookup_elem(fd, key, value) < 0:
        return None
    return value.raw


def entries(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """Every entry; by batches where the map is a hash."""
    shape = info(fd)
    if shape.type in (HASH, LRU_HASH):
        return _batches(fd, shape)
    return _one_by_one(fd, shape)


def write(fd: int, found: Iterable[tuple[bytes, bytes]]) -> None:
    """Write entries; LibbpfError when the map is full."""
    for key, value in found:
        update(fd, key, value)


def delete(fd: int, key: bytes) -> None:
    """Remove an entry that may be there."""
    LIB.bpf_map_delete_elem(fd, key)


def as_dict(fd: int) -> dict[bytes, bytes]:
    """All entries at one moment, more or less."""
    return dict(entries(fd))


def _one_by_one(fd: int, shape: MapInfo) -> Iterator[tuple[bytes, bytes]]:
    key: bytes | None = None
    following = ctypes.create_string_buffer(shape.key)
    while LIB.bpf_map_get_next_key(fd, key, following) == 0:
        key = following.raw
        value = lookup(fd, key)
        if value is not None:
            yield key, value


def _batches(fd: int, shape: MapInfo) -> Iterator[tuple[bytes, bytes]]:
    keys = ctypes.create_string_buffer(shape.key * BATCH)
    values = ctypes.create_string_buffer(shape.value * BATCH)
    place, following = None, ctypes.create_string_buffer(max(4, shape.key))
    result = 0
    while result == 0:
        count = ctypes.c_uint32(BATCH)
        result = LIB.bpf_map_lookup_batch(
            fd, place, following, keys, values, ctypes.byref(count), None
        )
        if result not in (0, -errno.ENOENT):
            checked("reading a map", result)
        key, value = _parts(keys.raw, shape.key), _parts(values.raw, shape.value)
        yield from ((key(at), value(at)) for at in range(count.value))
        place = ctypes.create_string_buffer(following.raw, len(following.raw))


def _parts(data: bytes, size: int) -> Callable[[int], bytes]:
    return lambda at: data[at * size : (at + 1) * size]


def _value_size(shape: MapInfo) -> int:
    if shape.type in (PERCPU_HASH, PERCPU_ARRAY):
        return -(-shape.value // 8) * 8 * int(LIB.libbpf_num_possible_cpus())
    return shape.value


def load_pass(name: str, expected_attach_type: int = 0) -> int:
    """A SCHED_CLS program that lets packets pass (TC_ACT_UNSPEC)."""
    return _load(name, _code((0xB7, 0, 0, -1), (0x95, 0, 0, 0)), expected_attach_type)


def load_log_filter(programs: int, expected_attach_type: int = 0) -> int:
    """A log filter that no packet matches: it calls the main program that does not log.

    The entry program has left that one's index in cb[0]; without it packets pass.
    """
    code = _code(
        (0x18, 2 | 1 << 4, 0, programs),  # r2 = the program array
        (0, 0, 0, 0),
        (0x61, 3 | 1 << 4, 48, 0),  # r3 = skb->cb[0]
        (0x85, 0, 0, 12),  # bpf_tail_call
        (0xB7, 0, 0, -1),
        (0x95, 0, 0, 0),
    )
    return _load("calico_log_filter", code, expected_attach_type)


def _code(*instructions: tuple[int, int, int, int]) -> bytes:
    """Instructions of opcode, registers, offset and immediate."""
    return b"".join(struct.pack("<BBhi", *one) for one in instructions)


def _load(name: str, code: bytes, expected_attach_type: int) -> int:
    opts = ProgOpts(ctypes.sizeof(ProgOpts), 0, expected_attach_type)
    made = LIB.bpf_prog_load(
        *(SCHED_CLS, name[:15].encode(), b"GPL", code, ctypes.c_size_t(len(code) // 8)),
        ctypes.byref(opts),
    )
    return checked(f"loading {name}", made)


def link(program: int, target: int, attach_type: int) -> int:
    """Attach by a link to an interface index or an open cgroup directory."""
    return checked("attaching by a link", LIB.bpf_link_create(program, target, attach_type, None))


def update_link(fd: int, program: int) -> bool:
    """Put another program behind a link; False when the link is severed."""
    result = LIB.bpf_link_update(fd, program, None)
    if result == -errno.ENOLINK:
        return False
    checked("updating a link", result)
    return True


def attach_flags_0(program: int, cgroup: int, attach_type: int) -> None:
    """Attach the old way, which outlives the process and allows one program."""
    result = LIB.bpf_prog_attach(program, cgroup, attach_type, 0)
    checked("attaching to the cgroup", result)

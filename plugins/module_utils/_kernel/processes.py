# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that share this network namespace, and the BPF maps that they hold open."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Container, Iterator, NamedTuple

_PROC = Path("/proc")
_START = 19  # of the fields of /proc/PID/stat behind the command: starttime, in clock ticks
_SECOND = 1_000_000_000
_MAP = "anon_inode:bpf-map"


class Process(NamedTuple):
    """A process; ``started`` is in ns of CLOCK_BOOTTIME, as the load time of a program."""

    pid: int
    name: str
    arguments: tuple[str, ...]
    started: int


def named(names: Container[str]) -> Iterator[Process]:
    """Processes of this network namespace by name (15 bytes); those that end are passed."""
    here = os.readlink(_PROC / "self/ns/net")
    for place in _PROC.iterdir():
        if not place.name.isdigit():
            continue
        try:
            name = (place / "comm").read_text("utf-8", "replace").rstrip("\n")
            if name in names and os.readlink(place / "ns/net") == here:
                yield _process(place, name)
        except OSError:
            continue


def _process(place: Path, name: str) -> Process:
    arguments = (place / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    stat = (place / "stat").read_text("utf-8", "replace")
    ticks = int(stat.rpartition(")")[2].split()[_START])
    started = ticks * _SECOND // os.sysconf("SC_CLK_TCK")
    return Process(int(place.name), name, tuple(arguments[:-1]), _of_the_kernel(started))


def _of_the_kernel(started: int) -> int:
    """The time without the offset of this time namespace, which newer kernels add to it."""
    offset = _offset()
    future = started > time.clock_gettime_ns(time.CLOCK_BOOTTIME) - offset
    return started - offset if future else started


def _offset() -> int:
    try:
        text = (_PROC / "self/timens_offsets").read_text("ascii")
    except OSError:  # before 5.6
        return 0
    match = re.search(r"^boottime\s+(-?\d+)\s+(\d+)$", text, re.M)
    return int(match[1]) * _SECOND + int(match[2]) if match else 0


def held_maps(pid: int) -> frozenset[int]:
    """Ids of the maps that a process has descriptors of (4.18); none when it is gone."""
    found = set()
    try:
        for entry in (_PROC / str(pid) / "fd").iterdir():
            if _target(entry) == _MAP:
                found.add(_map_id(_PROC / str(pid) / "fdinfo" / entry.name))
    except (FileNotFoundError, ProcessLookupError):
        return frozenset()
    return frozenset(number for number in found if number)


def _target(entry: Path) -> str:
    try:
        return os.readlink(entry)
    except OSError:  # closed meanwhile
        return ""


def _map_id(path: Path) -> int:
    try:
        match = re.search(r"^map_id:\s*(\d+)$", path.read_text("ascii"), re.M)
    except OSError:
        return 0
    return int(match[1]) if match else 0

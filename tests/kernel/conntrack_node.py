# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack maps as felix pins them, and programs that use them, by raw bpf(2) alone.

Layouts and names are those of the fact sheets (maps 1.2, 2.1, 2.2), by numbers of our own.
"""

from __future__ import annotations

import os
import shutil
import struct
import time
from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.modules import conntrack_map
from tests.kernel.node_state import named_map, program
from tests.observe import rawbpf

SECOND = 10**9
HASH, LRU = (1, 1), (9, 0)  # type and flags
V4, V6 = (16, 88), (40, 128)
MAPS = {
    "cali_v4_ct2": (*HASH, 16, 64),
    "cali_v4_ct3": (*HASH, *V4),
    "cali_v4_ct4": (*LRU, *V4),
    "cali_v6_ct3": (*HASH, *V6),
    "cali_v6_ct4": (*LRU, *V6),
}
OPEN = 0b11  # SYN and ACK seen
TCP, UDP = 6, 17
NORMAL, NAT_FWD, NAT_REV = 0, 1, 2


def now() -> int:
    return time.monotonic_ns()


def key(number: int, protocol: int = TCP, size: int = 16) -> bytes:
    return struct.pack("<II", protocol, number).ljust(size, b"\x05")


def value(
    seen: int | None = None,
    first: int = 0,
    kind: int = NORMAL,
    word: int = 0,
    size: int = 88,
    bits: int = OPEN,
) -> bytes:
    """An established flow last seen now, with ``word`` in the seqno of its first leg."""
    raw = bytearray(size)
    struct.pack_into("<QQB", raw, 0, first, now() if seen is None else seen, kind)
    legs = (24, 36) if size == 64 else (24, 48)
    for leg in legs:
        struct.pack_into("<I", raw, leg + (4 if size == 64 else 16), bits)
    struct.pack_into("<I", raw, legs[0] + (0 if size == 64 else 12), word)
    return bytes(raw)


def word_of(raw: bytes) -> int:
    """What ``value`` put in as its word."""
    return int(struct.unpack_from("<I", raw, 36)[0])


class CtNode:
    """A bpffs with Calico's pin directory; close() ends what holds maps in use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.globals = root / "tc" / "globals"
        self.globals.mkdir(parents=True)
        self.own = root / "bpfops"
        self.autoscale = Path(f"/tmp/bpfops_autoscale_{os.getpid()}_{id(self)}")
        self.records = Path(f"/tmp/bpfops_records_{os.getpid()}_{id(self)}")
        self._fds: list[int] = []
        self._programs: dict[int, int] = {}
        self.anchor = self.pin("cali_v4_routes", 11, 1, 8, 8, 1000)

    def pin(self, name: str, kind: int, flags: int, key: int, value: int, entries: int) -> int:
        fd = named_map(name[:15], kind, key, value, entries, flags)
        self._fds.append(fd)
        rawbpf.pin(fd, str(self.globals / name))
        return fd

    def table(self, name: str, entries: int, pinned_as: str = "") -> int:
        """A conntrack map of that name, made and pinned."""
        fd = self.unpinned(name, entries)
        rawbpf.pin(fd, str(self.globals / (pinned_as or name)))
        return fd

    def unpinned(self, name: str, entries: int) -> int:
        kind, flags, key_size, value_size = MAPS[name]
        fd = named_map(name, kind, key_size, value_size, entries, flags)
        self._fds.append(fd)
        return fd

    def use(self, *maps: int, name: str = "cali_tc_preambl") -> int:
        """A loaded program of this node that refers to maps."""
        return self.hold(program(rawbpf.SCHED_CLS, name, [self.anchor, *maps]))

    def hold(self, fd: int) -> int:
        """Keep a descriptor open until ``close`` or ``end``."""
        self._fds.append(fd)
        return fd

    def end(self, fd: int) -> None:
        """Let go of a program or map, and wait until the kernel has done so too."""
        self._fds.remove(fd)
        os.close(fd)
        time.sleep(0.05)

    def path(self, name: str) -> Path:
        return self.globals / name

    def dump(self, path: Path | str) -> dict[bytes, bytes]:
        place = path if isinstance(path, Path) else self.path(path)
        family = V6 if "v6" in place.name else V4
        fd = rawbpf.open_pinned(str(place))
        try:
            return rawbpf.dump(fd, family[0], family[1])
        finally:
            os.close(fd)

    def open(self, path: Path) -> int:
        fd = rawbpf.open_pinned(str(path))
        self._fds.append(fd)
        return fd

    def own_pins(self) -> list[str]:
        return sorted(entry.name for entry in self.own.iterdir()) if self.own.exists() else []

    def pins(self) -> list[str]:
        """Names of conntrack pins and of what does not belong there."""
        found = sorted(entry.name for entry in self.globals.iterdir())
        return [name for name in found if name != "cali_v4_routes"]

    def run(self, check: bool = False, **params: Any) -> Any:
        """The module's work with the defaults of its options."""
        defaults = {name: spec.get("default") for name, spec in conntrack_map.ARGUMENT_SPEC.items()}
        given = {
            "bpffs": str(self.root),
            "autoscale_path": str(self.autoscale),
            "records_dir": str(self.records),
        }
        return conntrack_map.work({**defaults, **given, **params}, check)

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self.autoscale.unlink(missing_ok=True)
        shutil.rmtree(self.records, ignore_errors=True)

    def words(self, name: str) -> dict[bytes, int]:
        """The word of each entry."""
        return {name: word_of(raw) for name, raw in self.dump(name).items()}


def fill(fd: int, count: int, size: tuple[int, int] = V4, **fields: Any) -> dict[bytes, bytes]:
    """Entries of as many flows; the word of each is its number."""
    wanted = {key(n, size=size[0]): value(word=n, size=size[1], **fields) for n in range(count)}
    for name, body in wanted.items():
        rawbpf.put(fd, name, body)
    return wanted

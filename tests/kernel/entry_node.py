# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's conntrack, NAT and route maps, written by the facts' offsets through raw bpf(2)."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.bpfops.calico.plugins.modules import conntrack_entry
from tests.kernel.flows import NAT_FWD, NAT_REV, NORMAL, SECOND, TCP, UDP
from tests.kernel.support import HASH, LPM_TRIE, LRU_HASH, NO_PREALLOC, make
from tests.observe import rawbpf

B_TO_A = 0x100
WILDCARD = {4: "255.255.255.255", 6: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}


class Flow(NamedTuple):
    """An entry to write, by who began it; ``service`` and ``client`` are those of a NAT_REV one."""

    protocol: int
    source: tuple[str, int]
    target: tuple[str, int]
    kind: int = NORMAL
    idle: float = 1
    bits: tuple[int, int] = (0, 0)
    flags: int = 0
    ifindex: int = 0
    service: tuple[str, int] = ("0.0.0.0", 0)
    client: tuple[str, int] | None = None
    word: int = 0


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _rank(end: tuple[str, int]) -> tuple[int, ...]:
    raw = packed(end[0])
    return (*struct.unpack(f"<{len(raw) // 4}I", raw), end[1])


def key_of(protocol: int, source: tuple[str, int], target: tuple[str, int]) -> bytes:
    """The smaller side, in words as a little-endian CPU loads them, comes first."""
    low, high = sorted((source, target), key=_rank)
    ends = packed(low[0]) + packed(high[0])
    return struct.pack("<I", protocol) + ends + struct.pack("<HH", low[1], high[1])


def value_of(flow: Flow, size: int) -> bytes:
    raw = bytearray(size)
    seen = time.monotonic_ns() - int(flow.idle * SECOND)
    struct.pack_into("<QQB", raw, 0, flow.word, seen, flow.kind)
    flags = flow.flags | (B_TO_A if _rank(flow.target) < _rank(flow.source) else 0)
    for place, shift in ((17, 0), (23, 8), (18, 16), (19, 24)):
        raw[place] = flags >> shift & 0xFF
    small = size == 64
    for leg, bits in zip((24, 36) if small else (24, 48), flow.bits, strict=True):
        struct.pack_into("<I", raw, leg + (4 if small else 16), bits)
    struct.pack_into("<I", raw, 24 + (8 if small else 20), flow.ifindex)
    if flow.kind == NAT_REV:
        client = flow.client or flow.source
        places = {64: (48, 52, 54, 60), 88: (76, 80, 82, 84), 128: (88, 104, 106, 108)}[size]
        fields = (packed(flow.service[0]), flow.service[1], client[1], packed(client[0]))
        for place, field in zip(places, fields, strict=True):
            data = field if isinstance(field, bytes) else struct.pack("<H", field)
            raw[place : place + len(data)] = data
    return bytes(raw)


class EntryNode:
    """Pins below ``pins``; the name of the conntrack map says its family and version."""

    def __init__(self, pins: Path, name: str = "cali_v4_ct3", entries: int = 1000) -> None:
        self.pins, self.name = pins, name
        self.family = 6 if "_v6_" in name else 4
        self.sizes = (40, 128) if self.family == 6 else (16, 64 if name.endswith("2") else 88)
        lru = name.endswith("4")
        self.table = self._make(name, LRU_HASH if lru else HASH, entries, *self.sizes, not lru)
        wide = self.family == 6
        self.frontends = self._make(
            f"cali_v{self.family}_nat_fe3", LPM_TRIE, 1000, 40 if wide else 16, 20
        )
        self.backends = self._make(f"cali_v{self.family}_nat_be", HASH, 1000, 8, 20 if wide else 8)
        sizes = (20, 20) if wide else (8, 8)
        self.routes = self._make(f"cali_v{self.family}_routes", LPM_TRIE, 1000, *sizes)

    def _make(
        self, name: str, kind: int, entries: int, key: int, value: int, flag: bool = True
    ) -> int:
        flags = NO_PREALLOC if flag else 0
        return make(self.pins / name, kind, entries, key=key, value=value, flags=flags)

    def put(self, flow: Flow, key: bytes | None = None) -> bytes:
        """Write an entry; its key."""
        key = key or key_of(flow.protocol, flow.source, flow.target)
        rawbpf.put(self.table, key, value_of(flow, self.sizes[1]))
        return key

    def put_raw(self, key: bytes, value: bytes) -> None:
        rawbpf.put(self.table, key, value)

    def delete(self, key: bytes) -> None:
        rawbpf.delete(self.table, key)

    def make_other(self, name: str, key: int, value: int) -> None:
        """A pinned hash map that is of no use here."""
        self._make(name, HASH, 10, key, value)

    def connect(
        self,
        client: tuple[str, int],
        service: tuple[str, int],
        backend: tuple[str, int],
        protocol: int = TCP,
        port: int | None = None,
        **fields: Any,
    ) -> tuple[bytes, bytes]:
        """Both entries of a connection to a Service; the keys of NAT_FWD and NAT_REV.

        ``port`` stands in the NAT_FWD entry's key for the client's.
        """
        reverse = self.put(
            Flow(protocol, client, backend, NAT_REV, service=service, client=client, **fields)
        )
        seen = (client[0], client[1] if port is None else port)
        forward = key_of(protocol, seen, service)
        idle = fields.get("idle", 1)
        raw = bytearray(value_of(Flow(protocol, seen, service, NAT_FWD, idle), self.sizes[1]))
        raw[24 : 24 + len(reverse)] = reverse
        if port is not None:
            struct.pack_into("<H", raw, 24 + len(reverse), client[1])
        rawbpf.put(self.table, forward, bytes(raw))
        return forward, reverse

    def frontend(
        self,
        service: tuple[str, int],
        backends: int = 1,
        flags: int = 0,
        protocol: int = UDP,
        source: str = "",
        number: int = 1,
    ) -> None:
        """A Service's frontend, for all clients or for those of a range."""
        address, _, bits = (source or f"{'::' if self.family == 6 else '0.0.0.0'}/0").partition("/")
        length = (152 if self.family == 6 else 56) + int(bits)
        key = struct.pack("<I", length) + packed(service[0])
        key += struct.pack("<HB", service[1], protocol) + packed(address) + b"\0"
        rawbpf.put(self.frontends, key, struct.pack("<5I", number, backends, 0, 0, flags))

    def backend(self, number: int, ordinal: int, end: tuple[str, int]) -> None:
        value = packed(end[0]) + struct.pack("<HH", end[1], 0)
        rawbpf.put(self.backends, struct.pack("<II", number, ordinal), value)

    def route(self, prefix: str, flags: int) -> None:
        address, _, bits = prefix.partition("/")
        raw = packed(address)
        value = struct.pack("<I", flags) + bytes(len(raw))
        rawbpf.put(self.routes, struct.pack("<I", int(bits)) + raw, value)

    def dump(self) -> dict[bytes, bytes]:
        fd = rawbpf.open_pinned(str(self.pins / self.name))
        try:
            return rawbpf.dump(fd, *self.sizes)
        finally:
            os.close(fd)

    def params(self) -> dict[str, Any]:
        """The defaults of the module's options, for this node."""
        spec = conntrack_entry.ARGUMENT_SPEC
        defaults = {name: one.get("default") for name, one in spec.items()}
        return {**defaults, "pin_dir": str(self.pins), "calico_version": "3.29.7"}

    def run(self, check: bool = False, **params: Any) -> Any:
        """The module's work."""
        return conntrack_entry.work({**self.params(), **params}, check)

    def gone(self, **params: Any) -> set[bytes]:
        """Keys that a run deletes; check mode has to name as many and the rest may not change."""
        before = self.dump()
        planned = self.run(check=True, **params)
        assert self.dump() == before
        done = self.run(**params)
        assert done.facts["spared"] == []
        after = self.dump()
        assert {key: before[key] for key in after} == after
        keys = set(before) - set(after)
        named = [_ends(one) for one in planned.facts["removed"]]
        assert sorted(named) == sorted(_ends(one) for one in done.facts["removed"])
        assert len(named) == len(keys)
        assert bool(keys) is bool(planned.actions) is bool(done.actions)
        again = self.run(**params)
        assert again.actions == () and self.dump() == after
        return keys


def _ends(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(one[name] for name in ("protocol", "type", "side_a", "side_b"))

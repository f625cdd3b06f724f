# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP flows to a Service that are tracked as if it were none (maps 3.4, 4.1; #9967).

Such a flow was active while the Service did not exist. Its packets keep the entry alive, and the
entry keeps them from the Service's backends.
"""

from __future__ import annotations

import struct
import time
from typing import Iterable, Iterator, NamedTuple

from ..._calico.codecs.conntrack import Endpoint, EntryType, Key, decode_key, decode_value
from ..._calico.codecs.conntrack_flow import UDP, destination, originator
from ..._calico.codecs.conntrack_layout import TYPE, ConntrackLayout, conntrack_layout
from ..._calico.codecs.nat import decode_frontend, decode_frontend_key
from ..._calico.conntrack_expiry import expiry_of
from ..._calico.conntrack_facts import end_text
from ..._calico.defects import defect
from ..._calico.evidence import Verdict
from ..._calico.maps import maps_of
from ..._calico.versions import VersionSet
from ..._kernel.chunks import Chunk
from ..._kernel.maps import Map
from ..._kernel.readers import chunks, open_reader
from ..._plan.findings_input import PinnedMap, StaleFlows
from .notes import Notes

_BATCH = 1024
_EXAMPLES = 3
_EXCLUDED = 0x4  # a frontend's flag: its traffic is not translated
_PROTOCOL_AT = {16: 10, 40: 22}  # offset of the protocol in a frontend's key, by the key's size


class _Tables(NamedTuple):
    """The conntrack map and the NAT frontends of one family."""

    conntrack: PinnedMap
    frontends: PinnedMap


class _Candidate(NamedTuple):
    """The two sides of an entry, and what it takes to judge it."""

    key: Key
    raw: bytes


def stale_flows(
    maps: Iterable[PinnedMap], pin_dir: str, release: VersionSet, notes: Notes
) -> tuple[StaleFlows, ...]:
    """Live flows by Service, of the releases that leave them alone."""
    if not defect("UDP_STALE").affected.overlaps(release):
        return ()
    found: list[StaleFlows] = []
    for tables in _families(maps, pin_dir, release):
        with notes.reading(f"The UDP flows in {tables.conntrack.path}"):
            found.extend(_family(tables, release))
    return tuple(found)


def _families(maps: Iterable[PinnedMap], pin_dir: str, release: VersionSet) -> Iterator[_Tables]:
    own = {
        one.path: one
        for one in maps
        if one.owner.verdict is Verdict.CALICO and one.path.startswith(f"{pin_dir.rstrip('/')}/")
    }
    rows = [row for row in maps_of(release) if row.role in ("conntrack", "nat_frontend")]
    for family in (4, 6):
        pinned = {
            row.role: own[f"{pin_dir.rstrip('/')}/{row.name}"]
            for row in rows
            if row.family == family and f"{pin_dir.rstrip('/')}/{row.name}" in own
        }
        if len(pinned) == 2:
            yield _Tables(pinned["conntrack"], pinned["nat_frontend"])


def _family(tables: _Tables, release: VersionSet) -> Iterator[StaleFlows]:
    services = _services(tables.frontends)
    if not services:
        return
    oldest = time.monotonic_ns() - expiry_of(release, {}).timeouts.udp
    flows: dict[Endpoint, list[str]] = {}
    layout = conntrack_layout(*_sizes(tables.conntrack))
    for one in _candidates(tables.conntrack, layout, services):
        value = decode_value(one.raw, layout)
        service = destination(one.key, value.flags)
        if service in services and value.last_seen >= oldest:
            client = originator(one.key, value.flags)
            flows.setdefault(service, []).append(end_text(client))
    for service, clients in flows.items():
        shown = tuple(f"from {client}" for client in clients[:_EXAMPLES])
        yield StaleFlows(tables.conntrack.path, end_text(service), len(clients), shown)


def _sizes(one: PinnedMap) -> tuple[int, int]:
    return one.spec.key_size, one.spec.value_size


def _services(pinned: PinnedMap) -> frozenset[Endpoint]:
    """Addresses and ports of UDP Services that have backends (felix's rule, maps 3.4)."""
    found = set()
    size = pinned.spec.key_size
    with Map.open(pinned.path, read_only=True) as opened:
        for chunk in chunks(open_reader(opened, pinned.spec, _BATCH), pinned.spec):
            protocols = chunk.key_view[_PROTOCOL_AT[size] : chunk.count * size : size].tolist()
            for at in (at for at, protocol in enumerate(protocols) if protocol == UDP):
                key = decode_frontend_key(bytes(chunk.key_view[at * size : (at + 1) * size]))
                raw = bytes(chunk.value_view[at * chunk.slot : at * chunk.slot + 20])
                value = decode_frontend(raw)
                if value.backends and not value.blackhole and not value.flags & _EXCLUDED:
                    found.add(Endpoint(key.address, key.port))
    return frozenset(found)


def _candidates(
    pinned: PinnedMap, layout: ConntrackLayout, services: frozenset[Endpoint]
) -> Iterator[_Candidate]:
    """NORMAL UDP entries with an address of a Service, by their raw bytes."""
    words = frozenset(struct.unpack("=I", one.address.packed[-4:])[0] for one in services)
    size = layout.key_size
    with Map.open(pinned.path, read_only=True) as opened:
        for chunk in chunks(open_reader(opened, pinned.spec, _BATCH), pinned.spec):
            for at in _places(chunk, layout, words):
                key = decode_key(bytes(chunk.key_view[at * size : (at + 1) * size]))
                start = at * chunk.slot
                yield _Candidate(key, bytes(chunk.value_view[start : start + layout.value_size]))


def _places(chunk: Chunk, layout: ConntrackLayout, words: frozenset[int]) -> list[int]:
    step, last = layout.key_size // 4, layout.address_size // 4
    whole = chunk.key_view[: chunk.count * layout.key_size].cast("I")
    columns = (whole[at::step].tolist() for at in (0, last, 2 * last))
    kinds = chunk.value_view[TYPE : chunk.count * chunk.slot : chunk.slot].tolist()
    return [
        at
        for at, (protocol, one, other, kind) in enumerate(zip(*columns, kinds))
        if protocol == UDP and kind == EntryType.NORMAL and (one in words or other in words)
    ]

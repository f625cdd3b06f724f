# SPDX-License-Identifier: GPL-3.0-or-later
"""Packed conntrack entries that may be meant, so that only these are decoded.

A sieve lets through all that conntrack_match takes, and as little else as raw bytes can tell.
NAT_FWD entries pass where their NAT_REV entry decides.
"""

from __future__ import annotations

from typing import Callable, Iterator, List, NamedTuple, Sequence

from .._calico.codecs.conntrack import FWD_DSR, EntryType
from .._calico.codecs.conntrack_columns import LOW_FLAGS, Columns
from .._calico.codecs.conntrack_flow import TCP, UDP, tcp_state
from .._calico.codecs.conntrack_layout import ConntrackLayout
from .._calico.codecs.conntrack_scan import (
    Selector,
    ServiceEnds,
    idle_since,
    matching,
    of_types,
    to_services,
    with_flags,
)
from .._calico.conntrack_expiry import Expiry
from .._calico.conntrack_judge import Judge
from .conntrack_select import End, Select

Filter = Callable[[memoryview, memoryview, int], List[int]]
_NAT = frozenset({EntryType.NAT_FWD.value, EntryType.NAT_REV.value})


class Raw(NamedTuple):
    """What entries are judged by before they are decoded.

    ``udp`` are the UDP Services, for stale_udp; ``unknown_nat`` picks NAT entries with no backend
    that is known, for stale_nat.
    """

    now: int
    expiry: Expiry
    udp: ServiceEnds = ServiceEnds(frozenset(), frozenset())
    unknown_nat: Filter | None = None


class Sieve:
    """The search of one map's entries."""

    def __init__(self, layout: ConntrackLayout, want: Select, raw: Raw) -> None:
        self.layout = layout
        self._filters = list(_filters(layout, want, raw))

    def places(self, keys: memoryview, values: memoryview, count: int) -> Sequence[int]:
        """Places of entries that may be meant, of the first ``count``."""
        found: Sequence[int] = range(count)
        for one in self._filters:
            if not found:
                break
            left = one(keys, values, count)
            found = left if isinstance(found, range) else sorted(set(found).intersection(left))
        return found


def is_exact(want: Select) -> bool:
    """Whether a sieve alone tells what is meant."""
    return want == Select(want.protocol, want.either, types=want.types, flags=want.flags)


def _filters(layout: ConntrackLayout, want: Select, raw: Raw) -> Iterator[Filter]:
    """The cheapest and narrowest first."""
    if want.stale_udp:
        yield lambda keys, values, count: to_services(keys, count, layout.key_size, UDP, raw.udp)
        yield _of_types(layout, frozenset({EntryType.NORMAL.value}))
    yield from _of_keys(layout, want)
    if want.types:
        yield _of_types(layout, want.types)
    if want.flags:
        yield lambda _, values, count: with_flags(values, count, layout.value_size, want.flags)
    yield from _of_state(layout, want, raw)
    if want.stale_nat:
        yield _of_types(layout, _NAT)
        if raw.unknown_nat is not None:
            yield raw.unknown_nat


def _of_keys(layout: ConntrackLayout, want: Select) -> Iterator[Filter]:
    for end in want.ends:
        yield _having(layout, end, want.protocol)
    if want.protocol is not None and not want.ends:
        yield _of_protocol(layout, want.protocol)
    if want.services:
        yield _serving(layout, want.services, want.protocol)


def _of_state(layout: ConntrackLayout, want: Select, raw: Raw) -> Iterator[Filter]:
    if want.idle is not None:
        before = raw.now - want.idle
        yield lambda _, values, count: idle_since(values, count, layout.value_size, before)
    if want.states:
        yield _of_protocol(layout, TCP)
        yield _in_state(layout, want.states)
    if want.ifindex is not None:
        yield _on_interface(layout, want.ifindex)
    if want.expired:
        yield _expired(layout, raw)


def _having(layout: ConntrackLayout, end: End, protocol: int | None) -> Filter:
    want, other = end.raw(protocol), layout.address_size
    if want.address is not None and len(want.address) != other:
        return lambda keys, values, count: []  # of the other family
    return lambda keys, values, count: matching(keys, count, layout.key_size, want)


def _of_protocol(layout: ConntrackLayout, protocol: int) -> Filter:
    return lambda keys, _, count: matching(keys, count, layout.key_size, Selector(protocol))


def _of_types(layout: ConntrackLayout, types: frozenset[int]) -> Filter:
    return lambda _, values, count: of_types(values, count, layout.value_size, types)


def _serving(layout: ConntrackLayout, services: Sequence[End], protocol: int | None) -> Filter:
    """A NAT_REV entry has the Service in its value, all others in their key."""
    in_keys = [_having(layout, end, protocol) for end in services]
    reverse = _of_types(layout, frozenset({EntryType.NAT_REV.value}))

    def places(keys: memoryview, values: memoryview, count: int) -> list[int]:
        found = set(reverse(keys, values, count))
        return sorted(found.union(*(one(keys, values, count) for one in in_keys)))

    return places


def _in_state(layout: ConntrackLayout, states: frozenset[str]) -> Filter:
    known: dict[tuple[int, ...], bool] = {}

    def places(keys: memoryview, values: memoryview, count: int) -> list[int]:
        columns = Columns(layout, keys, values, count)
        low = [flags & FWD_DSR for flags in columns.bytes_at(LOW_FLAGS)]
        alike = zip(low, *(columns.leg_bits(offset) for offset in layout.legs))
        found = []
        for at, (kind, bits) in enumerate(zip(columns.types(), alike)):
            if bits not in known:
                known[bits] = tcp_state(*bits) in states
            if kind == EntryType.NAT_FWD or known[bits]:
                found.append(at)
        return found

    return places


def _on_interface(layout: ConntrackLayout, ifindex: int) -> Filter:
    def places(keys: memoryview, values: memoryview, count: int) -> list[int]:
        columns = Columns(layout, keys, values, count)
        legs = (columns.leg_interfaces(offset) for offset in layout.legs)
        return [
            at
            for at, (kind, one, other) in enumerate(zip(columns.types(), *legs))
            if kind == EntryType.NAT_FWD or ifindex in (one, other)
        ]

    return places


def _expired(layout: ConntrackLayout, raw: Raw) -> Filter:
    """A NAT_FWD entry without its other half has no life at all, so that all of them pass."""
    judge = Judge(layout, raw.expiry.rules, raw.expiry.timeouts, raw.now)

    def places(keys: memoryview, values: memoryview, count: int) -> list[int]:
        alive = frozenset(judge.alive(keys, values, count))
        return [at for at in range(count) if at not in alive]

    return places

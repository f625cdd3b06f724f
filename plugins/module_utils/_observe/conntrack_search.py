# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of one conntrack map that a task means, found by their raw bytes first."""

from __future__ import annotations

import time
from typing import Iterator, NamedTuple

from .._calico.codecs.conntrack import (
    EntryType,
    NatForward,
    decode_key,
    decode_value,
    encode_key,
)
from .._calico.codecs.conntrack_layout import ConntrackLayout
from .._calico.conntrack_expiry import Expiry
from .._kernel.chunks import Chunk
from .._kernel.maps import Map
from .._plan.conntrack_match import Context, Entry, Services, matches
from .._plan.conntrack_select import Select
from .._plan.conntrack_sieve import Raw, Sieve, is_exact
from .services import PinnedServices


class Packed(NamedTuple):
    """An entry as the map has it."""

    key: bytes
    value: bytes


class Search:
    """Finds and judges entries of an open map by one instant's clock."""

    def __init__(
        self,
        table: Map,
        layout: ConntrackLayout,
        want: Select,
        expiry: Expiry,
        services: PinnedServices | None = None,
    ) -> None:
        self.table = table
        self.layout = layout
        self.want = want
        self.context = Context(time.monotonic_ns(), expiry, services or Services())
        self._sieve = Sieve(layout, want, self._raw(services))
        self._exact = is_exact(want)

    def _raw(self, services: PinnedServices | None) -> Raw:
        raw = Raw(self.context.now, self.context.expiry)
        if services is None:
            return raw
        if self.want.stale_udp:
            raw = raw._replace(udp=services.udp_ends())
        if self.want.stale_nat:
            known, layout = services.backends(), self.layout
            raw = raw._replace(
                unknown_nat=lambda keys, values, count: known.unknown(layout, keys, values, count)
            )
        return raw

    def places(self, chunk: Chunk) -> list[int]:
        """Places of the entries of a chunk that are meant."""
        found = self._sieve.places(chunk.key_view, chunk.value_view, chunk.count)
        if self._exact:
            return list(found)
        return [place for place in found if self.means(self.packed(chunk, place))]

    def found(self, chunk: Chunk) -> Iterator[Packed]:
        """The entries of a chunk that are meant."""
        return (self.packed(chunk, place) for place in self.places(chunk))

    def packed(self, chunk: Chunk, place: int) -> Packed:
        """One entry of a chunk."""
        keys, values = self.layout.key_size, self.layout.value_size
        start = place * chunk.slot
        return Packed(
            bytes(chunk.key_view[place * keys : (place + 1) * keys]),
            bytes(chunk.value_view[start : start + values]),
        )

    def means(self, one: Packed) -> bool:
        """Whether the entry is meant."""
        return matches(self.want, self.entry(one), self.context)

    def entry(self, one: Packed) -> Entry:
        """The entry decoded, with its other half where it has one."""
        value = decode_value(one.value, self.layout)
        reverse = None
        if isinstance(value.body, NatForward):
            raw = self.lookup(encode_key(value.body.reverse))
            reverse = None if raw is None else decode_value(raw, self.layout)
        if reverse is not None and reverse.type == EntryType.NAT_FWD:
            reverse = None  # no entry has its state in another one of this type
        return Entry(decode_key(one.key), value, reverse)

    def lookup(self, key: bytes) -> bytes | None:
        """The value of a key now."""
        return self.table.lookup(key, self.layout.value_size)

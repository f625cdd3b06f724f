# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying one conntrack map's entries over to another that is in use, without raising the dead.

What the rule is and why stands in docs/migration.md.
"""

from __future__ import annotations

import struct
import time
from contextlib import contextmanager
from typing import AbstractSet, Iterable, Iterator, Sequence

from .._calico.codecs.conntrack import EntryType, NatForward, decode_key, decode_value, encode_key
from .._calico.codecs.conntrack_layout import (
    LAST_SEEN,
    V2,
    V3_IPV4,
    FirstWord,
    conntrack_layout,
)
from .._calico.codecs.conversion import v2_to_v3
from .._calico.conntrack_expiry import Expiry
from .._calico.conntrack_liveness import expired, expires_at
from .._kernel import user_passes
from .._kernel.chunks import Chunk
from .._kernel.iterator import DEFAULT_STEP
from .._kernel.maps import Map
from .._kernel.passes import carry
from .._kernel.readers import Side, chunks, open_reader
from .._kernel.rules import Replaces, Rule
from .._plan.conntrack_map_state import Pending
from .._uapi.bpf import MapFlag, MapType
from .._uapi.maps import MapSpec

TOLERANCE = 50_000_000
"""ns by which an entry has to be newer than the live map's: programs store last_seen first."""

_TIME = struct.Struct("=Q")


def newer(since: int, clear: bool = False, unwritten: int = 0, dry_run: bool = False) -> Rule:
    """The rule for carrying over into a map that is in use; see Note for the times."""
    return Rule(LAST_SEEN, since, Replaces.NEWER, dry_run, TOLERANCE, clear, unwritten)


class Judge:
    """Leaves out of what is missing in the target what has expired."""

    def __init__(self, source: Side, target: Side, expiry: Expiry) -> None:
        self._sides = (source, target)
        self._layout = conntrack_layout(target.spec.key_size, target.spec.value_size)
        self._expiry = expiry
        self._now = time.monotonic_ns()
        self.expired = 0

    def __call__(
        self, chunk: Chunk, missing: Sequence[int], replaced: AbstractSet[int]
    ) -> tuple[Sequence[int], Iterable[int]]:
        """The places to insert, and those to replace."""
        return [place for place in missing if self._lives(chunk, place)], replaced

    def _lives(self, chunk: Chunk, place: int) -> bool:
        start = place * chunk.slot
        (seen,) = _TIME.unpack_from(chunk.value_view, start + LAST_SEEN)
        if seen >= self._now - min(self._expiry.timeouts):
            return True
        if self._is_expired(chunk, place):
            self.expired += 1
            return False
        return True

    def _is_expired(self, chunk: Chunk, place: int) -> bool:
        keys, values = chunk.key_size, chunk.slot
        key = decode_key(bytes(chunk.key_view[place * keys : (place + 1) * keys]))
        raw = bytes(chunk.value_view[place * values : (place + 1) * values])
        value = decode_value(raw, self._layout)
        reverse = None
        if value.type == EntryType.NAT_FWD and isinstance(value.body, NatForward):
            found = [
                decode_value(raw, self._layout)
                for side in self._sides
                for raw in [side.map.lookup(encode_key(value.body.reverse), values)]
                if raw is not None
            ]
            reverse = max(found, key=lambda one: one.last_seen, default=None)
        end = expires_at(key, value, self._expiry.timeouts, self._expiry.rules, reverse)
        return expired(end, self._now)


def carry_alive(
    source: Side,
    target: Side,
    rule: Rule,
    expiry: Expiry,
    batch_size: int = 256,
    step: int = DEFAULT_STEP,
) -> Pending:
    """Carry over what is alive by ``rule``.

    A pass from user space: it misses nothing that stays. An entry that nobody has touched since
    ``rule.since`` was carried over before: where it is missing now, it was deleted, and is only
    counted. Raises SyscallError, with E2BIG when the target is full.
    """
    judge = Judge(source, target, expiry)
    done = user_passes.carry(source, target, rule, batch_size, judge)
    deleted = 0
    if rule.since:
        count = rule._replace(since=0, replaces=Replaces.NEVER, dry_run=True)
        missing = carry(source, target, count, batch_size, step).inserted
        deleted = missing - judge.expired - (done.inserted if rule.dry_run else 0)
    return Pending(done.inserted, done.updated, judge.expired, max(0, deleted))


@contextmanager
def readable(opened: Map) -> Iterator[Side]:
    """The map as a side of the layout of today's releases; a map of ct2 as a copy in theirs.

    The copy (of 64-byte values, before 3.24) is made anew each time. Raises SyscallError.
    """
    side = Side(opened, opened.info().spec)
    if (side.spec.key_size, side.spec.value_size) != (V2.key_size, V2.value_size):
        yield side
        return
    spec = MapSpec(
        MapType.HASH,
        V3_IPV4.key_size,
        V3_IPV4.value_size,
        side.spec.max_entries,
        MapFlag.NO_PREALLOC,
        "bpfops_ct2",
    )
    with Map.create(spec) as copy:
        for chunk in chunks(open_reader(*side), side.spec):
            for place in range(chunk.count):
                key = bytes(chunk.key_view[place * 16 : (place + 1) * 16])
                value = bytes(chunk.value_view[place * 64 : (place + 1) * 64])
                copy.update(key, v2_to_v3(value, FirstWord.CREATED))
        yield Side(copy, spec)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Totals over a conntrack table, from packed entries and without decoding each.

Entries are counted in groups that are alike in all that decides their state and life: protocol,
type, TCP bits and age in whole seconds. There are at most some ten thousand groups, however large
the table, and everything else is computed from them. An entry costs below a microsecond.
"""

from __future__ import annotations

from collections import Counter
from typing import Iterable, Iterator, NamedTuple

from .codecs.conntrack import B_TO_A, FWD_DSR, EntryType
from .codecs.conntrack_columns import HIGH_FLAGS, LOW_FLAGS, Columns
from .codecs.conntrack_flow import TCP, protocol_name, tcp_state
from .codecs.conntrack_layout import ConntrackLayout, FirstWord
from .conntrack_liveness import SECOND, Judged, Rules, Timeouts, idle_limit

MAX_TALKERS = 65536
"""Addresses that are counted at a time; the less frequent half is forgotten when they are more."""


class Group(NamedTuple):
    """What entries of one group have in common; ``marked``: in its grace, or has seen an RST."""

    protocol: int
    type: int
    one_way: int
    marked: bool
    bits_a: int
    bits_b: int
    age: int


class Tally:
    """Counts entries by group, and flows by the address that began them.

    ``now`` is CLOCK_MONOTONIC of the node in ns.
    """

    def __init__(self, layout: ConntrackLayout, rules: Rules, timeouts: Timeouts, now: int) -> None:
        self.layout = layout
        self.rules = rules
        self.timeouts = timeouts
        self.now = now
        self.groups: Counter[tuple[int, ...]] = Counter()
        self.talkers: Counter[bytes] = Counter()
        self.forgotten = False

    def add(self, keys: memoryview, values: memoryview, count: int) -> None:
        """Count the first ``count`` entries of packed keys and values."""
        columns = Columns(self.layout, keys, values, count)
        types = columns.types()
        self.groups.update(
            zip(
                columns.protocols(),
                types,
                [flags & FWD_DSR for flags in columns.bytes_at(LOW_FLAGS)],
                self._marks(columns),
                *[columns.leg_bits(offset) for offset in self.layout.legs],
                [max(0, self.now - seen) // SECOND for seen in columns.last_seen()],
            )
        )
        self._count_talkers(keys, types, columns.bytes_at(HIGH_FLAGS))

    def _marks(self, columns: Columns) -> list[bool]:
        words = columns.first_words()
        if self.rules.first_word is FirstWord.RST_SEEN:
            return [bool(word) for word in words]
        youngest = self.now - self.timeouts.creation_grace
        return [word > youngest for word in words]

    def _count_talkers(self, keys: memoryview, types: list[int], high: list[int]) -> None:
        size, width = self.layout.key_size, self.layout.address_size
        packed, from_b = bytes(keys[: len(types) * size]), B_TO_A >> 8
        self.talkers.update(
            packed[start : start + width]
            for start, kind in (
                (place * size + (4 + width if flags & from_b else 4), kind)
                for place, (kind, flags) in enumerate(zip(types, high))
            )
            if kind != EntryType.NAT_FWD
        )
        if len(self.talkers) > MAX_TALKERS:
            self.forgotten = True
            self.talkers = Counter(dict(self.talkers.most_common(MAX_TALKERS // 2)))


class Counted(NamedTuple):
    """A group, how many entries are in it, and the seconds of life left (None: NAT_FWD)."""

    group: Group
    entries: int
    left: int | None


def counted(tally: Tally) -> Iterator[Counted]:
    """The groups of a tally with what is left of their life, 0 for expired entries."""
    for fields, entries in tally.groups.items():
        group = Group._make(fields)
        yield Counted(group, entries, seconds_left(group, tally))


def seconds_left(group: Group, tally: Tally) -> int | None:
    """Seconds until entries of the group expire if no packet comes; None: their NAT_REV decides."""
    if group.type == EntryType.NAT_FWD:
        return None
    created = tally.rules.first_word is FirstWord.CREATED
    first_word = int(group.marked and not created)
    judged = Judged(group.protocol, group.one_way, first_word, group.bits_a, group.bits_b)
    left = idle_limit(judged, tally.timeouts, tally.rules) // SECOND - group.age
    return max(left, 1 if group.marked and created else 0)


def by_protocol(groups: Iterable[Counted]) -> dict[str, int]:
    """Entries by protocol name."""
    return _sums((protocol_name(item.group.protocol), item.entries) for item in groups)


def by_type(groups: Iterable[Counted]) -> dict[str, int]:
    """Entries by type: NORMAL, NAT_FWD, NAT_REV, or the number of one that is not known."""
    names = {kind.value: kind.name for kind in EntryType}
    return _sums(
        (names.get(item.group.type, str(item.group.type)), item.entries) for item in groups
    )


def by_tcp_state(groups: Iterable[Counted]) -> dict[str, int]:
    """TCP entries by state; NAT_FWD entries have none."""
    return _sums(
        (tcp_state(group.one_way, group.bits_a, group.bits_b), entries)
        for group, entries, _left in groups
        if group.protocol == TCP and group.type != EntryType.NAT_FWD
    )


class Bucket(NamedTuple):
    """Entries whose seconds are below ``below`` and not in a bucket before; None: all others."""

    below: int | None
    entries: int


BOUNDS = (1, 10, 60, 300, 600, 1800, 3600)
"""Seconds at which ages and remaining lives are told apart."""


def histogram(seconds: Iterable[tuple[int, int]], bounds: tuple[int, ...] = BOUNDS) -> list[Bucket]:
    """Entries by seconds, from pairs of seconds and entries."""
    totals = [0] * (len(bounds) + 1)
    for value, entries in seconds:
        totals[sum(value >= bound for bound in bounds)] += entries
    return [Bucket(*pair) for pair in zip((*bounds, None), totals)]


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for name, entries in pairs:
        totals[name] = totals.get(name, 0) + entries
    return dict(sorted(totals.items()))

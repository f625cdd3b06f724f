# SPDX-License-Identifier: GPL-3.0-or-later
"""Many packed conntrack entries at once: which are still alive, and taking them to another boot.

The answers are those of conntrack_liveness for each entry; an entry costs about a microsecond.
"""

from __future__ import annotations

from array import array

from .codecs.conntrack import FWD_DSR, EntryType
from .codecs.conntrack_columns import LOW_FLAGS, Columns
from .codecs.conntrack_layout import LAST_SEEN, ConntrackLayout, FirstWord
from .codecs.conversion import words_of
from .conntrack_liveness import Judged, Rules, Timeouts, idle_limit

_KNOWN = frozenset(EntryType)


class Judge:
    """Tells live entries from expired ones at ``now`` (ns of the clock that the entries have)."""

    def __init__(self, layout: ConntrackLayout, rules: Rules, timeouts: Timeouts, now: int) -> None:
        self._layout = layout
        self._rules = rules
        self._timeouts = timeouts
        self._now = now
        self._oldest: dict[tuple[int, ...], int] = {}

    def alive(self, keys: memoryview, values: memoryview, count: int) -> list[int]:
        """Places of entries that have not expired; NAT_FWD entries are never among them.

        These live as long as the NAT_REV entry that they point at.
        """
        columns = Columns(self._layout, keys, values, count)
        words = columns.first_words()
        kinds = zip(
            columns.protocols(),
            [flags & FWD_DSR for flags in columns.bytes_at(LOW_FLAGS)],
            map(bool, words),
            *[columns.leg_bits(offset) for offset in self._layout.legs],
        )
        entries = zip(columns.types(), kinds, columns.last_seen(), words)
        return [
            place
            for place, (kind, alike, seen, word) in enumerate(entries)
            if kind != EntryType.NAT_FWD and self._lives(kind, alike, seen, word)
        ]

    def _lives(self, kind: int, alike: tuple[int, ...], seen: int, word: int) -> bool:
        oldest = self._oldest.get(alike)
        if oldest is None:
            oldest = self._now - idle_limit(Judged(*alike), self._timeouts, self._rules)
            self._oldest[alike] = oldest
        if seen >= oldest or kind not in _KNOWN:
            return True
        created = self._rules.first_word is FirstWord.CREATED
        return created and self._now < word + self._timeouts.creation_grace


def rebase_times(values: memoryview, count: int, stride: int) -> None:
    """Let ``count`` values of another boot count as last seen when this boot began, in place.

    That is the latest instant before this boot, and the earliest that its clock can tell. A first
    word of 0 is no time and stays.
    """
    words, step = words_of(values, count, stride), stride // 8
    words[::step] = memoryview(array("Q", map(bool, words[::step].tolist())))
    words[LAST_SEEN // 8 :: step] = memoryview(bytes(8 * count)).cast("Q")

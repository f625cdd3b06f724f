# SPDX-License-Identifier: GPL-3.0-or-later
"""One field of many packed conntrack entries at a time, by strides and without decoding any."""

from __future__ import annotations

from .conntrack import EntryType
from .conntrack_layout import LAST_SEEN, TYPE, ConntrackLayout
from .conversion import words_of

LOW_FLAGS, HIGH_FLAGS = 17, 23
"""Offsets of the flags 0x1 to 0x80 and 0x100 to 0x8000."""
_TCP_BITS = 0xF


class Columns:
    """The first ``count`` entries of packed keys and values.

    Raises LayoutError when the values are not in their buffer.
    """

    def __init__(
        self, layout: ConntrackLayout, keys: memoryview, values: memoryview, count: int
    ) -> None:
        self.layout = layout
        self._keys = keys[: count * layout.key_size].cast("I")
        self._words = words_of(values, count, layout.value_size)
        self._values = self._words.cast("B")

    def protocols(self) -> list[int]:
        """IP protocol numbers."""
        return self._keys[:: self.layout.key_size // 4].tolist()

    def types(self) -> list[int]:
        """EntryType, or a number that is not known."""
        return self.bytes_at(TYPE)

    def first_words(self) -> list[int]:
        """Bytes 0 to 7, see FirstWord."""
        return self._times(0)

    def last_seen(self) -> list[int]:
        """ns of CLOCK_MONOTONIC."""
        return self._times(LAST_SEEN)

    def bytes_at(self, offset: int) -> list[int]:
        """One byte of each value."""
        return self._values[offset :: self.layout.value_size].tolist()

    def leg_bits(self, offset: int) -> list[int]:
        """The TCP bits of the leg at ``offset``; 0 for NAT_FWD, which has a key there."""
        words = self._words_at(offset + self.layout.bits_in_leg)
        forward = EntryType.NAT_FWD
        return [
            0 if kind == forward else word & _TCP_BITS for word, kind in zip(words, self.types())
        ]

    def leg_interfaces(self, offset: int) -> list[int]:
        """The interface index of the leg at ``offset``; meaningless for NAT_FWD."""
        return self._words_at(offset + self.layout.bits_in_leg + 4)

    def _words_at(self, offset: int) -> list[int]:
        return self._values.cast("I")[offset // 4 :: self.layout.value_size // 4].tolist()

    def _times(self, offset: int) -> list[int]:
        return self._words[offset // 8 :: self.layout.value_size // 8].tolist()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Reused buffers for many entries at once, so that no entry becomes a Python object."""

from __future__ import annotations

import ctypes

MAX_CHUNK_BYTES = 4 << 20
"""Upper bound of a chunk's value buffer; wide per-CPU values get fewer entries a chunk."""


class Chunk:
    """Room for ``capacity`` keys and values, each packed one after the other."""

    def __init__(self, key_size: int, slot: int, capacity: int) -> None:
        self.key_size = key_size
        self.slot = slot
        self._allocate(max(1, min(capacity, MAX_CHUNK_BYTES // slot)))

    def _allocate(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.keys = ctypes.create_string_buffer(self.key_size * capacity)
        self.values = ctypes.create_string_buffer(self.slot * capacity)
        self.key_view = memoryview(self.keys).cast("B")
        self.value_view = memoryview(self.values).cast("B")
        self.key_address = ctypes.addressof(self.keys)
        self.value_address = ctypes.addressof(self.values)

    def grow(self) -> None:
        """Double the room; what was in it is gone and the addresses are new."""
        self._allocate(self.capacity * 2)

    def clear_words(self) -> None:
        """Set the first 8 bytes of every value to 0; values have 8 bytes at least."""
        end, slot = self.count * self.slot, self.slot
        if slot % 8 == 0:
            words = self.value_view[:end].cast("Q")
            words[:: slot // 8] = memoryview(bytes(8 * self.count)).cast("Q")
            return
        for place in range(0, end, slot):
            self.value_view[place : place + 8] = bytes(8)

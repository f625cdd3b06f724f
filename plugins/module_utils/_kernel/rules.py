# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries a pass over two maps carries over, and what it did."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Pass(NamedTuple):
    """What one pass saw and did, in entries."""

    seen: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    @property
    def changed(self) -> int:
        """Entries that the pass wrote or removed."""
        return self.inserted + self.updated + self.deleted


class Replaces(Enum):
    """When the value of the source takes the place of the one in the target."""

    DIFFERENT = "whenever they differ: nothing else writes the target"
    NEWER = "when its time is later: both are in use"
    NEVER = "the target keeps what it has"


class Rule(NamedTuple):
    """Which entries a pass carries over; those that the target misses always.

    A time is an unsigned 64-bit number in host byte order at ``timestamp_offset`` of the value,
    in ns of CLOCK_MONOTONIC. With ``since`` only entries whose time is not before it are looked
    at. ``dry_run`` only counts. NEWER means later by more than ``tolerance`` ns (below 2**31), or
    by any against an entry of the target whose time is before ``live_from``, which is a mere copy.
    With ``clear_word`` the first 8 bytes of every value count as 0 and are written so.
    """

    timestamp_offset: int | None = None
    since: int = 0
    replaces: Replaces = Replaces.DIFFERENT
    dry_run: bool = False
    tolerance: int = 0
    clear_word: bool = False
    live_from: int = 0


class Older(NamedTuple):
    """Entries whose time at ``timestamp_offset`` lies before ``before`` (see Rule)."""

    timestamp_offset: int
    before: int


def merge_rule(timestamp_offset: int | None, dry_run: bool = False) -> Rule:
    """The rule for a target that is in use: it keeps its entries, or the later time wins."""
    replaces = Replaces.NEVER if timestamp_offset is None else Replaces.NEWER
    return Rule(timestamp_offset, replaces=replaces, dry_run=dry_run)

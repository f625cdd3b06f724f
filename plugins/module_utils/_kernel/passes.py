# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes that bring one map up to another: in the kernel where it can, else from user space.

Both ways do and count the same while nothing else writes. The one in the kernel costs a quarter of
the other, but takes no locks: it may pass over an entry that is replaced, or whose neighbour is
deleted, at the very moment. A change counts as carried over only after a pass from user space, or
after one more in the kernel.
"""

from __future__ import annotations

import struct

from . import iterator, user_passes
from .maps import value_slot
from .readers import DEFAULT_BATCH, Side
from .rules import Older, Pass, Rule
from .writers import delete_keys

_TIME = struct.Struct("=Q")


def carry(
    source: Side,
    target: Side,
    rule: Rule,
    batch_size: int = DEFAULT_BATCH,
    step: int = iterator.DEFAULT_STEP,
) -> Pass:
    """Bring ``target`` up to ``source`` by ``rule``; with exact counts.

    ``step`` entries are visited in the kernel before it returns to user space.

    An entry that something else inserts or deletes between look-up and write is left to it.
    Raises SyscallError, with E2BIG when ``target`` is full.
    """
    counts = iterator.carry(source, target, rule, step)
    if counts is None or counts.refused:  # user space waits for memory and locks, or says why not
        return user_passes.carry(source, target, rule, batch_size)
    return Pass(counts.seen, counts.inserted, counts.updated)


def prune(
    source: Side,
    target: Side,
    batch_size: int = DEFAULT_BATCH,
    older: Older | None = None,
    step: int = iterator.DEFAULT_STEP,
) -> Pass:
    """Delete from ``target`` what is no longer in ``source``, or of that what is ``older``.

    For entries that nothing else writes. Keys to delete are collected first, as deleting during an
    iteration upsets it; they are as many as ``source`` lost during the migration. Raises
    SyscallError.
    """
    missing = iterator.missing_keys(source, target, step)
    if missing is None:
        return user_passes.prune(source, target, batch_size, older)
    doomed = [key for key in missing.keys if older is None or _is_older(target, key, older)]
    return Pass(missing.seen, deleted=delete_keys(target.map, doomed))


def _is_older(side: Side, key: bytes, older: Older) -> bool:
    value = side.map.lookup(key, value_slot(side.spec))
    if value is None:
        return False
    return bool(_TIME.unpack_from(value, older.timestamp_offset)[0] < older.before)

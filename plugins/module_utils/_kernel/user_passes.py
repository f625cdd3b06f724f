# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over two maps from user space, for kernels and map types without iterators.

They compare in place; memory is one chunk, however large the maps.
"""

from __future__ import annotations

import struct
from typing import AbstractSet, Callable, Iterable, Sequence, Tuple

from .._uapi.bpf import UpdateFlag
from .chunks import Chunk
from .maps import value_slot
from .readers import DEFAULT_BATCH, Side, chunks, open_reader
from .rules import Older, Pass, Replaces, Rule
from .writers import EntryWriter, Lookup, delete_keys

Sieve = Callable[
    [Chunk, Sequence[int], AbstractSet[int]], Tuple[Sequence[int], Iterable[int]]
]  # typing's, for Python 3.8
"""Picks from a chunk's places that miss in the target, and from those to be replaced."""


def carry(
    source: Side,
    target: Side,
    rule: Rule,
    batch_size: int = DEFAULT_BATCH,
    sieve: Sieve | None = None,
) -> Pass:
    """Bring ``target`` up to ``source`` by ``rule``, as far as ``sieve`` lets; with exact counts.

    An entry that something else inserts or deletes between look-up and write is left to it.
    Raises SyscallError, with E2BIG when ``target`` is full.
    """
    reader = open_reader(source.map, source.spec, batch_size)
    lookup, writer = Lookup(target.map, value_slot(target.spec)), EntryWriter(target.map)
    seen = inserted = updated = 0
    for chunk in chunks(reader, target.spec):
        seen += chunk.count
        if rule.clear_word:
            chunk.clear_words()
        places = _candidates(chunk, rule)
        missing: Sequence[int] = lookup.missing(chunk, places)
        replaced: Iterable[int] = _replacing(chunk, lookup, places, rule).difference(missing)
        if sieve is not None:
            missing, replaced = sieve(chunk, missing, set(replaced))
        for place in missing:
            inserted += rule.dry_run or writer.put(chunk, place, UpdateFlag.NOEXIST)
        for place in replaced:
            updated += rule.dry_run or writer.put(chunk, place, UpdateFlag.EXIST)
    return Pass(seen, inserted, updated)


def _candidates(chunk: Chunk, rule: Rule) -> Sequence[int]:
    if not rule.since or rule.timestamp_offset is None:
        return range(chunk.count)
    times = _times(chunk.value_view, chunk, rule.timestamp_offset)
    return [place for place, time in enumerate(times) if time >= rule.since]


def _times(values: memoryview, chunk: Chunk, offset: int) -> Sequence[int]:
    end, slot = chunk.count * chunk.slot, chunk.slot
    if offset % 8 == slot % 8 == 0:
        return values[:end].cast("Q")[offset // 8 :: slot // 8].tolist()
    stamp = struct.Struct("=Q")
    return [stamp.unpack_from(values, place + offset)[0] for place in range(0, end, slot)]


def _replacing(chunk: Chunk, lookup: Lookup, places: Sequence[int], rule: Rule) -> set[int]:
    if rule.replaces is Replaces.NEVER or not places:
        return set()
    different = lookup.differing(chunk, places)
    if rule.replaces is Replaces.DIFFERENT or rule.timestamp_offset is None or not different:
        return set(different)
    ours = _times(chunk.value_view, chunk, rule.timestamp_offset)
    theirs = _times(lookup.values, chunk, rule.timestamp_offset)
    margins = {True: rule.tolerance, False: 0}
    return {
        place
        for place in different
        if ours[place] > theirs[place] + margins[theirs[place] >= rule.live_from]
    }


def prune(
    source: Side, target: Side, batch_size: int = DEFAULT_BATCH, older: Older | None = None
) -> Pass:
    """Delete from ``target`` what is no longer in ``source``, or of that what is ``older``.

    For entries that nothing else writes. Keys to delete are collected first, as deleting during an
    iteration upsets it; they are as many as ``source`` lost during the migration. Raises
    SyscallError.
    """
    reader = open_reader(target.map, target.spec, batch_size)
    lookup, seen = Lookup(source.map, value_slot(source.spec)), 0
    doomed: list[bytes] = []
    for chunk in chunks(reader, source.spec):
        seen += chunk.count
        size = chunk.key_size
        for index in _older(chunk, lookup.missing(chunk, range(chunk.count)), older):
            doomed.append(bytes(chunk.key_view[index * size : (index + 1) * size]))
    return Pass(seen, deleted=delete_keys(target.map, doomed))


def _older(chunk: Chunk, places: Sequence[int], older: Older | None) -> Sequence[int]:
    if older is None or not places:
        return places
    times = _times(chunk.value_view, chunk, older.timestamp_offset)
    return [place for place in places if times[place] < older.before]

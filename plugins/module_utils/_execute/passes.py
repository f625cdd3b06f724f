# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes that bring one map up to another: delta, prune and merge.

They compare in place; memory is one chunk, however large the maps.
"""

from __future__ import annotations

import struct
from typing import Callable, List, NamedTuple

from .._kernel.chunks import Chunk
from .._kernel.maps import value_slot
from .._kernel.readers import DEFAULT_BATCH, Side, chunks, open_reader
from .._kernel.writers import EntryWriter, Lookup
from .._uapi.bpf import UpdateFlag


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


Decision = Callable[[Chunk, Lookup], List[int]]
"""Which entries of a chunk have to take the place of those that a look-up has found."""


def different(chunk: Chunk, found: Lookup) -> list[int]:
    """Every difference counts: for a target that nothing else writes."""
    return found.differing(chunk)


def nothing(chunk: Chunk, found: Lookup) -> list[int]:
    """What is in the target stays."""
    return []


def newer_at(offset: int | None) -> Decision:
    """The greater host-order unsigned 64-bit number at ``offset`` wins; without it, the target."""
    if offset is None:
        return nothing
    stamp = struct.Struct(f"={offset}xQ")

    def newer(chunk: Chunk, found: Lookup) -> list[int]:
        ours, theirs, slot = chunk.value_view, found.values, chunk.slot
        return [
            index
            for index in found.differing(chunk)
            if stamp.unpack_from(ours, index * slot) > stamp.unpack_from(theirs, index * slot)
        ]

    return newer


def carry(
    source: Side,
    target: Side,
    replaces: Decision,
    batch_size: int = DEFAULT_BATCH,
    dry_run: bool = False,
) -> Pass:
    """Insert what ``target`` misses and replace what ``replaces`` says; with counts of both.

    An entry that something else inserts or deletes between look-up and write is left to it.
    ``dry_run`` only counts. Raises SyscallError, with E2BIG when ``target`` is full.
    """
    reader = open_reader(source.map, source.spec, batch_size)
    lookup, writer = Lookup(target.map, value_slot(target.spec)), EntryWriter(target.map)
    seen = inserted = updated = 0
    for chunk in chunks(reader, target.spec):
        seen += chunk.count
        missing = lookup.missing(chunk)
        there = set(replaces(chunk, lookup)).difference(missing)
        for index in missing:
            inserted += dry_run or writer.put(chunk, index, UpdateFlag.NOEXIST)
        for index in there:
            updated += dry_run or writer.put(chunk, index, UpdateFlag.EXIST)
    return Pass(seen, inserted, updated)


def prune(source: Side, target: Side, batch_size: int = DEFAULT_BATCH) -> Pass:
    """Delete from ``target`` what is no longer in ``source``; only while nothing else writes it.

    Keys to delete are collected first, as deleting during an iteration upsets it; they are as
    many as ``source`` lost during the migration. Raises SyscallError.
    """
    reader = open_reader(target.map, target.spec, batch_size)
    lookup, seen = Lookup(source.map, value_slot(source.spec)), 0
    doomed: list[bytes] = []
    for chunk in chunks(reader, source.spec):
        seen += chunk.count
        size = chunk.key_size
        for index in lookup.missing(chunk):
            doomed.append(bytes(chunk.key_view[index * size : (index + 1) * size]))
    return Pass(seen, deleted=sum(target.map.delete(key) for key in doomed))

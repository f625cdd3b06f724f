# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a snapshot that may be restored, in a map of their own.

The map has no pin and nothing else uses it. So what is missing can be counted before it is
written, and written by the pass that also merges maps; the process holds one block of the file.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Iterable, NamedTuple

from .._calico.codecs.conntrack import EntryType
from .._calico.codecs.conntrack_layout import HEADER_SIZE, TYPE, conntrack_layout
from .._calico.codecs.conntrack_scan import of_types
from .._calico.conntrack_expiry import Expiry
from .._calico.conntrack_judge import Judge, rebase_times
from .._kernel.chunks import Chunk
from .._kernel.maps import Map
from .._kernel.readers import Side, count_entries
from .._kernel.rules import Replaces, Rule
from .._kernel.user_passes import carry
from .._kernel.writers import ChunkWriter, Lookup
from .._plan.snapshot_restore import Clock, Pair, Staged
from .._plan.snapshot_save import BLOCK_ENTRIES
from .._snapshot.stream import Block, SnapshotReader
from .._uapi.bpf import MapFlag, MapType
from .._uapi.maps import MapSpec

_FORWARD = frozenset({EntryType.NAT_FWD.value})


class Judgement(NamedTuple):
    """How entries are judged and changed on their way."""

    expiry: Expiry
    clock: Clock
    keep_first_words: bool


class Stage(NamedTuple):
    """The restorable entries and the map that they are for, both open."""

    source: Side
    target: Side
    counts: Staged


MISSING_ONLY = Rule(replaces=Replaces.NEVER)


def stage(
    held: ExitStack, reader: SnapshotReader, pair: Pair, judgement: Judgement, read_only: bool
) -> Stage:
    """Read the pair's entries into a new map; ``held`` closes it. Changes nothing else.

    Raises FormatError, SyscallError.
    """
    in_file = sum(reader.entries[number] for number in pair.tables)
    target = Side(held.enter_context(Map.open(pair.path, read_only)), pair.spec)
    spec = MapSpec(
        MapType.HASH,
        pair.spec.key_size,
        pair.spec.value_size,
        max(1, in_file),
        MapFlag.NO_PREALLOC,
        "bpfops_stage",
    )
    source = Side(held.enter_context(Map.create(spec)), spec)
    fill = _Fill(source, target, judgement)
    for number in pair.tables:
        fill.tracking(block for block in reader.blocks() if block.table == number)
    for number in pair.tables if fill.forward else ():
        fill.forwards(block for block in reader.blocks() if block.table == number)
    found = carry(source, target, MISSING_ONLY._replace(dry_run=True))
    counts = Staged(
        pair=pair,
        in_file=in_file,
        expired=fill.expired,
        without_partner=fill.without_partner,
        present=found.seen - found.inserted,
        missing=found.inserted,
        held=count_entries(*target),
    )
    return Stage(source, target, counts)


class _Fill:
    """Writes those entries of the blocks that may be restored into the stage."""

    def __init__(self, source: Side, target: Side, judgement: Judgement) -> None:
        self.expired = self.forward = self.without_partner = 0
        spec, expiry = source.spec, judgement.expiry
        layout = conntrack_layout(spec.key_size, spec.value_size)
        self._judge = Judge(layout, expiry.rules, expiry.timeouts, judgement.clock.now)
        self._judgement = judgement
        self._writer = ChunkWriter(source.map)
        self._chunk = Chunk(spec.key_size, spec.value_size, BLOCK_ENTRIES)
        self._partners = tuple(_Partners(side.map, spec) for side in (source, target))

    def tracking(self, blocks: Iterable[Block]) -> None:
        """NORMAL and NAT_REV entries that have not expired; counts the NAT_FWD entries."""
        for chunk in map(self._loaded, blocks):
            alive = self._judge.alive(chunk.key_view, chunk.value_view, chunk.count)
            forward = len(_forwards_in(chunk))
            self.forward += forward
            self.expired += chunk.count - forward - len(alive)
            self._write(chunk, alive)

    def forwards(self, blocks: Iterable[Block]) -> None:
        """NAT_FWD entries whose NAT_REV is in the stage already, or in the map."""
        for chunk in map(self._loaded, blocks):
            places = _forwards_in(chunk)
            found: set[int] = set()
            for partners in self._partners:
                found.update(partners.found(chunk, [one for one in places if one not in found]))
            self.without_partner += len(places) - len(found)
            self._write(chunk, sorted(found))

    def _loaded(self, block: Block) -> Chunk:
        chunk = self._chunk = _with_room(self._chunk, block.entries)
        chunk.count = block.entries
        chunk.key_view[: len(block.keys)] = block.keys
        chunk.value_view[: len(block.values)] = block.values
        if not self._judgement.keep_first_words:
            chunk.clear_words()
        return chunk

    def _write(self, chunk: Chunk, places: list[int]) -> None:
        if not places:
            return
        if self._judgement.clock.other_boot:
            rebase_times(chunk.value_view, chunk.count, chunk.slot)
        if len(places) < chunk.count:
            _keep(chunk.key_view, chunk.key_size, places)
            _keep(chunk.value_view, chunk.slot, places)
            chunk.count = len(places)
        self._writer.write(chunk)


def _forwards_in(chunk: Chunk) -> list[int]:
    return of_types(chunk.value_view, chunk.count, chunk.slot, _FORWARD)


def _keep(view: memoryview, size: int, places: list[int]) -> None:
    """Move the elements at ``places`` to the front."""
    view[: size * len(places)] = b"".join(
        view[place * size : (place + 1) * size] for place in places
    )


def _with_room(chunk: Chunk, count: int) -> Chunk:
    """The chunk, or a larger one in its place."""
    return chunk if count <= chunk.capacity else Chunk(chunk.key_size, chunk.slot, count)


class _Partners:
    """Looks for the NAT_REV entries that NAT_FWD values point at."""

    def __init__(self, where: Map, spec: MapSpec) -> None:
        self._where = where
        self._lookup = Lookup(where, spec.value_size)
        self._wanted = Chunk(spec.key_size, spec.value_size, BLOCK_ENTRIES)

    def found(self, chunk: Chunk, places: list[int]) -> list[int]:
        """Those of the chunk's ``places`` whose partner is there."""
        if not places:
            return []
        wanted, key, value = _with_room(self._wanted, len(places)), chunk.key_size, chunk.slot
        if wanted is not self._wanted:
            self._wanted, self._lookup = wanted, Lookup(self._where, value)
        wanted.count = len(places)
        wanted.key_view[: key * len(places)] = b"".join(
            chunk.value_view[start : start + key]
            for start in (place * value + HEADER_SIZE for place in places)
        )
        absent = set(self._lookup.missing(wanted, range(len(places))))
        kinds = self._lookup.values[TYPE::value]
        return [
            place
            for index, place in enumerate(places)
            if index not in absent and kinds[index] == EntryType.NAT_REV
        ]

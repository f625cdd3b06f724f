# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of all entries of a map: by batch calls, or entry by entry where there are none."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Iterator, NamedTuple, Union

from .._errors import ENOTSUPP, UnverifiedError
from .._uapi.bpf import ARRAY_TYPES, Cmd
from .._uapi.maps import MapSpec
from .attr import Attr
from .chunks import Chunk
from .maps import Map, value_slot
from .syscall import command_error, raw_bpf

DEFAULT_BATCH = 256
"""Entries a call moves: it holds the CPU for about 0.1 ms, and larger ones copy no faster."""

NO_BATCH = frozenset({errno.EINVAL, ENOTSUPP})
"""What a first batch call answers where the kernel or the map type has none."""

_TRY_AGAIN = frozenset({errno.EINTR, errno.EAGAIN, errno.EBUSY})
_RESTARTS = 4


class BatchReader:
    """Entries by MAP_LOOKUP_BATCH (5.6; LPM tries 5.12, per-CPU arrays 5.13).

    ``start`` and ``stop`` bound the hash buckets to read, for several readers of one map; a
    reader may go past ``stop`` by one call. Entries that stay in the map while it is read are
    seen once; those inserted or deleted meanwhile may be seen or not.
    """

    def __init__(self, source: Map, chunk: Chunk, start: int = 0, stop: int | None = None):
        self.chunk = chunk
        self.stop = stop
        self.ended = False
        self._cursor = ctypes.create_string_buffer(max(4, chunk.key_size))
        self._bucket = ctypes.c_uint32.from_buffer(self._cursor)
        self._attr = Attr()
        fields = self._attr.batch
        fields.map_fd = source.fd
        fields.out_batch = ctypes.addressof(self._cursor)
        if start:
            self._bucket.value = start
            fields.in_batch = fields.out_batch
        self._address = ctypes.addressof(self._attr)

    def read(self) -> int:
        """Fill the chunk; the number of entries in it, 0 at the end. Raises SyscallError."""
        fields, chunk = self._attr.batch, self.chunk
        chunk.count = 0
        while not self.ended and not chunk.count:
            fields.keys, fields.values = chunk.key_address, chunk.value_address
            fields.count = chunk.capacity
            self._answer(-raw_bpf(Cmd.MAP_LOOKUP_BATCH, self._address))
        return chunk.count

    def _answer(self, error: int) -> None:
        fields = self._attr.batch
        if error <= 0 or error == errno.ENOENT:
            self.chunk.count = fields.count
            fields.in_batch = fields.out_batch
            past_stop = self.stop is not None and self._bucket.value >= self.stop
            self.ended = error == errno.ENOENT or past_stop
        elif error == errno.ENOSPC:  # one hash bucket holds more entries than the chunk
            self.chunk.grow()
        elif error in _TRY_AGAIN:
            os.sched_yield()
        else:
            raise command_error(Cmd.MAP_LOOKUP_BATCH, error)


class EntryReader:
    """Entries by MAP_GET_NEXT_KEY and MAP_LOOKUP_ELEM, for every kernel and type with keys.

    The kernel starts a hash map again when the current key was deleted, so entries may be seen
    more than once; a map that changes so fast that reading it does not end is an error.
    """

    def __init__(self, source: Map, chunk: Chunk, max_entries: int) -> None:
        self.chunk = chunk
        self.ended = False
        self._left = _RESTARTS * max_entries + 1
        self._key = ctypes.create_string_buffer(chunk.key_size)
        self._next, self._lookup = Attr(), Attr()
        self._next.elem.map_fd = self._lookup.elem.map_fd = source.fd
        self._next.elem.value = self._lookup.elem.key = ctypes.addressof(self._key)

    def read(self) -> int:
        """Fill the chunk; the number of entries in it, 0 at the end.

        Raises SyscallError, and UnverifiedError when the map changes too fast to be read.
        """
        chunk, lookup = self.chunk, self._lookup
        address = ctypes.addressof(lookup)
        chunk.count = 0
        while chunk.count < chunk.capacity and self._advance():
            lookup.elem.value = chunk.value_address + chunk.count * chunk.slot
            error = -raw_bpf(Cmd.MAP_LOOKUP_ELEM, address)
            if error == errno.ENOENT:  # deleted since its key was read
                continue
            if error > 0:
                raise command_error(Cmd.MAP_LOOKUP_ELEM, error)
            offset = chunk.count * chunk.key_size
            chunk.key_view[offset : offset + chunk.key_size] = self._key.raw
            chunk.count += 1
        return chunk.count

    def _advance(self) -> bool:
        if self.ended:
            return False
        error = -raw_bpf(Cmd.MAP_GET_NEXT_KEY, ctypes.addressof(self._next))
        if error == errno.ENOENT:
            self.ended = True
            return False
        if error > 0:
            raise command_error(Cmd.MAP_GET_NEXT_KEY, error)
        self._next.elem.key = self._next.elem.value
        self._left -= 1
        if self._left < 0:
            raise UnverifiedError("The map changes faster than it can be read entry by entry.")
        return True


Reader = Union[BatchReader, EntryReader]


class Side(NamedTuple):
    """One side of a copy or comparison: an open map and its parameters."""

    map: Map
    spec: MapSpec


def new_chunk(spec: MapSpec, batch_size: int) -> Chunk:
    """A chunk that fits the entries of such a map."""
    return Chunk(spec.key_size, value_slot(spec), batch_size)


def has_batch(source: Map, spec: MapSpec) -> bool:
    """Whether this kernel reads this map by batch, tried with one call. Raises SyscallError."""
    chunk = new_chunk(spec, 1)
    attr = Attr()
    cursor = ctypes.create_string_buffer(max(4, spec.key_size))
    attr.batch.map_fd = source.fd
    attr.batch.out_batch = ctypes.addressof(cursor)
    attr.batch.keys, attr.batch.values = chunk.key_address, chunk.value_address
    attr.batch.count = 1
    return -raw_bpf(Cmd.MAP_LOOKUP_BATCH, ctypes.addressof(attr)) not in NO_BATCH


def open_reader(source: Map, spec: MapSpec, batch_size: int = DEFAULT_BATCH) -> Reader:
    """A reader of all entries, by batch where the kernel can. Raises SyscallError."""
    chunk = new_chunk(spec, batch_size)
    if has_batch(source, spec):
        return BatchReader(source, chunk)
    return EntryReader(source, chunk, spec.max_entries)


def count_entries(source: Map, spec: MapSpec) -> int:
    """Entries in the map now, counted by reading it; arrays always have max_entries."""
    if spec.type in ARRAY_TYPES:
        return spec.max_entries
    reader, total = open_reader(source, spec, 1024), 0
    while reader.read():
        total += reader.chunk.count
    return total


def chunks(reader: Reader, target: MapSpec) -> Iterator[Chunk]:
    """The reader's chunk, once for each time that it has been filled.

    Arrays are read in the order of their indexes and only as far as ``target`` has room.
    """
    left = target.max_entries if target.type in ARRAY_TYPES else None
    while reader.read():
        chunk = reader.chunk
        if left is not None:
            chunk.count = min(chunk.count, left)
            left -= chunk.count
        if not chunk.count:
            return
        yield chunk

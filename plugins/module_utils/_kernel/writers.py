# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing and comparing the entries of a chunk."""

from __future__ import annotations

import ctypes
import errno
from typing import Sequence

from .._uapi.bpf import Cmd, UpdateFlag
from .attr import ATTR_SIZE, Attr
from .chunks import Chunk
from .maps import Map
from .readers import DEFAULT_BATCH, NO_BATCH
from .syscall import command_error, raw_bpf


class ChunkWriter:
    """Writes whole chunks by MAP_UPDATE_BATCH (5.6), or entry by entry where there is none."""

    def __init__(self, target: Map) -> None:
        self._batch = Attr()
        self._batch.batch.map_fd = target.fd
        self._entries = EntryWriter(target)
        self._has_batch = True

    def write(self, chunk: Chunk) -> None:
        """Insert or replace every entry. Raises SyscallError, with E2BIG when the map is full."""
        if self._has_batch:
            fields = self._batch.batch
            fields.keys, fields.values = chunk.key_address, chunk.value_address
            fields.count = chunk.count
            error = -raw_bpf(Cmd.MAP_UPDATE_BATCH, ctypes.addressof(self._batch))
            if error <= 0:
                return
            if error not in NO_BATCH:
                raise command_error(Cmd.MAP_UPDATE_BATCH, error)
            self._has_batch = False
        for index in range(chunk.count):
            self._entries.put(chunk, index)


class EntryWriter:
    """Writes single entries of a chunk in place."""

    def __init__(self, target: Map) -> None:
        self._attr = Attr()
        self._attr.elem.map_fd = target.fd
        self._address = ctypes.addressof(self._attr)

    def put(self, chunk: Chunk, index: int, flag: UpdateFlag = UpdateFlag.ANY) -> bool:
        """Write entry ``index``; False when ``flag`` forbids it (key there, or not there).

        Raises SyscallError, with E2BIG when the map is full.
        """
        fields = self._attr.elem
        fields.key = chunk.key_address + index * chunk.key_size
        fields.value = chunk.value_address + index * chunk.slot
        fields.flags = flag
        error = -raw_bpf(Cmd.MAP_UPDATE_ELEM, self._address)
        if error in (errno.EEXIST, errno.ENOENT) and flag != UpdateFlag.ANY:
            return False
        if error > 0:
            raise command_error(Cmd.MAP_UPDATE_ELEM, error)
        return True


def delete_keys(target: Map, keys: Sequence[bytes], batch_size: int = DEFAULT_BATCH) -> int:
    """Delete entries by MAP_DELETE_BATCH (5.6), or one by one; how many there were to delete.

    A key that something else has deleted is passed. Raises SyscallError.
    """
    deleted = 0
    for first in range(0, len(keys), batch_size):
        part = keys[first : first + batch_size]
        done = _delete_batch(target, part)
        deleted += sum(target.delete(key) for key in part) if done is None else done
    return deleted


def _delete_batch(target: Map, keys: Sequence[bytes]) -> int | None:
    packed, size, attr = ctypes.create_string_buffer(b"".join(keys)), len(keys[0]), Attr()
    attr.batch.map_fd = target.fd
    place = deleted = 0
    while place < len(keys):
        attr.batch.keys = ctypes.addressof(packed) + place * size
        attr.batch.count = len(keys) - place
        error = -raw_bpf(Cmd.MAP_DELETE_BATCH, ctypes.addressof(attr))
        if error in NO_BATCH:
            return None
        if error > 0 and error != errno.ENOENT:
            raise command_error(Cmd.MAP_DELETE_BATCH, error)
        # ENOENT: the call ended at a key that was not there, after count others.
        deleted += attr.batch.count
        place += attr.batch.count + (error == errno.ENOENT)
    return deleted


class Lookup:
    """Finds the entries of a chunk in another map of the same layout.

    Attributes for every place in the chunk are made once, so that a look-up costs little more
    than its system call. ``values`` holds what was found, each value at its entry's place.
    """

    def __init__(self, target: Map, slot: int) -> None:
        self._fd = target.fd
        self._slot = slot
        self._keys_at = 0

    def _prepare(self, chunk: Chunk) -> None:
        self._keys_at = chunk.key_address
        self._buffer = ctypes.create_string_buffer(self._slot * chunk.capacity)
        self.values = memoryview(self._buffer).cast("B")
        self._attrs = (Attr * chunk.capacity)()
        values_at = ctypes.addressof(self._buffer)
        for index, attr in enumerate(self._attrs):
            attr.elem.map_fd = self._fd
            attr.elem.key = chunk.key_address + index * chunk.key_size
            attr.elem.value = values_at + index * self._slot
        first = ctypes.addressof(self._attrs)
        self._addresses = [first + index * ATTR_SIZE for index in range(chunk.capacity)]

    def missing(self, chunk: Chunk, places: Sequence[int]) -> list[int]:
        """Look the entries at ``places`` up; those that are not there. Raises SyscallError."""
        if self._keys_at != chunk.key_address:
            self._prepare(chunk)
        addresses, command = self._addresses, Cmd.MAP_LOOKUP_ELEM
        answers = [raw_bpf(command, addresses[place]) for place in places]
        failed = [index for index, answer in enumerate(answers) if answer]
        for index in failed:
            if -answers[index] != errno.ENOENT:
                raise command_error(command, -answers[index])
        return [places[index] for index in failed]

    def differing(self, chunk: Chunk, places: Sequence[int]) -> list[int]:
        """Those of ``places`` whose value is not the one that ``missing`` has just found."""
        slot, end = self._slot, chunk.count * self._slot
        ours, theirs = bytes(chunk.value_view[:end]), bytes(self.values[:end])
        if ours == theirs:
            return []
        return [
            place
            for place in places
            if ours[place * slot : (place + 1) * slot] != theirs[place * slot : (place + 1) * slot]
        ]

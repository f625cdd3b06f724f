# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing and reading a snapshot as a stream; memory is one block, however many entries."""

from __future__ import annotations

import hashlib
import struct
from typing import BinaryIO, Iterator, NamedTuple

from .header import (
    BLOCK,
    CHECKSUM_SIZE,
    END,
    MAX_BLOCK_BYTES,
    ORIGIN_SIZE,
    TABLE_SIZE,
    FormatError,
    Header,
    pack_header,
    unpack_origin,
    unpack_table,
)

_READ_BYTES = 1 << 18


class SnapshotWriter:
    """Writes a header, blocks of entries, and what closes the file."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.entries = [0] * len(header.tables)
        self._file = file
        self._tables = header.tables
        self._digest = hashlib.sha256()
        self._put(pack_header(header))

    def add(self, table: int, keys: memoryview, values: memoryview, count: int) -> None:
        """The first ``count`` entries of packed keys and values, for table number ``table``."""
        sizes = self._tables[table]
        self._put(BLOCK.pack(table, count))
        self._put(keys[: count * sizes.key_size])
        self._put(values[: count * sizes.value_size])
        self.entries[table] += count

    def finish(self) -> None:
        """Write totals and checksum. A file without them is refused as cut off."""
        self._put(BLOCK.pack(END, 0))
        self._put(struct.pack(f"<{len(self.entries)}Q", *self.entries))
        self._file.write(self._digest.digest())

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._file.write(data)


class Block(NamedTuple):
    """Entries of one table; the views are valid until the next block is read."""

    table: int
    entries: int
    keys: memoryview
    values: memoryview


class _Frame(NamedTuple):
    """A block's table, entries, and bytes of its keys and values."""

    table: int
    entries: int
    keys: int
    values: int


class SnapshotReader:
    """Reads a snapshot, whose checksum holds before anything else of it is believed.

    Raises FormatError: no snapshot, another format, cut off or damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        origin, tables = unpack_origin(file.read(ORIGIN_SIZE))
        self.checksum = self._verified()
        file.seek(ORIGIN_SIZE)
        self.header = Header(
            origin, tuple(unpack_table(file.read(TABLE_SIZE)) for _number in range(tables))
        )
        self._buffer = bytearray()
        self.entries = self._totals()
        self._require_consistent()

    def _verified(self) -> str:
        end = self._file.seek(0, 2) - CHECKSUM_SIZE
        self._file.seek(0)
        digest, left = hashlib.sha256(), end
        while left > 0:
            part = self._file.read(min(left, _READ_BYTES))
            if not part:
                break
            digest.update(part)
            left -= len(part)
        if left or self._file.read(CHECKSUM_SIZE) != digest.digest():
            raise FormatError("is a snapshot that is cut off or damaged: its checksum differs")
        return digest.hexdigest()

    def _totals(self) -> tuple[int, ...]:
        tables = len(self.header.tables)
        self._file.seek(-CHECKSUM_SIZE - 8 * tables, 2)
        return struct.unpack(f"<{tables}Q", self._read(8 * tables))

    def _require_consistent(self) -> None:
        counted = [0] * len(self.entries)
        for frame in self._frames():
            counted[frame.table] += frame.entries
        if tuple(counted) != self.entries:
            raise _inconsistent()

    def blocks(self) -> Iterator[Block]:
        """All blocks, in the order in which they were saved."""
        for table, entries, keys, values in self._frames():
            if len(self._buffer) < keys + values:
                self._buffer = bytearray(keys + values)
            view = memoryview(self._buffer)[: keys + values]
            if self._file.readinto(view) != len(view):  # type: ignore[attr-defined]
                raise _inconsistent()
            yield Block(table, entries, view[:keys], view[keys:])

    def _frames(self) -> Iterator[_Frame]:
        """What each block holds; the file then stands at its keys."""
        place = ORIGIN_SIZE + TABLE_SIZE * len(self.header.tables)
        while True:
            self._file.seek(place)
            table, entries = BLOCK.unpack(self._read(BLOCK.size))
            if table == END:
                return
            if table >= len(self.header.tables):
                raise _inconsistent()
            sizes = self.header.tables[table]
            frame = _Frame(table, entries, entries * sizes.key_size, entries * sizes.value_size)
            if frame.keys + frame.values > MAX_BLOCK_BYTES:
                raise _inconsistent()
            yield frame
            place += BLOCK.size + frame.keys + frame.values

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise _inconsistent()
        return data


def _inconsistent() -> FormatError:
    return FormatError("is a snapshot that contradicts itself, although its checksum fits")

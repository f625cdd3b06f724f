# SPDX-License-Identifier: GPL-3.0-or-later
"""What a snapshot says before and after its entries. All numbers are little-endian.

::

    origin    bpfopsCT, u32 format (1), u32 tables, 16 B boot id, u64 CLOCK_MONOTONIC in ns,
              u64 CLOCK_REALTIME in ns, 64 B node name, 128 B releases           240 B
    tables    each 16 B name, u32 type, key size, value size, max_entries, flags  36 B
    blocks    each u32 table, u32 entries, their keys, their values
    end       u32 0xffffffff, u32 0
    totals    each table's u64 entries
    checksum  SHA-256 of all that precedes                                        32 B

The totals stand behind the entries because only then they are known: the map is in use.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MAGIC = b"bpfopsCT"
FORMAT = 1
CHECKSUM_SIZE = 32
END = 0xFFFFFFFF
MAX_TABLES = 16
MAX_ENTRY_BYTES = 4096
"""Bound of a key and a value together; the largest that is known has 168."""
MAX_BLOCK_BYTES = 4 << 20
"""Bound of a block's keys and values, and so of the memory that reading takes."""

_ORIGIN = struct.Struct("<8sII16sQQ64s128s")
_TABLE = struct.Struct("<16s5I")
BLOCK = struct.Struct("<II")
ORIGIN_SIZE = _ORIGIN.size
TABLE_SIZE = _TABLE.size


class FormatError(Exception):
    """Bytes that are no snapshot; the text says what they are, after the name of the file."""


class Origin(NamedTuple):
    """When and where the entries were saved.

    ``boot_id`` is 32 hexadecimal digits; ``monotonic`` and ``wall`` are in ns; ``release`` is a
    range of Calico releases.
    """

    boot_id: str
    monotonic: int
    wall: int
    node: str
    release: str


class Table(NamedTuple):
    """A saved map: its name and parameters, sizes in bytes."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Header(NamedTuple):
    """All that precedes the entries."""

    origin: Origin
    tables: tuple[Table, ...]


def pack_header(header: Header) -> bytes:
    """The bytes of a header; texts that are too long are cut."""
    origin = header.origin
    packed = _ORIGIN.pack(
        MAGIC,
        FORMAT,
        len(header.tables),
        bytes.fromhex(origin.boot_id),
        origin.monotonic,
        origin.wall,
        origin.node.encode("utf-8", "replace"),
        origin.release.encode("ascii"),
    )
    return packed + b"".join(
        _TABLE.pack(table.name.encode("ascii"), *table[1:]) for table in header.tables
    )


def unpack_origin(raw: bytes) -> tuple[Origin, int]:
    """The origin and the number of tables.

    Raises FormatError for bytes that are no snapshot, and for a format that is not known.
    """
    if raw[: len(MAGIC)] != MAGIC:
        raise FormatError("is no snapshot of a conntrack table")
    if len(raw) < _ORIGIN.size:
        raise FormatError("is a snapshot that is cut off")
    _magic, number, tables, boot_id, monotonic, wall, node, release = _ORIGIN.unpack(raw)
    if number != FORMAT:
        raise FormatError(f"is a snapshot of format {number}, and this version reads {FORMAT}")
    if not 1 <= tables <= MAX_TABLES:
        raise FormatError(f"is a snapshot of {tables} tables, not of 1 to {MAX_TABLES}")
    origin = Origin(boot_id.hex(), monotonic, wall, _text(node), _text(release))
    return origin, tables


def unpack_table(raw: bytes) -> Table:
    """One table. Raises FormatError for one that no conntrack map can be."""
    if len(raw) < _TABLE.size:
        raise FormatError("is a snapshot that is cut off")
    name, *numbers = _TABLE.unpack(raw)
    table = Table(_text(name), *numbers)
    if not (table.key_size and table.value_size):
        raise FormatError(f"is a snapshot with entries of no bytes in {table.name}")
    if table.key_size + table.value_size > MAX_ENTRY_BYTES:
        raise FormatError(f"is a snapshot with entries above {MAX_ENTRY_BYTES} B in {table.name}")
    return table


def file_size(tables: dict[Table, int], block_entries: int) -> int:
    """Bytes of a file with these numbers of entries, in blocks of ``block_entries``."""
    size = ORIGIN_SIZE + BLOCK.size + CHECKSUM_SIZE
    for table, entries in tables.items():
        blocks = -(-entries // block_entries)
        size += TABLE_SIZE + 8 + blocks * BLOCK.size
        size += entries * (table.key_size + table.value_size)
    return size


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("utf-8", "replace")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot's bytes, written and read here by struct alone; and everything that is none."""

from __future__ import annotations

import hashlib
import io
import struct

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._snapshot import header as format_
from ansible_collections.bpfops.calico.plugins.module_utils._snapshot.header import (
    FormatError,
    Header,
    Origin,
    Table,
)
from ansible_collections.bpfops.calico.plugins.module_utils._snapshot.stream import (
    SnapshotReader,
    SnapshotWriter,
)

BOOT = "00112233445566778899aabbccddeeff"
ORIGIN = Origin(BOOT, 5_000_000_007, 1_788_000_000 * 10**9, "node-1", ">=3.30.0,<3.31.0")
V4 = Table("cali_v4_ct3", 1, 16, 88, 512000, 1)
V6 = Table("cali_v6_ct3", 1, 40, 128, 4096, 1)
ENTRIES = {V4: [(bytes([n]) * 16, bytes([n + 100]) * 88) for n in range(5)], V6: []}
ENTRIES[V6] = [(b"k" * 40, b"v" * 128)]


def written() -> bytes:
    """A snapshot as the writer makes it: three blocks, and chunks longer than their entries."""
    file = io.BytesIO()
    writer = SnapshotWriter(file, Header(ORIGIN, (V4, V6)))
    for number, table, part in ((0, V4, slice(0, 3)), (1, V6, slice(0, 1)), (0, V4, slice(3, 5))):
        entries = ENTRIES[table][part]
        keys, values = (b"".join(half) + b"rest" for half in zip(*entries))
        writer.add(number, memoryview(keys), memoryview(values), len(entries))
    writer.finish()
    assert writer.entries == [5, 1]
    return file.getvalue()


def by_hand(version: int = 1, tables: int = 2, blocks: bytes | None = None) -> bytes:
    """The same file, byte by byte as the format's description says."""
    raw = b"bpfopsCT" + struct.pack("<II", version, tables) + bytes.fromhex(BOOT)
    raw += struct.pack("<QQ", ORIGIN.monotonic, ORIGIN.wall)
    raw += b"node-1".ljust(64, b"\0") + b">=3.30.0,<3.31.0".ljust(128, b"\0")
    raw += b"cali_v4_ct3".ljust(16, b"\0") + struct.pack("<5I", 1, 16, 88, 512000, 1)
    raw += b"cali_v6_ct3".ljust(16, b"\0") + struct.pack("<5I", 1, 40, 128, 4096, 1)
    raw += three_blocks() if blocks is None else blocks
    raw += struct.pack("<II", 0xFFFFFFFF, 0) + struct.pack("<QQ", 5, 1)
    return raw + hashlib.sha256(raw).digest()


def three_blocks() -> bytes:
    return block(0, V4, 0, 3) + block(1, V6, 0, 1) + block(0, V4, 3, 5)


def block(number: int, table: Table, first: int, last: int) -> bytes:
    entries = ENTRIES[table][first:last]
    keys, values = (b"".join(half) for half in zip(*entries))
    return struct.pack("<II", number, len(entries)) + keys + values


def read(raw: bytes) -> SnapshotReader:
    return SnapshotReader(io.BytesIO(raw))


def test_the_bytes_are_as_described() -> None:
    assert written() == by_hand()
    size = format_.file_size({V4: 5, V6: 1}, 3)
    assert size == len(by_hand())


def test_reading_gives_back_what_was_written() -> None:
    reader = read(by_hand())
    assert reader.header == Header(ORIGIN, (V4, V6))
    assert reader.entries == (5, 1)
    assert reader.checksum == hashlib.sha256(by_hand()[:-32]).hexdigest()
    for _again in range(2):
        found = [
            (one.table, one.entries, bytes(one.keys), bytes(one.values)) for one in reader.blocks()
        ]
        wanted = []
        for number, table, first, last in ((0, V4, 0, 3), (1, V6, 0, 1), (0, V4, 3, 5)):
            keys, values = (b"".join(half) for half in zip(*ENTRIES[table][first:last]))
            wanted.append((number, last - first, keys, values))
        assert found == wanted


@pytest.mark.parametrize("size", range(0, 1020, 3))
def test_cut_off_anywhere(size: int) -> None:
    whole = by_hand()
    assert len(whole) > 1020
    with pytest.raises(FormatError, match="no snapshot" if size < 8 else "cut off"):
        read(whole[:size])


def test_each_flipped_byte_is_noticed() -> None:
    whole = by_hand()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        with pytest.raises(FormatError):
            read(bytes(damaged))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "is no snapshot"),
        (b"root:x:0:0:root:/root:/bin/bash\n" * 50, "is no snapshot"),
        (by_hand(version=2), "of format 2, and this version reads 1"),
        (by_hand(tables=0), "of 0 tables"),
        (by_hand(tables=17), "of 17 tables"),
    ],
)
def test_what_is_no_snapshot(raw: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        read(raw)


@pytest.mark.parametrize(
    "blocks",
    [
        struct.pack("<II", 2, 1) + bytes(104),  # a table that is not there
        struct.pack("<II", 0, 10**9),  # more than a block may hold
        struct.pack("<II", 0, 40000),  # more than there is
        block(0, V4, 0, 3),  # other numbers than the totals
    ],
)
def test_a_fitting_checksum_is_no_excuse(blocks: bytes) -> None:
    with pytest.raises(FormatError, match="contradicts itself"):
        read(by_hand(blocks=blocks))


def test_entries_of_absurd_size() -> None:
    for sizes in ((0, 88), (16, 0), (16, 5000)):
        with pytest.raises(FormatError, match="entries"):
            format_.unpack_table(struct.pack("<16s5I", b"x", 1, *sizes, 1, 0))


def test_texts_that_are_too_long_are_cut() -> None:
    packed = format_.pack_header(Header(ORIGIN._replace(node="n" * 300), (V4,)))
    origin, tables = format_.unpack_origin(packed[: format_.ORIGIN_SIZE])
    assert (origin.node, tables) == ("n" * 64, 1)

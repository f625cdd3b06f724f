# SPDX-License-Identifier: GPL-3.0-or-later
"""What programs wrote to the old map is merged into the new one."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.support import HASH, content, fill, make, run, shown
from tests.observe import rawbpf


def test_old_map_is_kept_and_merged(pins: Path) -> None:
    path, keep = pins / "m", pins / "kept" / "old"
    old = make(path, HASH, 10, value=16)
    stamp = struct.Struct("<QQ")
    rawbpf.put(old, b"same", stamp.pack(1, 100))
    rawbpf.put(old, b"late", stamp.pack(1, 100))
    run(path=str(path), max_entries=20, keep_old_pin=str(keep))
    assert shown(keep)["id"] == rawbpf.map_id(old)
    new = rawbpf.open_pinned(str(path))
    rawbpf.put(old, b"miss", stamp.pack(2, 300))
    rawbpf.put(old, b"late", stamp.pack(2, 300))
    rawbpf.put(new, b"same", stamp.pack(3, 900))
    merge: dict[str, Any] = {"path": str(path), "merge_from": str(keep), "timestamp_offset": 8}
    foretold = run(check=True, **merge)
    result = run(**merge)
    assert result.actions == foretold.actions
    assert result.facts["merge"] == {"inserted": 1, "updated": 1}
    assert content(path, 4, 16) == {
        b"same": stamp.pack(3, 900),
        b"late": stamp.pack(2, 300),
        b"miss": stamp.pack(2, 300),
    }
    assert run(**merge).actions == ()


def test_merge_without_a_time_never_replaces(pins: Path) -> None:
    path, other = pins / "m", pins / "other"
    target, source = make(path, HASH, 10), make(other, HASH, 10)
    rawbpf.put(target, b"both", b"targetxx")
    rawbpf.put(source, b"both", b"sourcexx")
    rawbpf.put(source, b"only", b"sourcexx")
    run(path=str(path), merge_from=str(other))
    assert content(path, 4, 8) == {b"both": b"targetxx", b"only": b"sourcexx"}


def test_merge_that_does_not_fit_is_refused(pins: Path) -> None:
    path, other = pins / "m", pins / "other"
    target, source = make(path, HASH, 10), make(other, HASH, 10)
    fill(target, HASH, 8)
    for number in range(3):
        rawbpf.put(source, b"new%d" % number, bytes(8))
    before = content(path, 4, 8)
    with pytest.raises(errors.RefusedError, match="max_entries: 10 is too small for the 11"):
        run(path=str(path), merge_from=str(other))
    assert content(path, 4, 8) == before


def test_writer_during_the_migration_loses_nothing(pins: Path) -> None:
    """A program's stand-in writes the old map all the time; a merge afterwards completes it."""
    path, keep = pins / "m", pins / "old"
    old = make(path, HASH, 60_000, key=8, value=16)
    for number in range(20_000):
        rawbpf.put(old, struct.pack("<Q", number), struct.pack("<QQ", 0, time.monotonic_ns()))
    stop, written = threading.Event(), [20_000]

    def write() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 7) % 20_000
            rawbpf.put(old, struct.pack("<Q", number), struct.pack("<QQ", 1, time.monotonic_ns()))
            if number % 3 == 0 and written[0] < 25_000:
                key = struct.pack("<Q", written[0])
                rawbpf.put(old, key, struct.pack("<QQ", 2, time.monotonic_ns()))
                written[0] += 1
            if number % 5 == 0:
                rawbpf.delete(old, struct.pack("<Q", number))
                rawbpf.put(
                    old, struct.pack("<Q", number), struct.pack("<QQ", 3, time.monotonic_ns())
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run(path=str(path), max_entries=90_000, keep_old_pin=str(keep), timestamp_offset=8)
    finally:
        stop.set()
        writer.join()
    run(path=str(path), merge_from=str(keep), timestamp_offset=8)
    found = content(path, 8, 16)
    assert found == content(keep, 8, 16)
    assert len(found) == written[0]

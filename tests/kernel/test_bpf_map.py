# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared map against the running kernel, seen through raw bpf(2) and bpftool."""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import migrate
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import proc
from tests.kernel.support import (
    ARRAY,
    HASH,
    LPM_TRIE,
    LRU_HASH,
    LRU_PERCPU_HASH,
    NO_PREALLOC,
    PERCPU_ARRAY,
    PERCPU_HASH,
    content,
    fill,
    make,
    names,
    run,
    shown,
    slot,
)
from tests.observe import rawbpf

KINDS = [
    (HASH, "hash", 16, 88, NO_PREALLOC),
    (HASH, "hash", 5, 3, 0),
    (PERCPU_HASH, "percpu_hash", 4, 12, 0),
    (LRU_HASH, "lru_hash", 40, 128, 0),
    (LRU_PERCPU_HASH, "lru_percpu_hash", 4, 8, 0),
    (LPM_TRIE, "lpm_trie", 8, 12, NO_PREALLOC),
]


@pytest.mark.parametrize(("kind", "name", "key", "value", "flags"), KINDS)
@pytest.mark.parametrize("batch", [1, 7, 256])
def test_migration_keeps_every_entry(
    pins: Path, kind: int, name: str, key: int, value: int, flags: int, batch: int
) -> None:
    path = pins / "m"
    old = make(path, kind, 2000, key=key, value=value, flags=flags)
    wanted = fill(old, kind, 700, key, value)
    result = run(path=str(path), max_entries=4000, batch_size=batch)
    assert result.actions
    assert content(path, key, slot(kind, value)) == wanted
    map_shown = shown(path)
    assert (map_shown["type"], map_shown["max_entries"]) == (name, 4000)
    assert (map_shown["bytes_key"], map_shown["bytes_value"]) == (key, value)
    assert map_shown["flags"] == flags
    assert map_shown["id"] != rawbpf.map_id(old)
    assert result.facts["migration"]["entries"] == 700
    assert run(path=str(path), max_entries=4000).actions == ()
    assert shown(path)["id"] == map_shown["id"]


@pytest.mark.parametrize("kind", [ARRAY, PERCPU_ARRAY])
@pytest.mark.parametrize("entries", [60, 40, 11])
def test_arrays_keep_their_elements(pins: Path, kind: int, entries: int) -> None:
    path = pins / "m"
    old = make(path, kind, 50)
    wanted = fill(old, kind, 11)
    run(path=str(path), max_entries=entries)
    found = content(path, 4, slot(kind, 8))
    assert len(found) == entries
    assert {key: found[key] for key in wanted} == wanted
    assert not any(any(value) for key, value in found.items() if key not in wanted)


@pytest.mark.parametrize("kind", [ARRAY, PERCPU_ARRAY])
def test_array_too_small_for_its_last_element_is_refused(pins: Path, kind: int) -> None:
    path = pins / "m"
    old = make(path, kind, 50)
    wanted = fill(old, kind, 11)
    with pytest.raises(errors.RefusedError, match="max_entries: 10 is too small for the 11"):
        run(path=str(path), max_entries=10)
    assert content(path, 4, slot(kind, 8)).items() >= wanted.items()
    assert shown(path)["id"] == rawbpf.map_id(old)


@pytest.mark.parametrize(("kind", "limit"), [(HASH, 99), (LRU_HASH, 100)])
def test_map_too_small_for_its_entries_is_refused(pins: Path, kind: int, limit: int) -> None:
    path = pins / "m"
    old = make(path, kind, 2000)
    fill(old, kind, 100)
    with pytest.raises(errors.RefusedError, match=f"max_entries: {limit} .* 100 entries"):
        run(path=str(path), max_entries=limit)
    assert shown(path)["id"] == rawbpf.map_id(old)
    assert names(pins) == ["m"]


def test_two_threads_copy_the_same(pins: Path) -> None:
    path = pins / "m"
    old = make(path, HASH, 5000)
    wanted = fill(old, HASH, 3000)
    result = run(path=str(path), max_entries=6000, threads=2)
    assert content(path, 4, 8) == wanted
    # Each reads its half, and perhaps a few entries of the other's.
    assert 3000 <= result.facts["migration"]["entries"] < 3300
    first = result.facts["migration"]["passes"][0]
    assert (first["seen"], first["changed"]) == (3000, 0)


def test_two_threads_are_not_taken_for_an_eviction(pins: Path) -> None:
    path = pins / "m"
    old = make(path, LRU_HASH, 5000)
    wanted = fill(old, LRU_HASH, 3000)
    run(path=str(path), max_entries=9000, threads=3, batch_size=64)
    assert content(path, 4, 8) == wanted


def test_hash_bucket_larger_than_the_batch(pins: Path) -> None:
    path = pins / "m"
    old = make(path, HASH, 4096)
    wanted = fill(old, HASH, 4096)  # as many entries as buckets: some buckets hold several
    run(path=str(path), max_entries=8192, batch_size=1)
    assert content(path, 4, 8) == wanted


def test_check_mode_predicts_and_changes_nothing(pins: Path) -> None:
    path = pins / "m"
    old = make(path, HASH, 10)
    fill(old, HASH, 5)
    before = (shown(path), names(pins), path.stat().st_mtime_ns)
    keep = str(pins / "old")
    foretold = run(check=True, path=str(path), max_entries=20, keep_old_pin=keep)
    assert (shown(path), names(pins), path.stat().st_mtime_ns) == before
    done = run(path=str(path), max_entries=20, keep_old_pin=keep)
    assert foretold.actions == done.actions
    assert (foretold.before, foretold.after) == (done.before, done.after)


def test_entries_deleted_meanwhile_do_not_come_back(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pins / "m"
    old = make(path, HASH, 100)
    fill(old, HASH, 50)
    copy = migrate.copy_entries

    def copy_and_delete(*args: Any) -> int:
        copied = copy(*args)
        rawbpf.delete(old, struct.pack("<I", 7))
        return int(copied)

    monkeypatch.setattr(migrate, "copy_entries", copy_and_delete)
    result = run(path=str(path), max_entries=200)
    found = content(path, 4, 8)
    assert struct.pack("<I", 7) not in found
    assert len(found) == 49
    assert sum(step["deleted"] for step in result.facts["migration"]["passes"]) == 1


def test_frozen_map_stays_frozen(pins: Path) -> None:
    path = pins / "m"
    old = make(path, HASH, 10)
    fill(old, HASH, 5)
    rawbpf.freeze(old)
    run(path=str(path), max_entries=20)
    assert shown(path)["frozen"] == 1
    assert len(content(path, 4, 8)) == 5


def test_lru_without_common_list_is_sized_as_the_kernel_rounds(pins: Path) -> None:
    path = pins / "m"
    odd = 100 * proc.possible_cpus() + 1
    params: dict[str, Any] = {
        "path": str(path),
        "type": "lru_hash",
        "key_size": 4,
        "value_size": 8,
        "max_entries": odd,
        "flags": ["BPF_F_NO_COMMON_LRU"],
    }
    run(**params)
    assert shown(path)["max_entries"] % proc.possible_cpus() == 0
    assert run(**params).actions == ()


def test_recreate_empties_and_may_change_the_type(pins: Path) -> None:
    path, keep = pins / "m", pins / "old"
    old = make(path, HASH, 10)
    fill(old, HASH, 5)
    run(path=str(path), type="lru_hash", on_mismatch="recreate", keep_old_pin=str(keep))
    assert shown(path)["type"] == "lru_hash"
    assert content(path, 4, 8) == {}
    assert len(content(keep, 4, 8)) == 5


def test_absent_unpins(pins: Path) -> None:
    path = pins / "m"
    make(path, HASH, 10)
    assert run(path=str(path), state="absent").actions
    assert not path.exists()
    assert run(path=str(path), state="absent").actions == ()


def test_interrupted_swap_is_finished_by_the_next_run(pins: Path) -> None:
    path = pins / "m"
    old = make(path, HASH, 10)
    wanted = fill(old, HASH, 5)
    make(pins / "bpfops_m", HASH, 20)  # killed between pin and rename
    run(path=str(path), max_entries=20)
    assert content(path, 4, 8) == wanted
    assert names(pins) == ["m"]


def test_swap_never_leaves_the_path_empty(pins: Path) -> None:
    path = pins / "m"
    fill(make(path, HASH, 100), HASH, 50)
    stop, gaps = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            try:
                os.close(rawbpf.open_pinned(str(path)))
            except OSError as error:
                gaps.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for entries in range(200, 240):
        run(path=str(path), max_entries=entries)
    stop.set()
    watcher.join()
    assert gaps == []


def test_memory_of_a_small_map_is_reported(pins: Path) -> None:
    path = pins / "m"
    make(path, ARRAY, 1000)
    assert run(path=str(path)).facts["map"]["memory_bytes"] >= 8000

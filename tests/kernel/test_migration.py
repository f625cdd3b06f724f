# SPDX-License-Identifier: GPL-3.0-or-later
"""What other writers do at chosen moments of a migration, and what becomes of it."""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import migrate
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import iterator, rules
from tests.kernel.support import HASH, LRU_HASH, content, fill, make, names, run, shown
from tests.observe import rawbpf

STAMP = struct.Struct("<QQ")


def after(
    monkeypatch: pytest.MonkeyPatch, step: str, event: Callable[[], None], times: int = 1
) -> None:
    """Let ``event`` happen right after the first ``times`` calls of a step."""
    original, left = getattr(migrate, step), [times]

    def wrapped(*args: Any, **keywords: Any) -> Any:
        result = original(*args, **keywords)
        if left[0]:
            left[0] -= 1
            event()
        return result

    monkeypatch.setattr(migrate, step, wrapped)


def stamped(value: int) -> bytes:
    return STAMP.pack(value, time.monotonic_ns())


@pytest.mark.parametrize("offset", [None, 8])
@pytest.mark.parametrize("step", ["copy_entries", "carry", "swap"])
def test_what_reaches_the_old_map_is_carried_over(
    pins: Path, monkeypatch: pytest.MonkeyPatch, step: str, offset: int | None
) -> None:
    path = pins / "m"
    old = make(path, HASH, 100, value=16)
    rawbpf.put(old, b"kept", STAMP.pack(1, 1))
    rawbpf.put(old, b"late", STAMP.pack(1, 1))

    def write() -> None:
        rawbpf.put(old, b"late", stamped(2))
        rawbpf.put(old, b"new.", stamped(3))

    after(monkeypatch, step, write)
    run(path=str(path), max_entries=200, timestamp_offset=offset)
    found = {key: STAMP.unpack(value)[0] for key, value in content(path, 4, 16).items()}
    assert found == {b"kept": 1, b"late": 2, b"new.": 3}


def test_what_reaches_the_new_map_after_the_swap_is_not_undone(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pins / "m"
    old = make(path, HASH, 100, value=16)
    rawbpf.put(old, b"both", stamped(1))
    after(
        monkeypatch, "swap", lambda: rawbpf.put(rawbpf.open_pinned(str(path)), b"both", stamped(9))
    )
    run(path=str(path), max_entries=200, timestamp_offset=8)
    assert STAMP.unpack(content(path, 4, 16)[b"both"])[0] == 9


def test_an_entry_with_an_old_time_is_found_by_counting(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pins / "m"
    old = make(path, HASH, 100, value=16)
    rawbpf.put(old, b"kept", stamped(1))
    after(monkeypatch, "copy_entries", lambda: rawbpf.put(old, b"aged", STAMP.pack(2, 1)))
    run(path=str(path), max_entries=200, timestamp_offset=8)
    assert set(content(path, 4, 16)) == {b"kept", b"aged"}


def test_passes_end_at_their_bound(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pins / "m"
    old = make(path, HASH, 1000, value=16)
    busy = [64]

    def write() -> None:  # fewer with each pass, so that none is the last by itself
        busy[0] //= 2
        for number in range(busy[0]):
            rawbpf.put(old, struct.pack("<I", number), stamped(busy[0]))

    after(monkeypatch, "copy_entries", write)
    after(monkeypatch, "carry", write, times=4)
    result = run(path=str(path), max_entries=2000, delta_passes=3)
    assert len(result.facts["migration"]["passes"]) == 5  # three, and two after the swap


def test_passes_that_gain_nothing_end(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pins / "m"
    old = make(path, HASH, 1000, value=16)
    for number in range(10):
        rawbpf.put(old, struct.pack("<I", number), stamped(0))

    def write() -> None:
        for number in range(10):
            rawbpf.put(old, struct.pack("<I", number), stamped(1))

    after(monkeypatch, "copy_entries", write)
    after(monkeypatch, "carry", write, times=50)
    result = run(path=str(path), max_entries=2000, delta_passes=50)
    assert len(result.facts["migration"]["passes"]) == 4  # two, and two after the swap


def test_map_that_fills_up_meanwhile_changes_nothing(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pins / "m"
    old = make(path, HASH, 100)
    fill(old, HASH, 50)
    after(monkeypatch, "copy_entries", lambda: rawbpf.put(old, b"more", bytes(8)))
    with pytest.raises(errors.SyscallError, match="E2BIG: the map is full"):
        run(path=str(path), max_entries=50)
    assert shown(path)["id"] == rawbpf.map_id(old)
    assert names(pins) == ["m"]


def test_lru_that_evicts_is_noticed_before_the_swap(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pins / "m"
    old = make(path, LRU_HASH, 4000)
    fill(old, LRU_HASH, 1500)
    # A map for a third of the entries, let through the check that would refuse it.
    monkeypatch.setattr(
        "ansible_collections.bpfops.calico.plugins.module_utils._plan.migration.capacity",
        lambda spec: 10**6,
    )
    with pytest.raises(errors.UnverifiedError, match="max_entries: 500 is too small for an LRU"):
        run(path=str(path), max_entries=500)
    assert shown(path)["id"] == rawbpf.map_id(old)
    assert len(content(path, 4, 8)) == 1500


def test_what_one_pass_misses_the_next_finds(pins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk in the kernel may pass over an entry that is replaced at that very moment."""
    path = pins / "m"
    old = make(path, HASH, 100, value=16)
    rawbpf.put(old, b"both", stamped(1))
    rawbpf.put(old, b"busy", stamped(1))
    monkeypatch.setattr(migrate, "TIME_MARGIN", 0)
    carry, calls = migrate.carry, [0]

    def careless(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            return rules.Pass(2, 0, 1)  # it has seen something, but not this entry
        done = carry(*args)
        if calls[0] == 1:
            rawbpf.put(old, b"both", stamped(7))
            return done._replace(updated=2)
        return done

    def nothing(*args: Any) -> rules.Pass:
        return rules.Pass()

    monkeypatch.setattr(migrate, "carry", careless)
    monkeypatch.setattr(migrate.user_passes, "carry", nothing)
    run(path=str(path), max_entries=200, timestamp_offset=8)
    assert STAMP.unpack(content(path, 4, 16)[b"both"])[0] == 7


def test_what_the_kernel_refuses_is_done_from_user_space(
    pins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = iterator.Counts(seen=1, inserted=0, updated=0, refused=1, errno=errno.ENOMEM)
    monkeypatch.setattr(iterator, "carry", lambda *args: refused)
    path, other = pins / "m", pins / "other"
    make(path, HASH, 10)
    rawbpf.put(make(other, HASH, 10), b"only", b"sourcexx")
    run(path=str(path), merge_from=str(other))
    assert content(path, 4, 8) == {b"only": b"sourcexx"}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring what is missing from a snapshot; tables are filled and read by raw bpf(2)."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import snapshot as execute
from ansible_collections.bpfops.calico.plugins.modules import conntrack_snapshot
from tests.kernel.flows import (
    ESTABLISHED,
    NAT_REV,
    SECOND,
    TCP,
    UDP,
    first_word,
    forward,
    key4,
    key6,
    last_seen,
    value,
)
from tests.kernel.snapshots import BOOT_ID, MONOTONIC, NODE, change, saved_clocks, snapshot
from tests.kernel.support import HASH, LRU_HASH, NO_PREALLOC, content, make
from tests.observe import rawbpf

Entries = dict[bytes, bytes]
RELEASE = {"cali_v4_ct3": "v3.29.7", "cali_v4_ct4": "v3.31.7"}
BACKEND = key4(UDP, "10.0.0.4", 3000, "10.0.0.5", 53)
SERVICE = key4(UDP, "10.0.0.4", 3000, "10.96.0.10", 53)


def table(pins: Path, entries: Entries, name: str = "cali_v4_ct3", size: int = 1000) -> Path:
    """A pinned table with these entries, in the place of one before."""
    path = pins / name
    path.unlink(missing_ok=True)
    kind, flags = (HASH, NO_PREALLOC) if name.endswith("3") else (LRU_HASH, 0)
    key, length = (16, 88) if "_v4_" in name else (40, 128)
    fd = make(path, kind, size, key=key, value=length, flags=flags)
    for each, raw in entries.items():
        rawbpf.put(fd, each, raw)
    os.close(fd)
    return path


def flows(count: int, idle: float = 5) -> Entries:
    return {
        key4(TCP, "10.0.0.1", n, "10.0.0.2", 80): value(idle, bits=ESTABLISHED)
        for n in range(count)
    }


def held(path: Path) -> Entries:
    return content(path, *((16, 88) if "_v4_" in path.name else (40, 128)))


def saved(pins: Path, tmp_path: Path, entries: Entries, name: str = "cali_v4_ct3") -> Path:
    """A snapshot of a table with these entries, which is empty afterwards."""
    table(pins, entries, name)
    path = tmp_path / "s"
    snapshot("saved", path, pins, calico_version=RELEASE[name])
    table(pins, {}, name)
    return path


def restored(path: Path, pins: Path, check: bool = False, **params: Any) -> Any:
    return snapshot("restored", path, pins, check, **{"calico_version": "v3.29.7", **params})


def test_missing_entries_only(pins: Path, tmp_path: Path) -> None:
    entries = flows(600)
    path = saved(pins, tmp_path, entries)
    keys = list(entries)
    newer, other = value(1, bits=ESTABLISHED), key4(TCP, "192.0.2.1", 1, "192.0.2.2", 2)
    live = {keys[0]: newer, keys[1]: value(3000, bits=ESTABLISHED), other: newer}
    target = table(pins, live, size=1000)
    dry = restored(path, pins, check=True)
    assert held(target) == live
    done = restored(path, pins)
    assert dry.actions == done.actions == (f"Restore 598 missing entries to {target}",)
    assert held(target) == {**entries, **live}
    assert (dry.before, dry.after) == ({str(target): 3}, {str(target): 601})
    (counts,) = done.facts["restored"]
    assert (counts["in_file"], counts["present"], counts["missing"]) == (600, 2, 598)
    assert done.facts["inserted"] == 598
    again = restored(path, pins)
    assert again.actions == ()
    assert again.before == again.after == {str(target): 601}
    assert held(target) == {**entries, **live}


def test_expired_entries_stay_out(pins: Path, tmp_path: Path) -> None:
    udp = {key4(UDP, "10.0.0.1", n, "10.0.0.2", 80): value(59 + n) for n in range(0, 20, 2)}
    path = saved(pins, tmp_path, {**udp, **flows(3, idle=3590)})
    # 55 s go by between saving and restoring.
    change(path, MONOTONIC, struct.pack("<Q", saved_clocks(path)[0] - 55 * SECOND))
    done = restored(path, pins)
    target = pins / "cali_v4_ct3"
    alive = [key for key, raw in udp.items() if time.monotonic_ns() - last_seen(raw) < 60 * SECOND]
    assert set(held(target)) == {*alive, *flows(3)}
    assert done.facts["restored"][0]["expired"] == 10 - len(alive)
    # A longer timer keeps all of them.
    restored(path, pins, timeouts={"udp": 200})
    assert len(held(target)) == 13


def test_forward_entries_live_by_their_partner(pins: Path, tmp_path: Path) -> None:
    gone, there = (key4(UDP, "10.0.0.4", port, "10.0.0.5", 53) for port in (3001, 3002))
    entries = {
        BACKEND: value(30, NAT_REV),
        SERVICE: forward(BACKEND, idle=500),  # by its own age it would be gone
        gone: value(70, NAT_REV),
        key4(UDP, "10.0.0.4", 3001, "10.96.0.10", 53): forward(gone),
        key4(UDP, "10.0.0.4", 3002, "10.96.0.10", 53): forward(there),
        key4(UDP, "10.0.0.4", 3003, "10.96.0.10", 53): forward(next(iter(flows(1)))),
        **flows(1),
    }
    path = saved(pins, tmp_path, entries)
    target = table(pins, {there: value(1, NAT_REV)})
    done = restored(path, pins)
    (counts,) = done.facts["restored"]
    assert (counts["expired"], counts["without_partner"], counts["missing"]) == (1, 2, 4)
    services = {key4(UDP, "10.0.0.4", port, "10.96.0.10", 53) for port in (3000, 3002)}
    assert set(held(target)) == {BACKEND, there, *services, *flows(1)}


def test_blocks_of_any_size(pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a later version may have larger ones than the reader's buffers are for."""
    entries = {}
    for port in range(700):
        reverse = key4(UDP, "10.0.0.4", port, "10.0.0.5", 53)
        entries[reverse] = value(3, NAT_REV)
        entries[key4(UDP, "10.0.0.4", port, "10.96.0.10", 53)] = forward(reverse)
    monkeypatch.setattr(execute, "BLOCK_ENTRIES", 600)
    table(pins, entries, size=2000)
    snapshot("saved", tmp_path / "s", pins, calico_version="v3.29.7")
    target = table(pins, {}, size=2000)
    restored(tmp_path / "s", pins)
    assert held(target) == entries


@pytest.mark.parametrize(
    ("saved_as", "restored_as", "kept"),
    [
        ("cali_v4_ct3", "cali_v4_ct3", True),  # 3.29 to 3.29
        ("cali_v4_ct4", "cali_v4_ct4", True),
        ("cali_v4_ct3", "cali_v4_ct4", False),  # "created" is not "RST seen"
        ("cali_v4_ct4", "cali_v4_ct3", False),
    ],
)
def test_the_first_word_keeps_its_meaning(
    pins: Path, tmp_path: Path, saved_as: str, restored_as: str, kept: bool
) -> None:
    word = time.monotonic_ns() - 100 * SECOND
    key = key4(TCP, "10.0.0.1", 1, "10.0.0.2", 80)
    path = saved(pins, tmp_path, {key: value(110, bits=ESTABLISHED, word=word)}, saved_as)
    (pins / saved_as).unlink()
    target = table(pins, {}, restored_as)
    restored(path, pins, calico_version=RELEASE[restored_as])
    assert first_word(held(target)[key]) == (word if kept else 0)


def test_a_time_of_creation_is_no_rst(pins: Path, tmp_path: Path) -> None:
    """Idle for more than two minutes and created by 3.29: 3.30 must not take it for expired."""
    key = key4(TCP, "10.0.0.1", 1, "10.0.0.2", 80)
    word = time.monotonic_ns() - 200 * SECOND
    path = saved(pins, tmp_path, {key: value(150, bits=ESTABLISHED, word=word)})
    for release in ("v3.30.1", "v3.29.7"):
        target = table(pins, {})
        restored(path, pins, calico_version=release)
        assert key in held(target)
    # The same bytes saved by 3.30 are an RST, and the flow is over.
    table(pins, {key: value(150, bits=ESTABLISHED, word=word)})
    snapshot("saved", path, pins, calico_version="v3.30.1", overwrite=True)
    target = table(pins, {})
    restored(path, pins, calico_version="v3.30.1")
    assert held(target) == {}


def test_ct3_goes_into_ct4_whatever_is_left_of_ct3(pins: Path, tmp_path: Path) -> None:
    entries = flows(20)
    path = saved(pins, tmp_path, entries)
    target = table(pins, {}, "cali_v4_ct4")
    snapshot("restored", path, pins)  # the release told from the pins
    assert held(target) == entries
    assert held(pins / "cali_v4_ct3") == {}


def test_of_two_versions_the_newer_entry_counts(pins: Path, tmp_path: Path) -> None:
    key = next(iter(flows(1)))
    old, new = value(50, bits=ESTABLISHED), value(5, bits=ESTABLISHED)
    table(pins, {key: old})
    table(pins, {key: new}, "cali_v4_ct4")
    snapshot("saved", tmp_path / "s", pins, calico_version="v3.31.7")
    target = table(pins, {}, "cali_v4_ct4")
    restored(tmp_path / "s", pins, calico_version="v3.31.7")
    assert held(target) == {key: new}


def test_both_families(pins: Path, tmp_path: Path) -> None:
    key = key6(TCP, "2001:db8::1", 1, "2001:db8::2", 2)
    six = {key: value(5, bits=ESTABLISHED).ljust(128, b"\0")}
    table(pins, six, "cali_v6_ct3")
    path = saved(pins, tmp_path, flows(5))
    table(pins, {}, "cali_v6_ct3")
    restored(path, pins, families=["ipv6"])
    assert held(pins / "cali_v6_ct3") == six
    assert held(pins / "cali_v4_ct3") == {}
    assert len(restored(path, pins).actions) == 1
    assert len(held(pins / "cali_v4_ct3")) == 5


def another_boot(path: Path, monotonic: int, wall: int) -> None:
    change(path, BOOT_ID, b"\x01" * 16)
    change(path, MONOTONIC, struct.pack("<QQ", monotonic, wall))


def test_another_boot_is_refused_unless_rebased(pins: Path, tmp_path: Path) -> None:
    """Saved by an earlier boot, half an hour before this one began."""
    entries = {
        key4(TCP, "10.0.0.1", n, "10.0.0.2", 80): value(n, bits=ESTABLISHED, word=n % 200)
        for n in (100, 1600, 1900)
    }
    path = saved(pins, tmp_path, entries)
    monotonic, wall = saved_clocks(path)
    another_boot(path, monotonic, wall - monotonic - 1800 * SECOND)
    target = pins / "cali_v4_ct3"
    with pytest.raises(errors.RefusedError, match=r"another boot .*rebase_other_boot=true"):
        restored(path, pins)
    assert held(target) == {}
    timers = {"tcp_established": 3600 + monotonic // SECOND}
    done = restored(path, pins, rebase_other_boot=True, timeouts=timers)
    assert done.facts["restored"][0]["expired"] == 1  # the one that was idle for 1900 s before
    wanted = {}
    for key, raw in list(entries.items())[:2]:
        wanted[key] = struct.pack("<QQ", 1 if first_word(raw) else 0, 0) + raw[16:]
    assert held(target) == wanted
    assert restored(path, pins, rebase_other_boot=True, timeouts=timers).actions == ()


def test_another_node_is_refused_even_then(pins: Path, tmp_path: Path) -> None:
    path = saved(pins, tmp_path, flows(5))
    another_boot(path, *saved_clocks(path))
    change(path, NODE, b"elsewhere\0")
    with pytest.raises(errors.RefusedError, match="was saved on elsewhere, and this is"):
        restored(path, pins, rebase_other_boot=True)
    assert held(pins / "cali_v4_ct3") == {}


def test_a_clock_of_day_that_went_back(pins: Path, tmp_path: Path) -> None:
    """The time since is at least what this boot has run."""
    path = saved(pins, tmp_path, flows(5, idle=1))
    another_boot(path, saved_clocks(path)[0], time.time_ns() + 10**15)
    for slack, missing in ((-5, 0), (30, 5)):
        timers = {"tcp_established": time.monotonic_ns() // SECOND + slack}
        done = restored(path, pins, rebase_other_boot=True, timeouts=timers)
        assert done.facts["restored"][0]["missing"] == missing


# Many kernels evict from a small LRU map long before it is full: CPUs hold 128 free entries each.
@pytest.mark.parametrize(
    ("name", "size", "room"), [("cali_v4_ct3", 200, 200), ("cali_v4_ct4", 20_000, 19_800)]
)
def test_more_than_the_map_takes(
    pins: Path, tmp_path: Path, name: str, size: int, room: int
) -> None:
    path = saved(pins, tmp_path, flows(150), name)
    others = {key4(UDP, "10.0.0.9", n, "10.0.0.8", 53): value(1) for n in range(room - 149)}
    target = table(pins, others, name, size=size)
    before = held(target)
    with pytest.raises(errors.RefusedError, match="150 missing entries do not fit into"):
        restored(path, pins, calico_version=RELEASE[name])
    assert held(target) == before
    fd = rawbpf.open_pinned(str(target))
    rawbpf.delete(fd, next(iter(before)))
    os.close(fd)
    restored(path, pins, calico_version=RELEASE[name])
    assert len(held(target)) == room


def test_a_pin_that_is_replaced_meanwhile(
    pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(pins, tmp_path, flows(5))

    def restore(plan: Any) -> dict[str, Any]:
        table(pins, {})
        return {}

    monkeypatch.setattr(conntrack_snapshot, "restore", restore)
    with pytest.raises(errors.UnverifiedError, match="another map at"):
        restored(path, pins)

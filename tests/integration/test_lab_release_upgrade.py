# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier versions of the conntrack map: what felix takes from them, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.lab_release import GLOBALS
from tests.lab.harness import agent, call, lab, until

pytestmark = pytest.mark.lab

NODE = "node1"
CT2, CT3, CT4 = (f"{GLOBALS}cali_v4_ct{version}" for version in (2, 3, 4))
SIZE = "BPFMapSizeConntrack = {}"


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "1", "--pods", "2", "--size", "9000", "--release", "3.29.7")
    yield
    lab("down")


def _create(pin: str, kind: str, value: int, flags: int = 1) -> None:
    shape = ["type", kind, "key", "16", "value", str(value), "entries", "9000"]
    name = pin.rpartition("/")[2]
    more = ["flags", str(flags), "name", name]
    seen.in_node(NODE, "bpftool", "map", "create", pin, *shape, *more)


def _tracking_maps() -> set[int]:
    """Ids of the conntrack maps to which the programs behind the pods' refer."""
    found = set()
    for name in ("cali_progs_ing2", "cali_progs_egr2"):
        for value in seen.dump(NODE, "pinned", GLOBALS + name).values():
            shown = seen.program(NODE, "id", str(int.from_bytes(value, "little")))
            if shown["name"].startswith("calico_tc_main"):
                found |= set(shown["map_ids"])
    return {number for number in found if _name(number).startswith("cali_v4_ct")}


def _name(number: int) -> str:
    shown = seen.in_node(NODE, "bpftool", "-j", "map", "show", "id", str(number))
    return str(json.loads(shown).get("name", ""))


def _compare(a: Path, b: Path, *more: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(lab("compare", str(a), str(b), *more))
    return report


@pytest.mark.parametrize(("release", "pin"), [("3.29.7", CT3), ("3.31.7", CT4)])
def test_version_2_is_converted(release: str, pin: str, tmp_path: Path) -> None:
    seen.fresh(NODE, release, SIZE.format(9000))
    seen.in_node(NODE, "lab-agent", "stop")
    seen.in_node(NODE, "rm", pin)
    _create(CT2, "hash", 64)
    lab("fill", NODE, "300", "--map", "cali_v4_ct2")
    lab("fill", NODE, "40", "--map", "cali_v4_ct2", "--first", "5000", "--service")
    lab("dump", NODE, str(tmp_path / "ct2"), "--map", "cali_v4_ct2")
    seen.in_node(NODE, "lab-agent", "start")
    lab("dump", NODE, str(tmp_path / "new"))
    report = _compare(tmp_path / "ct2", tmp_path / "new")
    assert (report["equal"], report["only_in_a"], report["only_in_b"]) == (340, 0, 0)
    new = seen.dump(NODE, "pinned", pin)
    for key, old in seen.dump(NODE, "pinned", CT2).items():
        value = new[key]
        assert value[:8] == bytes(8)
        assert value[8:24] == old[8:24]
        if old[16] == 1:
            assert value[24:42] == old[24:42]
            continue
        # Sequence number, bits and interface of each leg, then the original destination.
        assert (value[36:48], value[60:72]) == (old[24:36], old[36:48])
        assert (value[76:84], value[84:88]) == (old[48:56], old[60:64])
    assert CT2 in seen.pins(NODE)


def test_version_2_overwrites_newer_entries_at_each_start() -> None:
    seen.fresh(NODE, "3.29.7", SIZE.format(9000))
    _create(CT2, "hash", 64)
    lab("fill", NODE, "50", "--map", "cali_v4_ct2", "--age", "100")
    lab("fill", NODE, "50", "--age", "1")
    before = seen.dump(NODE, "pinned", CT3)
    seen.restart(NODE)
    after = seen.dump(NODE, "pinned", CT3)
    assert len(before) == 50
    assert all(_last_seen(after[key]) < _last_seen(before[key]) for key in before)


def _last_seen(value: bytes) -> int:
    return int.from_bytes(value[8:16], "little")


def test_left_over_version_3_splits_version_4_after_a_resize() -> None:
    seen.fresh(NODE, "3.31.7", SIZE.format(9000))
    _create(CT3, "hash", 88)
    lab("fill", NODE, "20", "--map", "cali_v4_ct3")
    lab("fill", NODE, "10", "--first", "100")
    keys = set(seen.dump(NODE, "pinned", CT4))
    seen.configure(NODE, "3.31.7", SIZE.format(8000))
    assert seen.restart(NODE).returncode == 0
    (used,) = _tracking_maps()
    ids = {agent(NODE)["conntrack_map_id"], used, seen.pins(NODE)[CT4]["id"]}
    assert len(ids) == 3
    for number in ids:
        found = seen.dump(NODE, "id", str(number))
        # Nothing of version 3 gets there, all of version 4 does.
        assert keys <= set(found)
        assert len(found) < len(keys) + 20
    assert f"{CT4}_old" not in seen.pins(NODE)
    assert seen.restart(NODE).returncode == 0
    assert _tracking_maps() == {seen.pins(NODE)[CT4]["id"]}


def test_without_version_3_a_resize_leaves_one_map() -> None:
    seen.fresh(NODE, "3.31.7", SIZE.format(9000))
    seen.configure(NODE, "3.31.7", SIZE.format(8000))
    seen.restart(NODE)
    pinned = seen.pins(NODE)[CT4]["id"]
    assert (_tracking_maps(), agent(NODE)["conntrack_map_id"]) == ({pinned}, pinned)


@pytest.mark.parametrize("left_over", [True, False])
def test_left_over_version_3_costs_updates_at_each_start(left_over: bool, tmp_path: Path) -> None:
    seen.fresh(NODE, "3.31.7", SIZE.format(9000))
    if left_over:
        _create(CT3, "hash", 88)
    lab("writer", "start", NODE, "--flows", "6000")
    try:
        assert seen.restart(NODE).returncode == 0
        begun = json.loads(lab("writer", "status", NODE))["updates"]
        until(
            lambda: json.loads(lab("writer", "status", NODE))["updates"] > begun + 1000,
            "the writer to go on",
        )
    finally:
        done = call("writer", "stop", NODE)
    report = json.loads(done.stdout)
    lab("dump", NODE, str(tmp_path / "actual"))
    deleted = ["--deleted", report["deleted_log"]]
    found = _compare(Path(report["expected"]), tmp_path / "actual", *deleted)
    assert (found["unexplained"] > 0) is left_over

# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer keeps its rate, knows what it has left in the map, and follows the pods' programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.lab_release import GLOBALS
from tests.lab.harness import call, lab, until

pytestmark = pytest.mark.lab

SIZE = "BPFMapSizeConntrack = {}"
FLOWS = 5000


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "2", "--pods", "1", "--size", "60000", "--release", "3.28.5,3.31.7")
    yield
    lab("down")


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    yield
    for node in ("node1", "node2"):
        call("writer", "stop", node)


def _fresh(node: str, release: str, **options: str) -> None:
    seen.fresh(node, release, SIZE.format(60000), **options)


def _start(node: str, *more: str) -> None:
    lab("writer", "start", node, "--flows", str(FLOWS), *more)


def _status(node: str, *more: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(lab("writer", "status", node, *more))
    return report


def _stop(node: str, *more: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(lab("writer", "stop", node, *more))
    return report


def _records(path: str, key: int, value: int) -> dict[bytes, bytes]:
    data = Path(path).read_bytes()
    step = key + value
    return {data[i : i + key]: data[i + key : i + step] for i in range(0, len(data), step)}


@pytest.mark.parametrize(
    ("release", "name", "family"),
    [
        ("3.26.4", "cali_v4_ct3", 4),
        ("3.28.5", "cali_v4_ct3", 4),
        ("3.28.5", "cali_v6_ct3", 6),
        ("3.32.1", "cali_v4_ct4", 4),
        ("3.32.1", "cali_v6_ct4", 6),
    ],
)
def test_rate_and_what_is_left(release: str, name: str, family: int) -> None:
    _fresh("node1", release, ipv6="yes" if family == 6 else "no")
    _start("node1", "--family", str(family), "--rate", "60000")
    until(lambda: _status("node1", "--family", str(family))["seconds"] > 1, "a second of writing")
    report = _stop("node1", "--family", str(family))
    assert not report["running"]
    assert report["rate"] >= 60000
    assert (report["missed"], report["delete_missed"], report["failed"]) == (0, 0, 0)
    # Eight refreshes for each deletion and each new flow.
    assert report["refreshed"] == pytest.approx(8 * report["created"], rel=0.01)
    assert report["created"] == pytest.approx(report["deleted"], abs=2)
    sizes = (16, 88) if family == 4 else (40, 128)
    expected = _records(report["expected"], *sizes)
    shown = seen.dump("node1", "pinned", GLOBALS + name)
    assert {key: shown[key] for key in expected} == expected
    # All that is there besides are packets of the node's own.
    assert len(expected) == pytest.approx(FLOWS, abs=1)
    assert len(shown) == len(expected)
    deletions = _records(report["deleted_log"], 8, sizes[0])
    gone = set(deletions.values())
    assert len(gone) == report["deleted"]
    assert not gone & set(shown)


@pytest.mark.parametrize(
    ("node", "release", "name"),
    [("node1", "3.28.5", "cali_v4_ct3"), ("node2", "3.31.7", "cali_v4_ct4")],
)
def test_it_moves_with_the_pods_programs(node: str, release: str, name: str) -> None:
    _fresh(node, release)
    _start(node)
    before = _status(node)
    assert before["map_id"] == seen.pins(node)[GLOBALS + name]["id"]
    seen.configure(node, release, SIZE.format(50000))
    assert seen.restart(node).returncode == 0
    until(lambda: _status(node)["switches"] == 1, "the writer to use the new map")
    assert _status(node)["map_id"] == seen.pins(node)[GLOBALS + name]["id"] != before["map_id"]


def test_it_stays_with_programs_that_stay() -> None:
    _fresh("node1", "3.28.5")
    seen.configure("node1", "3.28.1", SIZE.format(50000))
    _start("node1")
    # Release 3.28.1 cannot attach after a change of size: the pods keep the old map.
    assert "parameter mismatch" in seen.restart("node1").stderr
    report = _status("node1")
    begun = report["updates"]
    until(lambda: _status("node1")["updates"] > begun + 10000, "more updates")
    report = _status("node1")
    assert (report["switches"], report["missed"]) == (0, 0)
    assert report["map_id"] != seen.pins("node1")[GLOBALS + "cali_v4_ct3"]["id"]


def test_comparison_shows_what_felix_loses(tmp_path: Path) -> None:
    _fresh("node1", "3.28.5")
    _start("node1")
    seen.configure("node1", "3.28.5", SIZE.format(50000))
    seen.restart("node1")
    until(lambda: _status("node1")["switches"] == 1, "the writer to use the new map")
    report = _stop("node1")
    actual = tmp_path / "actual"
    lab("dump", "node1", str(actual))
    shown = lab("compare", report["expected"], str(actual), "--deleted", report["deleted_log"])
    # felix's copy of the changes brings back what was deleted meanwhile.
    found = json.loads(shown)
    assert found["only_in_b"] > 0
    assert found["unexplained"] > 0
    assert found["unexplained"] + found["explained"].get("late", 0) >= found["only_in_b"]
    assert {one["kind"] for one in found["differences"]} <= {"only_in_a", "only_in_b"} | {
        "last_seen_backward"
    }


def test_comparison_finds_nothing_when_nothing_was_lost(tmp_path: Path) -> None:
    _fresh("node2", "3.31.7")
    lab("fill", "node2", "1000")
    for _ in range(2):
        # Entries that the first writer left are no concern of the second.
        _start("node2")
        report = _stop("node2")
        lab("dump", "node2", str(tmp_path / "actual"))
        found = json.loads(lab("compare", report["expected"], str(tmp_path / "actual")))
        assert (found["equal"], found["unexplained"]) == (pytest.approx(FLOWS, abs=1), 0)
    key = next(iter(_records(report["expected"], 16, 88)))
    pin = ("pinned", GLOBALS + "cali_v4_ct4")
    seen.in_node("node2", "bpftool", "map", "delete", *pin, "key", *map(str, key))
    lab("dump", "node2", str(tmp_path / "actual"))
    found = json.loads(lab("compare", report["expected"], str(tmp_path / "actual")))
    assert (found["only_in_a"], found["unexplained"]) == (1, 1)


def test_packet_without_an_entry_is_missed() -> None:
    _fresh("node2", "3.31.7")
    lab("writer", "start", "node2", "--flows", "40", "--rate", "100")
    pin = GLOBALS + "cali_v4_ct4"
    for key in seen.dump("node2", "pinned", pin):
        seen.run("node2", "bpftool", "map", "delete", "pinned", pin, "key", *map(str, key))
    until(lambda: _status("node2")["missed"] > 10, "packets to be missed")
    report = _stop("node2")
    # A flow whose entry is gone does not get it back by its next packet.
    assert len(seen.dump("node2", "pinned", pin)) <= report["created"] + 1
    assert len(_records(report["expected"], 16, 88)) >= 39


def test_bad_input_is_refused() -> None:
    done = call("writer", "start", "node1", "--rate", "0")
    assert done.returncode == 1
    assert done.stderr == (
        "lab: --rate is 0 and --flows 20000; use 1 to 10000000 updates per second and 1 to"
        " 10000000 flows.\n"
    )
    _fresh("node1", "3.28.5")
    _start("node1")
    assert call("writer", "start", "node1").returncode == 1
    assert _stop("node1")["running"] is False
    assert call("writer", "stop", "node1").returncode == 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gates of a resize are closed on which node."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._plan.gates import gates
from ansible_collections.bpfops.calico.plugins.module_utils._plan.map_memory import hash_memory
from tests.unit.node_facts import PINS, a_map, finding, node

MILLION = 1000000


def resize(facts: dict[str, Any], max_entries: int = MILLION, **more: Any) -> dict[str, Any]:
    """Gates by code that say something, and how."""
    operation = {"name": "resize_conntrack", "max_entries": max_entries, **more}
    return {one["code"]: one for one in gates(facts, operation, {}) if one["severity"] != "info"}


def closed(facts: dict[str, Any], max_entries: int = MILLION, **more: Any) -> list[str]:
    return [code for code, one in resize(facts, max_entries, **more).items() if not one["passed"]]


@pytest.mark.parametrize("release", ["3.26", "3.28.2", "3.29", "3.30.7", "3.31.7", "3.32.1"])
def test_a_healthy_node_may_be_resized(release: str) -> None:
    assert closed(node(release)) == []


@pytest.mark.parametrize(
    ("release", "size", "expected"),
    [
        ("3.27.0", MILLION, ["CT_SIZE"]),
        ("3.27.5", MILLION, ["CT_SIZE"]),
        ("3.28.1", MILLION, ["CT_SIZE"]),
        ("3.28.2", MILLION, []),
        ("3.26.4", MILLION, []),
        ("3.27.3", 512000, []),
        # One of the releases that come into question cannot.
        (">=3.28,<3.30", MILLION, ["CT_SIZE"]),
    ],
)
def test_sizes_that_a_release_cannot_load(release: str, size: int, expected: list[str]) -> None:
    assert closed(node(release), size) == expected


def test_naming_the_release_opens_the_gate() -> None:
    facts = node(">=3.28,<3.30")
    (gate,) = (one for one in resize(facts).values() if not one["passed"])
    assert "calico_version" in gate["remedy"]
    assert "3.28.0 to 3.28.1" in gate["evidence"][0]
    assert closed(facts, calico_version="v3.29.7") == []
    assert closed(facts, calico_version="3.28.1") == ["CT_SIZE"]


def test_a_stuck_node_may_go_back_to_the_compiled_size() -> None:
    stuck = node("3.27.3", a_map("cali_v4_ct3", "3.27", max_entries=600000))
    assert closed(stuck, 512000) == []


@pytest.mark.parametrize(
    ("entries", "size", "expected"),
    [
        (800000, MILLION, []),
        (800001, MILLION, ["CT_SHRINK"]),
        (1000001, MILLION, ["CT_SHRINK"]),
        (400000, 500000, []),
        (400001, 500000, ["CT_SHRINK"]),
    ],
)
def test_live_entries_need_room(entries: int, size: int, expected: list[str]) -> None:
    facts = node("3.31.7", a_map("cali_v4_ct4", "3.31", entries=entries))
    assert sorted(set(closed(facts, size))) == expected


def test_only_headroom_can_be_overridden() -> None:
    tight = node("3.29", a_map("cali_v4_ct3", "3.29", entries=900000))
    full = node("3.29", a_map("cali_v4_ct3", "3.29", entries=1100000))
    operation = {"name": "resize_conntrack", "max_entries": MILLION}
    allowed = {"preflight_allow_little_headroom": True}
    closed_now = [
        [(one["override"], one["overridden"]) for one in gates(facts, operation, allowed)]
        for facts in (tight, full)
    ]
    assert [row for row in closed_now[0] if row[1]] == [("preflight_allow_little_headroom", True)]
    assert closed_now[1][0] == ("", False)
    (gate, *_) = gates(tight, operation, {})
    assert "1125001 or more" in gate["remedy"]


def test_entries_that_were_not_counted_are_no_zero() -> None:
    facts = node("3.29", a_map("cali_v4_ct3", "3.29", entries=None))
    assert closed(facts) == ["CT_SHRINK"]


def test_the_auto_scale_file() -> None:
    facts = node("3.30.7", conntrack_size_file=2 * MILLION)
    assert closed(facts) == ["CT_AUTOSCALE_FILE"]
    assert closed(facts, 2 * MILLION) == []
    assert closed(node("3.29", conntrack_size_file=2 * MILLION)) == []


def test_a_size_for_each_cpu() -> None:
    assert closed(node("3.30.7"), per_cpu=100000) == ["CT_PER_CPU"]
    assert closed(node("3.30.7"), per_cpu=125000) == []
    assert closed(node("3.30.7"), per_cpu=0) == []
    assert closed(node("3.29"), per_cpu=100000) == []


def test_sizes_of_maps_as_the_kernel_charges_them() -> None:
    # maps 1.2: measured on Linux 6.18.
    assert round(hash_memory(512000, 16, 88, None) / 10**6, 1) == 86.2
    assert round(hash_memory(512000, 40, 128, None) / 10**6, 1) == 119.0
    assert round(hash_memory(512000, 16, 88, 0) / 10**6, 1) == 8.4
    assert hash_memory(512000, 16, 88, 1000) - hash_memory(512000, 16, 88, 0) == 192000


@pytest.mark.parametrize(
    ("available", "expected"), [(220 * 10**6, []), (200 * 10**6, ["CT_MEMORY"])]
)
def test_memory_of_an_lru_map_is_taken_at_once(available: int, expected: list[str]) -> None:
    # 2^20 buckets of 16 B and a million elements of 152 B are 168.8 MB, four fifths of 211 MB.
    facts = node("3.31.7", memory_available_bytes=available)
    assert closed(facts) == expected


def test_memory_of_a_hash_map_follows_its_entries() -> None:
    few = a_map("cali_v4_ct3", "3.29", entries=1000)
    many = a_map("cali_v4_ct3", "3.29", entries=700000)
    assert closed(node("3.29", few, memory_available_bytes=40 * 10**6)) == []
    assert closed(node("3.29", many, memory_available_bytes=40 * 10**6)) == ["CT_MEMORY"]
    both = (few, a_map("cali_v6_ct3", "3.29", entries=700000))
    assert closed(node("3.29", *both, memory_available_bytes=40 * 10**6)) == ["CT_MEMORY"]


def test_no_memory_is_needed_for_the_size_that_is_there() -> None:
    facts = node("3.31.7", memory_available_bytes=1)
    operation = {"name": "resize_conntrack", "max_entries": 512000}
    (memory,) = (one for one in gates(facts, operation, {}) if one["code"] == "CT_MEMORY")
    assert (memory["passed"], memory["evidence"]) == (True, [])


def test_memory_that_is_not_told_is_a_note() -> None:
    (note,) = (
        one
        for one in resize(node("3.31.7", memory_available_bytes=None)).values()
        if one["code"] == "CT_MEMORY"
    )
    assert note["passed"]
    assert "169 MB" in note["says"]


def test_a_map_of_an_unfinished_resize() -> None:
    old = a_map("cali_v4_ct3_old", "3.29", entries=2 * MILLION)
    facts = node("3.29", a_map("cali_v4_ct3", "3.29"), old)
    assert closed(facts) == ["CT_OLD_PIN"]
    # felix would bring it back whoever has made it: no finding is needed.
    assert facts["findings"] == []


@pytest.mark.parametrize(
    ("other", "code"), [("cali_v4_ct3", "CT_SUPERSEDED"), ("cali_v4_ct4", "CT_NEWER")]
)
def test_conntrack_maps_of_other_releases(other: str, code: str) -> None:
    running, line = ("3.31.7", "3.31") if code == "CT_SUPERSEDED" else ("3.30.7", "3.30")
    mine = "cali_v4_ct4" if code == "CT_SUPERSEDED" else "cali_v4_ct3"
    its = a_map(other, "3.30" if code == "CT_SUPERSEDED" else "3.31", superseded=True)
    facts = node(
        running, a_map(mine, line), its, findings=[finding(code, f"{PINS}/{other}", "It is there.")]
    )
    assert closed(facts) == [code]


def test_an_unknown_layout() -> None:
    for code in ("CT_LAYOUT", "MAP_UNKNOWN"):
        odd = finding(code, f"{PINS}/cali_v4_ct9", "It is odd.")
        assert closed(node("3.29", findings=[odd])) == ["CT_LAYOUT"]
    other = finding("MAP_UNKNOWN", f"{PINS}/cali_else", "It is odd.")
    assert closed(node("3.29", findings=[other])) == []


def test_a_node_without_conntrack_maps() -> None:
    assert closed(node("3.29", a_map("cali_iface4", "3.29"))) == ["CT_MISSING"]
    assert closed(node("3.29"), families=["ipv4"]) == []
    assert closed(node("3.29"), families=["ipv4", "ipv6"]) == ["CT_MISSING"]


def test_only_the_named_family_counts() -> None:
    six = a_map("cali_v6_ct3", "3.29", entries=990000)
    facts = node("3.29", a_map("cali_v4_ct3", "3.29"), six)
    assert closed(facts) == ["CT_SHRINK"]
    assert closed(facts, families=["ipv4"]) == []


@pytest.mark.parametrize(
    ("release", "noted"), [("3.29.7", True), ("3.28.0", True), ("3.31.7", False)]
)
def test_dual_stack_is_noted(release: str, noted: bool) -> None:
    suffix = "ct4" if release == "3.31.7" else "ct3"
    maps = [a_map(f"cali_{family}_{suffix}", release) for family in ("v4", "v6")]
    assert ("CT_DELTA_V4" in resize(node(release, *maps), 512000)) is noted
    assert "CT_DELTA_V4" not in resize(node(release, maps[0]), 512000)

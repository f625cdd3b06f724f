# SPDX-License-Identifier: GPL-3.0-or-later
"""The map tables against numbers that were copied by hand from the fact sheets."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import maps, releases
from ansible_collections.bpfops.calico.plugins.module_utils._calico.tables.map_row import CalicoMap
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    parse_range,
    parse_release,
)
from ansible_collections.bpfops.calico.plugins.module_utils._errors import BadInputError

# bpftool's map type, key, value, max_entries, flags; per release, as bpftool shows the map.
HASH, ARRAY, PROG_ARRAY, EVENTS, PCPU_HASH, PCPU_ARRAY, LRU, LPM = 1, 2, 3, 4, 5, 6, 9, 11

BY_RELEASE: dict[str, dict[str, tuple[int, ...]]] = {
    "3.26.4": {
        "cali_v4_ct3": (HASH, 16, 88, 512000, 1),
        "cali_iface2": (HASH, 4, 20, 1000, 1),
        "cali_state2": (PCPU_ARRAY, 4, 416, 1, 0),
        "cali_counters2": (PCPU_HASH, 8, 112, 20000, 0),
        "cali_rule_ctrs2": (PCPU_HASH, 8, 8, 10000, 0),
        "cali_jump3": (PROG_ARRAY, 4, 4, 32, 0),
        "cali_v4_nat_fe3": (LPM, 16, 20, 65536, 1),
        "cali_v4_nat_be": (HASH, 8, 8, 262144, 1),
        "cali_v4_nat_aff": (LRU, 16, 16, 65536, 0),
        "cali_v4_routes": (LPM, 8, 8, 262144, 1),
        "cali_v4_srmsg": (LRU, 16, 8, 510000, 0),
        "cali_v4_ct_nats": (LRU, 24, 8, 10000, 0),
        "cali_v4_arp2": (LRU, 8, 12, 10000, 0),
        "cali_v4_fsafes2": (LPM, 12, 4, 65536, 1),
        "cali_v4_ip_sets": (LPM, 20, 4, 1048576, 1),
    },
    "3.27.3": {
        "cali_v4_ct3": (HASH, 16, 88, 512000, 1),
        "cali_v6_ct3": (HASH, 40, 128, 512000, 1),
        "cali_iface3": (HASH, 4, 40, 1000, 1),
        "cali_state4": (PCPU_ARRAY, 4, 464, 2, 0),
        "cali_counters2": (PCPU_HASH, 8, 112, 20000, 0),
        "cali_rule_ctrs2": (PCPU_HASH, 8, 8, 10000, 0),
        "cali_jump2": (PROG_ARRAY, 4, 4, 10000, 0),
        "cali_progs2": (PROG_ARRAY, 4, 4, 200, 0),
        "xdp_cali_jump2": (PROG_ARRAY, 4, 4, 100, 0),
        "xdp_cali_progs2": (PROG_ARRAY, 4, 4, 200, 0),
        "cali_v4_nat_fe3": (LPM, 16, 20, 65536, 1),
        "cali_v4_nat_be": (HASH, 8, 8, 262144, 1),
        "cali_v4_nat_aff": (LRU, 16, 16, 65536, 0),
        "cali_v4_routes": (LPM, 8, 8, 262144, 1),
        "cali_v4_srmsg": (LRU, 16, 8, 510000, 0),
        "cali_v4_ct_nats": (LRU, 24, 8, 10000, 0),
        "cali_v4_arp2": (LRU, 8, 12, 10000, 0),
        "cali_v4_fsafes2": (LPM, 12, 4, 65536, 1),
        "cali_v4_ip_sets": (LPM, 20, 4, 1048576, 1),
        "cali_v6_nat_fe3": (LPM, 40, 20, 65536, 1),
        "cali_v6_nat_be": (HASH, 8, 20, 262144, 1),
        "cali_v6_nat_aff": (LRU, 40, 32, 65536, 0),
        "cali_v6_routes": (LPM, 20, 20, 262144, 1),
        "cali_v6_srmsg": (LRU, 32, 20, 510000, 0),
        "cali_v6_ct_nats": (LRU, 32, 20, 10000, 0),
        "cali_v6_arp2": (LRU, 20, 12, 10000, 0),
        "cali_v6_fsafes2": (LPM, 24, 4, 65536, 1),
        "cali_v6_ip_sets": (LPM, 32, 4, 1048576, 1),
    },
}
# Only what changed: names that a release has, and names that it no longer has.
CHANGES: list[tuple[str, dict[str, tuple[int, ...]], str]] = [
    (
        "3.28.5",
        {
            "cali_iface4": (HASH, 4, 52, 1000, 1),
            "cali_state4": (PCPU_ARRAY, 4, 480, 2, 0),
            "cali_jump3": (PROG_ARRAY, 4, 4, 240000, 0),
            "cali_progs3": (PROG_ARRAY, 4, 4, 400, 0),
            "xdp_cali_jump3": (PROG_ARRAY, 4, 4, 2400, 0),
            "xdp_cali_progs3": (PROG_ARRAY, 4, 4, 400, 0),
            "cali_ctlb_progs": (PROG_ARRAY, 4, 4, 3, 0),
        },
        "cali_iface3 cali_jump2 cali_progs2 xdp_cali_jump2 xdp_cali_progs2",
    ),
    (
        "3.29.7",
        {
            "cali_ctlb_conn": (PROG_ARRAY, 4, 4, 1, 0),
            "cali_ctlb_send": (PROG_ARRAY, 4, 4, 1, 0),
            "cali_ctlb_recv": (PROG_ARRAY, 4, 4, 1, 0),
        },
        "cali_ctlb_progs",
    ),
    (
        "3.30.7",
        {
            "cali_counters3": (PCPU_HASH, 8, 136, 20000, 0),
            "cali_state4": (PCPU_ARRAY, 4, 488, 2, 0),
            "cali_profiling2": (PCPU_HASH, 8, 16, 20000, 0),
            "cali_perf_evnt": (EVENTS, 4, 4, 512, 0),
            "cali_v4_ccq1": (HASH, 16, 16, 100000, 1),
            "cali_v6_ccq1": (HASH, 40, 40, 100000, 1),
        },
        "cali_counters2",
    ),
    (
        "3.31.7",
        {
            "cali_v4_ct4": (LRU, 16, 88, 512000, 0),
            "cali_v6_ct4": (LRU, 40, 128, 512000, 0),
            "cali_v4_ccq2": (HASH, 16, 32, 100000, 1),
            "cali_v6_ccq2": (HASH, 40, 56, 100000, 1),
            "cali_counters5": (PCPU_HASH, 8, 200, 20000, 0),
            "cali_qos": (HASH, 8, 24, 2000, 1),
            "cali_v4_frags2": (LRU, 12, 1512, 10000, 0),
            "cali_v4_frgtmp2": (PCPU_ARRAY, 4, 1512, 1, 0),
            "cali_v4_frgfwd3": (LRU, 16, 8, 10000, 0),
            "cali_progs_ing2": (PROG_ARRAY, 4, 4, 400, 0),
            "cali_progs_egr2": (PROG_ARRAY, 4, 4, 400, 0),
            "cali_jump_ing2": (PROG_ARRAY, 4, 4, 240000, 0),
            "cali_jump_egr2": (PROG_ARRAY, 4, 4, 240000, 0),
        },
        "cali_v4_ct3 cali_v6_ct3 cali_v4_ccq1 cali_v6_ccq1 cali_counters3 cali_progs3 cali_jump3",
    ),
    (
        "3.32.1",
        {
            "cali_counters6": (PCPU_HASH, 8, 216, 20000, 0),
            "cali_state6": (PCPU_ARRAY, 4, 512, 2, 0),
            "cali_v4_mglv2": (HASH, 8, 8, 50300, 1),
            "cali_v6_mglv2": (HASH, 8, 20, 50300, 1),
            "cali_v4_sprefix": (LPM, 12, 4, 1048576, 1),
            "cali_v6_sprefix": (LPM, 24, 4, 1048576, 1),
        },
        "cali_counters5 cali_state4",
    ),
]


def facts(row: CalicoMap) -> tuple[int, ...]:
    return (int(row.type), row.key_size, row.value_size, row.max_entries, int(row.flags))


def made_by(release: str) -> dict[str, tuple[int, ...]]:
    return {row.name: facts(row) for row in maps.maps_of(parse_release(release))}


def expected() -> list[tuple[str, dict[str, tuple[int, ...]]]]:
    rows: list[tuple[str, dict[str, tuple[int, ...]]]] = [*BY_RELEASE.items()]
    for release, added, removed in CHANGES:
        kept = {name: row for name, row in rows[-1][1].items() if name not in removed.split()}
        rows.append((release, {**kept, **added}))
    return rows


@pytest.mark.parametrize(("release", "wanted"), expected(), ids=[row[0] for row in expected()])
def test_the_maps_of_a_release(release: str, wanted: dict[str, tuple[int, ...]]) -> None:
    assert made_by(release) == wanted


@pytest.mark.parametrize(
    ("release", "there", "gone"),
    [
        ("3.29.6", "cali_ctlb_progs", "cali_ctlb_conn"),
        ("3.30.4", "cali_ctlb_progs", "cali_ctlb_conn"),
        ("3.30.5", "cali_ctlb_conn", "cali_ctlb_progs"),
        ("3.31.2", "cali_ctlb_progs", "cali_ctlb_send"),
        ("3.31.3", "cali_ctlb_recv", "cali_ctlb_progs"),
        ("3.31.2", "cali_jump3", "cali_jump_ing2"),
        ("3.31.3", "cali_progs_egr2", "cali_progs3"),
        ("3.31.3", "cali_v4_frgfwd2", "cali_v4_frgfwd3"),
        ("3.31.4", "cali_v4_frgfwd3", "cali_v4_frgfwd2"),
    ],
)
def test_point_releases_count(release: str, there: str, gone: str) -> None:
    names = made_by(release)
    assert there in names
    assert gone not in names


@pytest.mark.parametrize(
    ("name", "fields", "by_bpf"),
    [
        ("cali_v4_ct3", ["bpfMapSizeConntrack", "bpfMapSizePerCpuConntrack"], True),
        ("cali_v6_ct4", ["bpfMapSizeConntrack", "bpfMapSizePerCpuConntrack"], True),
        ("cali_v6_ccq2", ["bpfMapSizeConntrackCleanupQueue"], False),
        ("cali_v4_nat_fe3", ["bpfMapSizeNATFrontend"], False),
        ("cali_v6_nat_be", ["bpfMapSizeNATBackend"], False),
        ("cali_v4_nat_aff", ["bpfMapSizeNATAffinity"], False),
        ("cali_v6_routes", ["bpfMapSizeRoute"], False),
        ("cali_v4_ip_sets", ["bpfMapSizeIPSets"], False),
        ("cali_v6_ip_sets", [], False),
        ("cali_iface4", ["bpfMapSizeIfState"], False),
        ("cali_qos", [], True),
        ("cali_v4_srmsg", [], False),
    ],
)
def test_what_sizes_a_map_and_who_writes_it(name: str, fields: list[str], by_bpf: bool) -> None:
    rows = maps.rows_named(name)
    assert rows
    assert [(list(row.size_fields), row.by_bpf) for row in rows] == [(fields, by_bpf)] * len(rows)


def test_conntrack_by_role() -> None:
    def names(release: str) -> list[str]:
        return [row.name for row in maps.maps_of_role(parse_release(release), "conntrack")]

    assert names("3.26") == ["cali_v4_ct3"]
    assert names("3.30.7") == ["cali_v4_ct3", "cali_v6_ct3"]
    assert names("3.31.0") == ["cali_v4_ct4", "cali_v6_ct4"]


def test_left_over_maps_are_those_of_other_releases() -> None:
    names = {row.name for row in maps.superseded_by(parse_release("3.31.7"))}
    assert {"cali_v4_ct2", "cali_v4_ct3", "cali_v6_ct3", "cali_iface3", "cali_jump3"} <= names
    assert not {"cali_v4_ct4", "cali_iface4", "xdp_cali_jump3"} & names


def test_a_map_fits_its_row_whatever_size_is_configured() -> None:
    (row,) = maps.rows_named("cali_v4_ct4")
    assert maps.rows_fitting(row.spec._replace(max_entries=7)) == (row,)
    assert maps.rows_fitting(row.spec._replace(flags=1)) == ()
    assert maps.rows_fitting(row.spec._replace(value_size=80)) == ()
    state = maps.rows_named("cali_state6")[0].spec
    assert maps.rows_fitting(state)
    assert maps.rows_fitting(state._replace(max_entries=3)) == ()


def test_the_two_maps_called_cali_jump3_are_told_apart_by_their_entries() -> None:
    first, second = maps.rows_named("cali_jump3")
    assert (first.max_entries, first.place) == (32, "interface")
    assert (second.max_entries, second.place) == (240000, "globals")
    assert maps.rows_fitting(first.spec) == (first,)


@pytest.mark.parametrize("row", maps.MAPS.rows, ids=lambda row: f"{row.name} {row.releases}")
def test_every_row_is_sound(row: CalicoMap) -> None:
    assert 0 < len(row.name) <= 15
    assert row.source
    assert row.releases.spans
    assert row.max_entries > 0
    assert row.name.startswith("cali_") or row.name.startswith("xdp_cali_")
    assert (f"_v{row.family}_" in row.name) == bool(row.family)


def test_no_two_rows_for_one_purpose_hold_at_once() -> None:
    rows = maps.MAPS.rows
    for number, row in enumerate(rows):
        for other in rows[number + 1 :]:
            if (row.role, row.family) == (other.role, other.family) or row.name == other.name:
                assert not row.releases.overlaps(other.releases), (row, other)


def test_every_ipv6_map_has_its_ipv4_twin() -> None:
    twins = {(row.name, row.role): row for row in maps.MAPS if row.family == 4}
    sixes = [row for row in maps.MAPS if row.family == 6]
    assert len(sixes) == 15
    for six in sixes:
        four = twins[(six.name.replace("_v6_", "_v4_"), six.role)]
        assert four.releases.covers(six.releases)
        assert (four.type, four.flags, four.max_entries) == (six.type, six.flags, six.max_entries)
        assert (six.key_size, six.value_size) != (four.key_size, four.value_size)


def test_a_new_release_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match=r"calico_version: '3\.40' is not among the releases"):
        maps.maps_of(parse_release("3.40"))
    line = releases.LINES[-1]._replace(releases=parse_range("3.40"))
    monkeypatch.setattr(releases, "LINES", (*releases.LINES, line))
    before = made_by("3.40")
    assert before["cali_v4_ct4"] == (LRU, 16, 88, 512000, 0)

    (ct4,) = maps.rows_named("cali_v4_ct4")
    ct5 = ct4._replace(name="cali_v4_ct5", releases=parse_range(">=3.40"), value_size=96)
    monkeypatch.setattr(maps, "MAPS", maps.MAPS.plus(ct5))
    after = made_by("3.40")
    assert after.pop("cali_v4_ct5") == (LRU, 16, 96, 512000, 0)
    assert "cali_v4_ct4" not in after
    assert "cali_v4_ct4" in made_by("3.32")
    assert {**after, "cali_v4_ct4": before["cali_v4_ct4"]} == before


@pytest.mark.parametrize("release", ["3.25", "2.0.0", "3.34.0"])
def test_refuses_releases_that_nothing_is_known_of(release: str) -> None:
    with pytest.raises(BadInputError, match=r"is not among the releases 3\.26 to 3\.33"):
        maps.maps_of(parse_release(release))

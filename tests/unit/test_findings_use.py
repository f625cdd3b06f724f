# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about the maps that programs use, and interfaces that felix does not manage."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings import findings
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec
from tests.unit.node_values import (
    CALICO,
    FOREIGN,
    HEALTHY,
    PINS,
    UNPROVEN,
    WHOLE,
    a_map,
    attached,
    codes,
    workload,
)

LIVE = a_map("cali_v4_ct3", "3.29")._replace(id=50)
MAPS = (LIVE, a_map("cali_iface4", "3.29")._replace(id=51))
RODATA = MapSpec(HEALTHY.maps[0].spec.type, 4, 512, 1, 0x480, "tc_pream.rodata")


def used(map_id: int, name: str = "cali_v4_ct3", *users: str) -> seen.UsedMap:
    return seen.UsedMap(map_id, a_map(name, "3.29").spec, users or ("cali1 ingress",))


@pytest.mark.parametrize(
    ("maps", "expected"),
    [
        ((), []),
        ((used(50),), []),
        ((used(50), used(60)), ["CT_SPLIT"]),
        ((used(60),), ["CT_SPLIT"]),
        ((used(60, "cali_v6_ct3"),), ["MAP_UNPINNED"]),
        ((used(50), used(60, "cali_v4_nat_be")), ["MAP_UNPINNED"]),
        ((used(50), used(51, "cali_iface4")), []),
        ((used(50), used(60, "cali_iface4")), ["MAP_UNPINNED"]),  # another has its name
        ((used(50), seen.UsedMap(70, RODATA, ("cali1 ingress",))), []),
    ],
)
def test_maps_of_attached_programs(maps: tuple[seen.UsedMap, ...], expected: list[str]) -> None:
    assert codes(maps=MAPS, used_maps=maps) == expected
    missing = HEALTHY._replace(maps=MAPS, used_maps=maps, bpffs_there=False)
    assert "MAP_UNPINNED" not in [one.code for one in findings(missing)]


def test_a_split_names_the_maps_and_their_users() -> None:
    maps = (used(50), used(60, "cali_v4_ct3", "a in", "b in", "c in", "d in"))
    (one,) = findings(HEALTHY._replace(maps=MAPS, used_maps=maps))
    assert one.object == f"{PINS}/cali_v4_ct3"
    assert one.evidence[0].startswith("Map 50 is pinned")
    assert one.evidence[2].endswith("is used by a in, b in, c in and 1 more.")


def test_the_program_arrays_before_are_pinned_elsewhere() -> None:
    parked = a_map("cali_jump3", "3.29")._replace(id=61, path=f"{PINS}/old_jumps/1/cali_jump3")
    maps = (*MAPS, a_map("cali_jump3", "3.29")._replace(id=62), parked)
    assert codes(maps=maps, used_maps=(used(61, "cali_jump3"),)) == []


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        (seen.Pin(f"{PINS}/cali_v4_routes", "program", 1), ["PIN_NO_MAP"]),
        (seen.Pin(f"{PINS}/cali_v4_ct3_old", "link", 1), ["PIN_NO_MAP"]),
        (seen.Pin(f"{PINS}/cali_v4_ct3", "map", 1), []),
        (seen.Pin(f"{PINS}/other", "program", 1), []),
        (seen.Pin("/sys/fs/bpf/cali_v4_routes", "program", 1), []),
    ],
)
def test_pins_of_something_else(pin: seen.Pin, expected: list[str]) -> None:
    assert codes(pins=(pin,)) == expected


def test_udp_flows_that_bypass_their_service() -> None:
    flows = seen.StaleFlows(f"{PINS}/cali_v4_ct3", "10.96.0.10:53", 7, ("from 10.0.0.1:4",))
    (one,) = findings(HEALTHY._replace(stale_udp=(flows,)))
    assert (one.code, one.object) == ("UDP_STALE", "10.96.0.10:53")
    assert "7 live UDP flows to 10.96.0.10:53 bypass the Service" in one.evidence[0]


def on(name: str, ifindex: int = 9, **changes: Any) -> seen.Interface:
    pair = attached("ingress"), attached("egress")
    return workload(name, *pair, ifindex=ifindex, workload=name.startswith("cali"), **changes)


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("eth7", None, []),
        ("bond0", None, []),
        ("vxlan.calico", None, []),
        ("bpfout.cali", None, []),
        ("lo", None, []),
        ("cali9", None, []),
        ("docker0", None, ["ATTACH_UNMATCHED"]),
        ("docker0", 0x8, []),
        ("docker0", 0x408, ["ATTACH_UNMATCHED"]),
        ("eth7", 0x400, ["ATTACH_UNMATCHED"]),
    ],
)
def test_interfaces_that_felix_does_not_manage(
    name: str, flags: int | None, expected: list[str]
) -> None:
    known = {5: 1, **({} if flags is None else {9: flags})}
    assert codes(interfaces=(WHOLE, on(name)), ifstate=known) == expected
    assert codes(interfaces=(WHOLE, on(name)), ifstate=None) == []
    bare = workload(name, ifindex=9, workload=False)
    assert codes(interfaces=(WHOLE, bare), ifstate=known) == []


@pytest.mark.parametrize(
    ("others", "clsact", "expected"),
    [
        ((attached("ingress", 10, owner=FOREIGN),), True, ["CLSACT_FOREIGN"]),
        ((attached("ingress", 10, owner=UNPROVEN),), True, []),
        ((attached("ingress", 10, owner=FOREIGN)._replace(kind="tcx"),), True, []),
        ((), True, []),
    ],
)
def test_filters_of_others_beside_calicos(
    others: tuple[seen.Attachment, ...], clsact: bool, expected: list[str]
) -> None:
    pair = attached("ingress", owner=CALICO), attached("egress")
    one = workload("cali2", *pair, *others, clsact=clsact)
    assert codes(interfaces=(WHOLE, one)) == expected
    alone = workload("eth0", *others, workload=False)
    assert codes(interfaces=(WHOLE, alone)) == []

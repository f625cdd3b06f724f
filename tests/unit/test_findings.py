# SPDX-License-Identifier: GPL-3.0-or-later
"""Which findings a node has, from plain values: pinned maps, filters, slots and pins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.defects import DEFECTS, defect
from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings import (
    LOOKED_FOR,
    TRANSIENT,
    confirmed,
    finding_facts,
    findings,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings_maps import resizes
from tests.unit.node_values import (
    FOREIGN,
    HEALTHY,
    PINS,
    UNPROVEN,
    WHOLE,
    a_map,
    attached,
    codes,
    release,
    workload,
)


def test_a_healthy_node_has_none() -> None:
    assert codes() == []


def with_maps(*maps: seen.PinnedMap) -> tuple[seen.PinnedMap, ...]:
    return (*HEALTHY.maps, *maps)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (a_map("cali_v4_ct3_old", "3.29"), ["CT_OLD_PIN"]),
        (a_map("cali_v4_ct3_old", "3.29")._replace(owner=UNPROVEN), []),
        (a_map("cali_v4_routes_old", "3.29"), []),
        (a_map("cali_v4_ct4", "3.31"), ["CT_NEWER"]),
        (a_map("cali_jump2", "3.27"), ["MAP_SUPERSEDED"]),
        (a_map("cali_v6_ct3", "3.29", value_size=96), ["CT_LAYOUT"]),
        (a_map("cali_v6_ct3", "3.29", entries=460800), ["CT_FULL"]),
        (a_map("cali_v6_ct3", "3.29", entries=460799), []),
    ],
)
def test_maps(extra: seen.PinnedMap, expected: list[str]) -> None:
    assert codes(maps=with_maps(extra)) == expected


def test_the_older_of_two_conntrack_maps_is_left_over() -> None:
    both = with_maps(a_map("cali_v4_ct4", "3.31"))
    (one,) = findings(HEALTHY._replace(maps=both, release=release("3.31")))[:1]
    assert (one.code, one.object) == ("CT_SUPERSEDED", f"{PINS}/cali_v4_ct3")
    unknown = HEALTHY._replace(maps=both, release=release(">=3.26,<3.34"))
    assert [one.code for one in findings(unknown)] == ["CT_SUPERSEDED"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [("3.27", ["CT_SIZE"]), ("3.28.1", ["CT_SIZE"]), ("3.28.2", []), (">=3.28,<3.30", [])],
)
def test_sizes_count_where_every_release_in_question_has_the_defect(
    line: str, expected: list[str]
) -> None:
    maps = (a_map("cali_v4_ct3", "3.29", max_entries=600000),)
    assert codes(maps=maps, release=release(line)) == expected


@pytest.mark.parametrize(
    ("line", "configured", "in_file", "expected"),
    [
        ("3.30", None, 512000, []),
        ("3.30", None, 512001, ["CT_AUTOSCALE_FILE"]),
        ("3.29", None, 512001, []),
        ("3.30", 512000, 512001, ["CT_AUTOSCALE_FILE"]),
        ("3.30", 600000, 512001, []),
    ],
)
def test_the_auto_scale_file(
    line: str, configured: int | None, in_file: int, expected: list[str]
) -> None:
    maps = (a_map("cali_v4_ct3", "3.30"),)
    found = codes(maps=maps, release=release(line), auto_size=in_file, conntrack_size=configured)
    assert found == expected


def test_what_felix_will_resize() -> None:
    maps = with_maps(a_map("cali_v4_ct3_old", "3.29", max_entries=1000))
    node = HEALTHY._replace(maps=maps)
    assert resizes(node) == ()
    assert resizes(node._replace(conntrack_size=512000)) == ()
    (sentence,) = resizes(node._replace(conntrack_size=600000, auto_size=700000))
    assert "cali_v4_ct3 has 512000 entries and felix asks for 600000" in sentence
    later = node._replace(conntrack_size=600000, auto_size=700000, release=release("3.30"))
    assert "asks for 700000" in resizes(later)[0]


@pytest.mark.parametrize(
    ("programs", "expected"),
    [
        ((attached("ingress"), attached("egress", handle=2)), ["TC_MISMATCH"]),
        ((attached("ingress", 49151), attached("egress")), ["TC_MISMATCH"]),
        ((attached("ingress"), attached("egress"), attached("egress", 49151)), ["TC_DUPLICATE"]),
        (
            (attached("ingress"), attached("egress"), attached("egress", 10, 1, FOREIGN)),
            ["CLSACT_FOREIGN"],
        ),
        ((attached("ingress"), attached("egress"), attached("egress", 10, 1, UNPROVEN)), []),
        ((attached("ingress"),), ["TC_MISSING"]),
        ((), ["TC_MISSING"]),
        (
            (attached("ingress"), attached("egress", owner=FOREIGN)),
            ["TC_MISSING", "CLSACT_FOREIGN"],
        ),
        ((attached("ingress"), attached("egress", owner=UNPROVEN)), []),
        ((attached("ingress", 32768), attached("egress", 32768)), ["TC_PREF_EXHAUSTED"] * 2),
        ((attached("ingress", 32769), attached("egress", 32769)), ["TC_DRIFT"]),
        ((attached("ingress", 49152, 2), attached("egress", 49152, 2)), ["TC_DRIFT"]),
        (
            (attached("ingress", 9), attached("egress", 9), attached("egress", owner=UNPROVEN)),
            ["TC_PREF_EXHAUSTED"] * 2,
        ),
        (
            (
                attached("ingress", 49151),
                attached("egress", 49151),
                attached("egress", 49152, 1, UNPROVEN),
            ),
            [],
        ),
    ],
)
def test_filters(programs: tuple[seen.Attachment, ...], expected: list[str]) -> None:
    assert codes(interfaces=(WHOLE, workload("cali2", *programs))) == expected


def test_a_mismatch_is_harmless_where_felix_compares_nothing() -> None:
    uneven = workload("cali1", attached("ingress"), attached("egress", handle=2))
    maps = (a_map("cali_v4_ct4", "3.31"),)
    assert codes(maps=maps, interfaces=(uneven,), release=release("3.31")) == []


@pytest.mark.parametrize(
    "changes",
    [{"running": False}, {"kind": "netkit"}, {"workload": False}, {"running": None}],
)
def test_interfaces_that_need_no_program(changes: dict[str, Any]) -> None:
    assert codes(interfaces=(WHOLE, workload("cali2", **changes))) == []


def test_missing_programs_need_something_to_compare_with() -> None:
    bare = (workload("cali1"), workload("cali2"))
    assert "TC_MISSING" not in codes(interfaces=bare)
    assert codes(interfaces=(WHOLE, bare[1]), interfaces_known=False) == []


def constants(log_filter: bool | None, *main: bool) -> seen.Constants:
    filters = () if log_filter is None else (seen.Slot("cali_jump3", 26, log_filter),)
    slots = tuple(seen.Slot("cali_progs3", number, one) for number, one in enumerate(main))
    return seen.Constants("tc_pream.rodata", 512, filters, slots)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (constants(None, True, True), []),
        (constants(True, True), []),
        (constants(False, True), ["LOG_FILTER_STALE"]),
        (constants(None, False, True), []),
        (constants(None, False, False), ["JUMPS_EMPTY"]),
        (constants(None), []),
    ],
)
def test_slots_that_programs_call(given: seen.Constants, expected: list[str]) -> None:
    one = workload("cali1", attached("ingress", constants=given), attached("egress"))
    assert codes(interfaces=(one,)) == expected
    ours = attached("ingress", owner=UNPROVEN, constants=given)
    assert codes(interfaces=(workload("cali1", ours, attached("egress")),)) == []


@pytest.mark.parametrize(
    ("pin", "expected"),
    [
        (seen.Pin(f"{PINS}/old_jumps/1/cali_jump3", "map", 1), ["JUMPS_LINGERING"]),
        (seen.Pin("/elsewhere/old_jumps/1/cali_jump3", "map", 1), []),
        (seen.Pin("/sys/fs/bpf/tcx/cali1_ingress", "link", 1), []),
        (seen.Pin("/sys/fs/bpf/tcx/cali1_ingress", "link", 1, severed=True), ["TCX_SEVERED"]),
        (seen.Pin("/sys/fs/bpf/ctlb/calico_connect_v4", "link", 1, True), ["CTLB_SEVERED"]),
        (seen.Pin("/sys/fs/bpf/others/link", "link", 1, True), []),
    ],
)
def test_pins(pin: seen.Pin, expected: list[str]) -> None:
    assert codes(pins=(pin,)) == expected


def test_contradictions() -> None:
    (one,) = findings(HEALTHY._replace(release=release("3.29", "This does not fit.")))
    assert (one.code, one.evidence) == ("RELEASE_CONTRADICTION", ("This does not fit.",))


def test_the_severest_comes_first_and_all_is_told() -> None:
    maps = with_maps(a_map("cali_jump2", "3.27"), a_map("cali_v4_ct3_old", "3.29"))
    first, second = finding_facts(findings(HEALTHY._replace(maps=maps)))
    assert (first["code"], second["code"]) == ("CT_OLD_PIN", "MAP_SUPERSEDED")
    row = defect("CT_OLD_PIN")
    assert (first["severity"], first["title"]) == (row.severity, row.title)
    assert (first["remedy"], first["upstream"]) == (list(row.remedy), list(row.upstream))
    assert first["affected"] == "3.26 or later"


def test_every_code_stands_in_the_table_of_what_an_audit_sees() -> None:
    place = Path(seen.__file__).parent
    text = "".join(file.read_text("utf-8") for file in place.glob("findings_*.py"))
    used = set(re.findall(r'"([A-Z]+_[A-Z_0-9]+)"', text))
    assert used == LOOKED_FOR
    assert used == {row.code for row in DEFECTS if row.seen == "node"}


def test_a_second_look_confirms_what_may_pass() -> None:
    passing, other, lasting = (
        seen.Finding("TC_MISSING", name, (name,)) for name in ("cali1", "cali2", "cali3")
    )
    sure = seen.Finding("CT_OLD_PIN", "map", ("It is there.",))
    again = lasting._replace(evidence=("Still.",))
    assert confirmed((sure, passing, lasting), (other, again)) == (sure, again)
    assert LOOKED_FOR >= TRANSIENT

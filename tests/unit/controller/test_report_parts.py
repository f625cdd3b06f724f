# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of the page: texts, attachments, time, conntrack totals and free details."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.plugin_utils._report import (
    attachments,
    conntrack,
    details,
    text,
    timeline,
)
from tests.unit.controller import fleet


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (text.number(512000), "512,000"),
        (text.number(None), text.NOTHING),
        (text.size(999), "999 B"),
        (text.size(1000), "1.0 KiB"),
        (text.size(14789504), "14.1 MiB"),
        (text.size(166723584), "159 MiB"),
        (text.size(None), text.NOTHING),
        (text.percent(0.0), "0 %"),
        (text.percent(0.0004), "< 0.1 %"),
        (text.percent(0.0781), "7.8 %"),
        (text.span(0.42), "0.4 s"),
        (text.span(61), "1 min 1 s"),
        (text.span(3 * 3600 + 125), "3 h 2 min"),
        (text.date("2026-01-31T12:00:00Z"), "2026-01-31 12:00:00 UTC"),
        (text.date("2026-01-31T13:00:00+01:00"), "2026-01-31 12:00:00 UTC"),
        (text.date("soon"), "soon"),
        (text.counted(1, "node"), "1 node"),
        (text.counted(0, "node"), "0 nodes"),
        (text.of_severity(2, "warning"), "2 warnings"),
        (text.of_severity(2, "critical"), "2 critical"),
        (text.value(["a", 1]), "a, 1"),
        (text.value({"b": 1}), '{"b": 1}'),
        (text.value(False), "no"),
        (text.pin("/sys/fs/bpf/tc/globals/old_jumps/x/cali_jump3"), "old_jumps/x/cali_jump3"),
        (text.pin("/sys/fs/bpf/tcx/ingress"), "/sys/fs/bpf/tcx/ingress"),
    ],
)
def test_texts(shown: str, wanted: str) -> None:
    assert shown == wanted


@pytest.mark.parametrize(
    ("reference", "href"),
    [
        ("#9651", "https://github.com/projectcalico/calico/issues/9651"),
        ("tigera/operator#77", "https://github.com/tigera/operator/issues/77"),
        ("javascript:alert(1)#1", ""),
        ("see the notes", ""),
        (None, ""),
    ],
)
def test_upstream_numbers_become_links_and_nothing_else_does(reference: Any, href: str) -> None:
    assert text.upstream(reference)["href"] == href


def test_interfaces_that_look_alike_are_one_group() -> None:
    many = [
        fleet.interface(
            f"cali{number}",
            fleet.program("ingress", name=f"cali_tc_preambl:[{number}]", program_id=number),
        )
        for number in range(250)
    ]
    odd = fleet.interface("calix", fleet.program("ingress", preference=49150))
    host = fleet.interface("eth0", workload=False)
    groups = attachments.patterns([host, odd, *many])
    assert [len(group["interfaces"]) for group in groups] == [250, 1, 1]
    assert [group["workload"] for group in groups] == [True, True, False]
    assert groups[0]["programs"][0]["name"] == "cali_tc_preambl"
    assert groups[1]["programs"][0]["preference"] == "49150"


def test_an_interface_without_programs_and_one_with_a_lost_log_filter() -> None:
    bare = {**fleet.interface("cali1"), "programs": []}
    lost = fleet.program("ingress", log_filters=[{"map": "m", "slot": 1, "filled": False}])
    groups = attachments.patterns([bare, fleet.interface("cali2", lost)])
    programs = {group["interfaces"][0]: group["programs"] for group in groups}
    assert programs["cali1"] == []
    assert programs["cali2"][0]["log"] == "missing"


def test_steps_on_the_scale_of_the_whole_run() -> None:
    facts = {
        "a": fleet.left(steps=[fleet.step("one", 0, 10)]),
        "b": fleet.left(steps=[fleet.step("two", 10, 40), {"name": "unknown", "result": "failed"}]),
    }
    nodes = fleet.report(facts)["nodes"]
    on = timeline.scale(nodes)
    assert timeline.ticks(on) == {"began": "12:00:00", "took": "40.0 s"}
    two, unknown = timeline.steps(nodes[1], on)
    assert (two["x"], two["width"], two["took"]) == (25.0, 75.0, "30.0 s")
    assert (unknown["width"], unknown["began"], unknown["took"]) == (
        0.0,
        text.NOTHING,
        text.NOTHING,
    )


def test_a_step_at_the_very_end_stays_on_the_scale() -> None:
    nodes = fleet.report({"a": fleet.left(steps=[fleet.step("x", 0, 40), fleet.step("y", 40, 40)])})
    (_, last) = timeline.steps(nodes["nodes"][0], timeline.scale(nodes["nodes"]))
    assert last["x"] + last["width"] == pytest.approx(100)


def test_no_time_no_scale() -> None:
    assert timeline.scale(fleet.report({"a": fleet.left(steps=[{"name": "x"}])})["nodes"]) is None


def test_conntrack_totals() -> None:
    (table,) = conntrack.tables(fleet.conntrack())
    assert table["fill"] == 0.95
    charts = {chart["title"]: chart["bars"] for chart in table["charts"]}
    assert [bar["label"] for bar in charts["Protocol"]] == ["tcp", "udp"]
    assert [bar["label"] for bar in charts["Idle"]] == [
        "below 1 s",
        "1 s to 1 min",
        "1 min and more",
    ]
    # Null: the release does not tell how long entries live.
    assert "Remaining life" not in charts


def test_details_side_by_side_as_a_list_and_as_values() -> None:
    tables = details.tables(
        {
            "size": 5,
            "felix": {"before": {"a": 1}, "after": {"a": 2, "b": 3}, "path": "/etc/felix.cfg"},
            "resize": {"maps": [{"x": 1}, {"y": 2}], "changed": True},
        }
    )
    assert [(one["title"], one["columns"], one["rows"]) for one in tables] == [
        ("", [], [["size", "5"]]),
        ("felix", ["", "before", "after"], [["a", "1", "2"], ["b", text.NOTHING, "3"]]),
        ("felix", [], [["path", "/etc/felix.cfg"]]),
        ("resize", [], [["changed", "yes"]]),
        ("resize: maps", ["x", "y"], [["1", text.NOTHING], [text.NOTHING, "2"]]),
    ]


def test_details_do_not_depend_on_the_order_of_their_keys() -> None:
    record = {"size_after": 2, "entries": 1, "size_before": 3, "path": "m"}
    for turned in (record, dict(reversed(record.items()))):
        (table,) = details.tables({"maps": [turned]})
        assert table["columns"] == ["path", "entries", "size before", "size after"]

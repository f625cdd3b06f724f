# SPDX-License-Identifier: GPL-3.0-or-later
"""The flows reach their pod again, others went on, and the report tells each flow."""

from __future__ import annotations

import json
from pathlib import Path

from testinfra.host import Host

from tests.observe import udp

REPORTS = Path(__file__).resolve().parents[3] / ".build" / "molecule" / "repair_udp-reports"


def test_every_flow_has_answers(host: Host) -> None:
    assert udp.silent_after(host, set(udp.flows(host)), 10) == set()
    assert all(flow["strange"] == 0 for flow in udp.flows(host).values())


def test_they_are_flows_with_nat_now(host: Host) -> None:
    assert udp.types(host, 4) == [1, 1]
    assert udp.types(host, 6) == [1]


def test_the_report_tells_each_flow(host: Host) -> None:
    """The dry run comes first, then the run that repairs, then one that finds nothing."""
    name = host.backend.get_hostname()
    told = []
    for file in sorted(REPORTS.glob("repair_udp-*.json")):
        report = json.loads(file.read_text("utf-8"))
        (node,) = (one for one in report["nodes"] if one["name"] == name)
        told.append((node["result"], node["details"].get("udp_repair", [])))
    assert [result for result, _ in told] == ["changed", "changed", "ok"]
    planned, done, again = (rows for _, rows in told)
    number = name.removeprefix("node")
    pod, pod6 = f"10.65.{number}.3:5353", f"[fd00:10:65:{number}::3]:5353"
    assert {
        (one["client"].rpartition(":")[2], one["frontend"], one["backend"]) for one in done
    } == {
        ("40001", "10.96.0.10:53", pod),
        ("40002", "[fd00:10:96::10]:53", pod6),
        ("40003", "203.0.113.7:53", pod),
    }
    assert sorted(one["client"] for one in planned) == sorted(one["client"] for one in done)
    assert again == []

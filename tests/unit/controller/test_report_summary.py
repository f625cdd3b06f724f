# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines that sum up a run on the screen."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.report_summary import FilterModule

lines = FilterModule().filters()["report_summary"]

OLD_PIN = {
    "code": "CT_OLD_PIN",
    "severity": "critical",
    "object": "/sys/fs/bpf/tc/globals/cali_v4_ct3_old",
    "advice": "Carry the newer entries over.",
    "remedy": ["conntrack_map"],
    "upstream": ["#1", "#2"],
}
FULL = {**OLD_PIN, "code": "CT_FULL", "severity": "warning"}


def look(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    snapshot = {"release": "3.29", "findings": list(findings), **more}
    return {"result": "ok", "snapshot": snapshot}


def test_a_healthy_node_is_one_line() -> None:
    assert lines({"node1": look()}) == ["node1  Calico 3.29: healthy"]


def test_critical_findings_have_a_line_each() -> None:
    assert lines({"node1": look(FULL, OLD_PIN), "node10": look(FULL)}) == [
        "node1   Calico 3.29: 1 critical, 1 warning",
        "        CT_OLD_PIN /sys/fs/bpf/tc/globals/cali_v4_ct3_old: "
        "Carry the newer entries over. (conntrack_map) #1, #2",
        "node10  Calico 3.29: 1 warning",
    ]


def test_nodes_without_a_look() -> None:
    steps = [{"name": "audit", "result": "failed", "says": "It needs root."}]
    failed = {"result": "failed", "steps": steps}
    assert lines({"a": None, "b": failed}) == ["a  not reached", "b  failed: It needs root."]


def test_interfaces_that_were_not_seen() -> None:
    (_, second) = lines({"node1": look(interfaces_known=False)})
    assert "pyroute2" in second


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(AnsibleFilterError, match="no dictionary of nodes"):
        lines([])
    with pytest.raises(AnsibleFilterError, match="calico_report of node1"):
        lines({"node1": "hello"})

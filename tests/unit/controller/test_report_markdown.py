# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as Markdown: what it tells, and that nothing from a node is markup."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.report_markdown import report_markdown
from ansible_collections.bpfops.calico.plugins.plugin_utils._report.text import NOTHING
from tests.unit.controller.fleet import HOSTILE, everything, left, report, step


def text(facts: dict[str, Any]) -> str:
    return str(report_markdown(report(facts)))


def test_a_whole_run() -> None:
    facts = everything()
    facts["node2"]["waits"] = [{"for": "felix to be healthy", "seconds": 12.5}]
    facts["node2"]["details"]["conntrack_resize"] = [{"entries": 1200}, {"entries": 34}]
    facts["node2"]["details"]["upgrade"] = {"entries": 6}
    facts["node2"]["details"]["connections"] = [
        {"kept": 1200, "gone": 3, "expired": 4, "without_partner": 1},
        {"kept": 34, "gone": 0, "expired": 0, "without_partner": 0},
    ]
    facts["node10"].update(result="failed", steps=[step("look", 5, 65 - 6, "failed")])
    lines = text(facts).splitlines()
    assert lines[:3] == [
        "## Audit of a fleet",
        "",
        "2026-01-31 12:00:00 UTC. Nodes: 1 changed, 1 not reached, 1 refused, 1 failed.",
    ]
    assert "    ansible-playbook bpfops.calico.audit" in lines
    assert f"| node1 | refused | {NOTHING} | {NOTHING} | 1 |" in lines
    assert "| node2 | changed | 40.0 s | 1 | 50 |" in lines
    assert f"| node3 | not reached | {NOTHING} | {NOTHING} | {NOTHING} |" in lines
    assert "- node10, look (failed): Done." in lines
    assert "- node1, gate CT\\_SIZE: This release cannot load it." in lines
    assert "| node2 | felix to be healthy | 12.5 s |" in lines
    assert "Conntrack entries carried over: 1,240." in lines
    assert lines[-1] == (
        "Conntrack entries of before: 1,234 of 1,237 are there, 3 were closed since then or got "
        "lost; 5 more would have expired without another packet."
    )


def test_nothing_is_said_of_what_was_not_there() -> None:
    said = text({"node1": left()})
    assert "waited" not in said
    assert "Refused" not in said
    assert "carried" not in said
    assert "of before" not in said
    strange = left(details={"connections": ["many"], "upgrade": {"entries": "all"}})
    assert "carried" not in text({"node1": strange})
    assert text({}).count("|") == 0


def test_a_large_fleet_is_cut_short() -> None:
    said = text({f"node{number}": left() for number in range(52)})
    assert said.count("| ok |") == 50
    assert "and 2 more nodes" in said


def test_nothing_from_a_node_is_markup() -> None:
    said = {**step("a\n# b", 0, 1, "failed"), "says": f"[x](http://y) `{HOSTILE}` |\nend"}
    facts = {HOSTILE: left(steps=[said], waits=[{"for": HOSTILE, "seconds": None}])}
    lines = text(facts).splitlines()
    assert not re.search(r"(?<!\\)<", "".join(lines))
    assert "\\[x\\]\\(http://y\\) \\`" in "".join(lines)
    (row,) = [line for line in lines if line.startswith("- ")]
    assert row.endswith("\\| end")
    assert "a \\# b" in row


def test_only_a_report_is_shown() -> None:
    with pytest.raises(AnsibleFilterError, match=r"report_markdown: this is no bpfops\.calico"):
        report_markdown({})

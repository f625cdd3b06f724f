# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as data: sums, groups, order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from tests.unit.controller.fleet import everything, finding, gate, left, report, snapshot

ROOT = Path(__file__).resolve().parents[3]


def test_a_healthy_fleet() -> None:
    made = report({f"node{number}": left() for number in range(3)})
    assert made["summary"] == {
        "nodes": 3,
        "reached": 3,
        "healthy": 3,
        "results": {"ok": 3},
        "releases": {"3.29": 3},
        "kernels": {"6.1.0-18-amd64": 3},
        "findings": {"critical": 0, "warning": 0, "info": 0},
        "refusals": [],
    }
    assert made["findings"] == []


def test_an_empty_fleet() -> None:
    made = report({})
    assert made["summary"]["nodes"] == 0
    assert made["nodes"] == made["findings"] == []


def test_findings_of_all_nodes_by_code_the_severest_first() -> None:
    made = report(
        {
            "b": left(finding("A_PIN", "info", "p"), finding("CT_SIZE", "critical", "m")),
            "a": left(finding("CT_SIZE", "critical", "n"), finding("CT_OLD_PIN", "critical", "o")),
        }
    )
    assert [one["code"] for one in made["findings"]] == ["CT_OLD_PIN", "CT_SIZE", "A_PIN"]
    assert made["findings"][1]["occurrences"] == [
        {"node": "a", "object": "n", "evidence": ["Something was seen."]},
        {"node": "b", "object": "m", "evidence": ["Something was seen."]},
    ]
    assert made["summary"]["findings"] == {"critical": 3, "warning": 0, "info": 1}
    assert made["summary"]["healthy"] == 0


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_node_without_the_fact_was_not_reached(nothing: Any) -> None:
    made = report({"here": left(), "gone": nothing})
    assert made["summary"]["results"] == {"not_reached": 1, "ok": 1}
    assert (made["summary"]["nodes"], made["summary"]["reached"]) == (2, 1)
    # Nothing is known of it, so it does not count as healthy.
    assert made["summary"]["healthy"] == 1


def test_a_node_that_failed_before_the_first_look() -> None:
    made = report({"node1": {"result": "failed", "steps": [{"name": "look"}]}})
    assert made["summary"]["results"] == {"failed": 1}
    assert made["nodes"][0]["snapshot"] is None


def test_closed_gates_are_refusals() -> None:
    made = report({"node1": left(gates=[gate("CT_SIZE", False), gate("KERNEL", True)])})
    assert [(one["node"], one["code"]) for one in made["summary"]["refusals"]] == [
        ("node1", "CT_SIZE")
    ]


def test_nodes_in_natural_order() -> None:
    made = report(dict.fromkeys(("node10", "node2", "10.0.0.9", "node", "10.0.0.10")))
    names = [one["name"] for one in made["nodes"]]
    assert names == ["10.0.0.9", "10.0.0.10", "node", "node2", "node10"]


def test_before_and_after_only_with_both_looks() -> None:
    made = report(
        {
            "a": {"before": snapshot(), "snapshot": snapshot()},
            "b": {"before": snapshot()},
            "c": {"snapshot": snapshot()},
        }
    )
    assert [bool(one["changes"]) for one in made["nodes"]] == [True, False, False]


def test_the_same_input_gives_the_same_bytes() -> None:
    facts = everything()
    turned = dict(reversed(facts.items()))
    one, other = (json.dumps(report(each), sort_keys=True) for each in (facts, turned))
    assert one == other


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        ("oops", "calico_report of node1: 'oops' is no dictionary."),
        ({"steps": {}}, "calico_report of node1: steps is {}; it has to be a list."),
        ({"gates": ["x"]}, "calico_report of node1: gates holds 'x'; it has to hold dictionaries."),
        ({"result": 3}, "calico_report of node1: result is 3; it has to be text."),
        ({"snapshot": [1]}, "calico_report of node1: snapshot is [1]; it has to be a dictionary."),
    ],
)
def test_a_fact_of_another_shape_is_named(fact: Any, says: str) -> None:
    with pytest.raises(AnsibleFilterError, match="calico_report") as caught:
        report({"node1": fact})
    assert str(caught.value) == says


def documented(module: str) -> dict[str, Any]:
    """The RETURN block of a module."""
    text = (ROOT / "plugins/modules" / f"{module}.py").read_text("utf-8")
    block = text.split('RETURN = r"""', 1)[1].split('"""', 1)[0]
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def unknown(value: dict[str, Any], known: dict[str, Any]) -> set[str]:
    """Keys, at any depth that is documented, that a module does not return."""
    found = set(value) - set(known)
    for key, item in value.items():
        inside = known.get(key, {}).get("contains")
        for one in item if isinstance(item, list) and inside else ():
            found |= unknown(one, inside)
    return found


def test_the_crafted_nodes_look_as_the_modules_return_them() -> None:
    facts = everything()["node2"]
    assert not unknown(facts["snapshot"], documented("node_info"))
    assert not unknown(facts["conntrack"], documented("conntrack_info"))

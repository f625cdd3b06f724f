# SPDX-License-Identifier: GPL-3.0-or-later
"""How gates are asked, how they answer, and what opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.bpfops.calico.plugins.module_utils._calico.gates import OVERRIDES
from ansible_collections.bpfops.calico.plugins.module_utils._errors import BadInputError
from ansible_collections.bpfops.calico.plugins.module_utils._plan.gates import gates
from tests.unit.node_facts import PINS, a_map, finding, node

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_refusal_is_one_sentence() -> None:
    old = a_map("cali_v4_ct3_old", "3.29")
    facts = node("3.29.7", a_map("cali_v4_ct3", "3.29"), old)
    (gate, *_) = gates(facts, {"name": "repair_tc"}, {})
    assert gate["refusal"] == ""
    (gate, *_) = gates(facts, {"name": "set_log_level", "to": "Off"}, {})
    assert gate["refusal"] == (
        "set_log_level is refused by CT_OLD_PIN: a conntrack map is pinned with the suffix _old; "
        f"{PINS}/cali_v4_ct3_old is pinned; carry the newer entries over and remove the pin before "
        "felix restarts; or set preflight_allow_old_pin to true."
    )
    (size, *_) = gates(node("3.27.3"), {"name": "resize_conntrack", "max_entries": 600000}, {})
    assert "(#9651, #9117, #9118)" in size["refusal"]


def test_overrides_open_their_gate_alone() -> None:
    old = a_map("cali_v4_ct3_old", "3.29")
    severed = finding("CTLB_SEVERED", "x", "y.")
    facts = node("3.29.7", a_map("cali_v4_ct3", "3.29"), old, findings=[severed])
    answers = gates(facts, {"name": "set_log_level"}, dict.fromkeys(OVERRIDES, True))
    assert {one["code"]: one["overridden"] for one in answers if not one["passed"]} == {
        "CT_OLD_PIN": True,
        "CTLB_SEVERED": False,
    }
    answers = gates(facts, {"name": "set_log_level"}, dict.fromkeys(OVERRIDES, False))
    assert not any(one["overridden"] for one in answers)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({}, ["operation.name", "None", "resize_conntrack"]),
        ({"name": "explode"}, ["operation.name", "explode", "upgrade"]),
        ({"name": "upgrade"}, ["operation.to", "missing"]),
        ({"name": "upgrade", "to": "next"}, ["operation.to", "next"]),
        ({"name": "upgrade", "to": "v3.31"}, ["operation.to", "v3.31", "v3.31.7"]),
        ({"name": "upgrade", "to": "v3.99.1"}, ["3.99.1", "releases"]),
        ({"name": "upgrade", "to": 3.31}, ["operation.to", "3.31"]),
        ({"name": "switch_dataplane", "to": "nftables"}, ["operation.to", "nftables", "ebpf"]),
        ({"name": "resize_conntrack"}, ["operation.max_entries", "missing"]),
        ({"name": "resize_conntrack", "max_entries": 0}, ["operation.max_entries", "0"]),
        ({"name": "resize_conntrack", "max_entries": "many"}, ["max_entries", "many"]),
        ({"name": "resize_conntrack", "max_entries": True}, ["max_entries", "True"]),
        ({"name": "resize_conntrack", "max_entries": 9, "families": []}, ["families"]),
        ({"name": "resize_conntrack", "max_entries": 9, "families": ["v4"]}, ["families", "v4"]),
        ({"name": "repair_tc", "max_entries": 9}, ["operation", "max_entries", "repair_tc"]),
        ({"name": "repair_tc", "install_kind": "helm"}, ["install_kind", "helm", "operator"]),
        ({"name": "repair_tc", "calico_version": "x"}, ["operation.calico_version", "x"]),
    ],
)
def test_bad_operations(operation: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadInputError) as raised:
        gates(node(), operation, {})
    assert all(word in str(raised.value) for word in words), raised.value


def test_bad_facts_and_overrides() -> None:
    with pytest.raises(BadInputError, match="result of node_info"):
        gates({"maps": []}, {"name": "repair_tc"}, {})
    with pytest.raises(BadInputError, match="preflight_allow_all"):
        gates(node(), {"name": "repair_tc"}, {"preflight_allow_all": True})
    with pytest.raises(BadInputError, match="neither true nor false"):
        gates(node(), {"name": "repair_tc"}, {"preflight_allow_downgrade": "no"})


def test_max_entries_may_be_text_as_from_a_command_line() -> None:
    operation = {"name": "resize_conntrack", "max_entries": "600000"}
    assert all(one["passed"] for one in gates(node("3.29.7"), operation, {}))


def test_the_role_has_an_option_for_each_override() -> None:
    specs = REPOSITORY / "roles" / "preflight" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(specs.read_text("utf-8"))["argument_specs"]["main"]["options"]
    allow = {name: one for name, one in options.items() if name.startswith("preflight_allow_")}
    assert sorted(allow) == list(OVERRIDES)
    assert all(one["type"] == "bool" and one["default"] is False for one in allow.values())
    names = yaml.safe_load((specs.parents[1] / "vars" / "main.yml").read_text("utf-8"))
    assert sorted(names["__preflight_overrides"]) == list(OVERRIDES)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter gates: what Ansible hands over, and what it gets back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.gates import FilterModule
from tests.unit.node_facts import node

gates = FilterModule().filters()["gates"]


def test_it_answers_for_each_gate() -> None:
    answers = gates(node("3.27.3"), {"name": "resize_conntrack", "max_entries": 600000})
    assert [one["code"] for one in answers if not one["passed"]] == ["CT_SIZE"]
    keys = {
        "operation", "code", "passed", "severity", "says", "evidence", "upstream", "remedy",
        "override", "overridden", "refusal",
    }  # fmt: skip
    assert all(set(one) == keys for one in answers)
    allowed = {"preflight_allow_size_mismatch": True}
    again = gates(node("3.27.3"), {"name": "resize_conntrack", "max_entries": 600000}, allowed)
    assert [one["overridden"] for one in again if not one["passed"]] == [True]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("text", {"name": "repair_tc"}), "facts: 'text' is no dictionary"),
        ((node(), "repair_tc"), "operation: 'repair_tc' is no dictionary"),
        ((node(), {"name": "explode"}), "operation.name: 'explode'"),
        ((node(), {"name": "repair_tc"}, ["preflight_allow_downgrade"]), "overrides: "),
    ],
)
def test_bad_input_is_one_sentence(given: tuple[Any, ...], words: str) -> None:
    with pytest.raises(AnsibleFilterError) as raised:
        gates(*given)
    assert words in str(raised.value)

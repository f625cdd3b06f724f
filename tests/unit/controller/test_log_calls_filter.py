# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that compares a node's calls of log filters with a log level."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.log_calls import FilterModule

log_calls = FilterModule().filters()["log_calls"]


def test_sentences_come_in_lists() -> None:
    slot = {"map": "cali_jump2", "slot": 26, "filled": False}
    program = {
        "hook": "egress",
        "owner": "calico",
        "constants_bytes": 220,
        "log_filters": [slot],
    }
    facts = {
        "interfaces": [{"name": "cali1", "workload": True, "programs": [program]}],
        "interfaces_known": True,
    }
    assert log_calls(facts, "Off") == {
        "unsettled": ["cali1 egress calls slot 26 of cali_jump2"],
        "stale": [],
    }


@pytest.mark.parametrize("facts", [{}, {"interfaces": 5, "interfaces_known": True}, "text"])
def test_what_is_no_result_of_node_info(facts: object) -> None:
    with pytest.raises(AnsibleFilterError, match="log_calls: no result of node_info"):
        log_calls(facts, "Off")

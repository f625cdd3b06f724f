# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls of log filters a level asks for, and what the trace says of those that fail."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.trace_lines import missed_filter
from ansible_collections.bpfops.calico.plugins.module_utils._plan.log_calls import log_calls

NONE: list[dict[str, Any]] = []


def slots(*filled: bool) -> list[dict[str, Any]]:
    return [{"map": "cali_jump3", "slot": 5, "filled": one} for one in filled]


def interface(name: str, called: list[dict[str, Any]], **program: Any) -> dict[str, Any]:
    one = {"hook": "ingress", "owner": "calico", "constants_bytes": 512, "log_filters": called}
    return {"name": name, "workload": name.startswith("cali"), "programs": [{**one, **program}]}


def found(
    level: str, *interfaces: dict[str, Any], filters: dict[str, str] | None = None
) -> tuple[int, int]:
    facts = {"interfaces": list(interfaces), "interfaces_known": True}
    calls = log_calls(facts, level, filters or {})
    return len(calls.unsettled), len(calls.stale)


@pytest.mark.parametrize("level", ["Off", "Info", "off"])
@pytest.mark.parametrize(
    ("called", "wrong"), [(NONE, 0), (slots(True), 1), (slots(False), 1), (slots(True, False), 1)]
)
def test_nothing_calls_a_log_filter_when_logging_is_off(
    level: str, called: list[dict[str, Any]], wrong: int
) -> None:
    assert found(level, interface("cali1", called)) == (wrong, 0)


@pytest.mark.parametrize(
    ("filters", "workload", "host"),
    [
        ({}, True, True),
        ({"all": "tcp"}, True, True),
        ({"weps": "tcp"}, True, False),
        ({"heps": "tcp"}, False, False),
        ({"cali1": "tcp"}, True, False),
        ({"eth0": "tcp"}, False, True),
        ({"eth1": "tcp"}, False, False),
    ],
)
def test_which_interfaces_log(filters: dict[str, str], workload: bool, host: bool) -> None:
    for name, logs in (("cali1", workload), ("eth0", host)):
        assert found("Debug", interface(name, slots(True)), filters=filters) == (0, 0)
        assert found("Debug", interface(name, NONE), filters=filters) == (int(logs), 0)
        empty = found("Debug", interface(name, slots(False)), filters=filters)
        assert empty == ((1, 0) if logs else (0, 1))


@pytest.mark.parametrize(
    "other",
    [
        {"owner": "foreign"},
        {"owner": "unproven"},
        {"constants_bytes": 56},
        {"constants_bytes": None},
    ],
)
def test_programs_that_cannot_call_one(other: dict[str, Any]) -> None:
    """Those of 3.26 and of other software."""
    assert found("Debug", interface("cali1", NONE, **other)) == (0, 0)


def test_sentences() -> None:
    facts = {"interfaces": [interface("cali1", slots(True, False))], "interfaces_known": True}
    (said,) = log_calls(facts, "Off", {}).unsettled
    assert said == "cali1 ingress calls slot 5 of cali_jump3, slot 5 of cali_jump3"
    (said,) = log_calls(facts, "Debug", {"weps": "x"}).unsettled
    assert said == "cali1 ingress calls no log filter that is there"
    (said,) = log_calls(facts, "Debug", {"heps": "x"}).stale
    assert said == "cali1 ingress calls slot 5 of cali_jump3, which is empty"


def test_facts_that_are_none() -> None:
    with pytest.raises(KeyError, match="interfaces"):
        log_calls({"interfaces": []}, "Off", {})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "python3-1 [000] d.s. 1.2: bpf_trace_printk: tc_preamble iface cali123-------- "
            "failed to call log filter 26",
            ("cali123", 26),
        ),
        (
            "IPv6 tc_preamble v6 iface cali0123456789a failed to call log filter 9999",
            ("cali0123456789a", 9999),
        ),
        ("tc_preamble iface cali123 failed to call main", None),
        ("", None),
    ],
)
def test_lines_of_the_trace(line: str, expected: tuple[str, int] | None) -> None:
    assert missed_filter(line) == expected

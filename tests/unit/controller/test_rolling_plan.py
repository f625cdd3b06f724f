# SPDX-License-Identifier: GPL-3.0-or-later
"""Order, batches, window and command of a rolling run, by table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.bpfops.calico.plugins.filter.rolling_plan import rolling_plan
from ansible_collections.bpfops.calico.plugins.filter.run_state import run_state
from ansible_collections.bpfops.calico.plugins.plugin_utils._rolling.command import (
    command,
    variables,
)
from ansible_collections.bpfops.calico.plugins.plugin_utils._rolling.plan import plan
from ansible_collections.bpfops.calico.plugins.plugin_utils._rolling.state import earlier, run_id

HOSTS = ["node1", "node2", "node3", "node10"]
ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 1, 31, 22, 30, 15, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("given", "canary", "serial"),
    [
        ({}, [], [1]),
        ({"canary": 0, "serial": 3}, [], [3]),
        ({"canary": "2", "serial": "50%"}, ["node1", "node2"], [1, 1, "50%"]),
        ({"canary": "node3"}, ["node3"], [1, 1]),
        (
            {"canary": ["node10", "node1", "node10"], "serial": [1, "30%"]},
            HOSTS[::-3],
            [1, 1, 1, "30%"],
        ),
        ({"canary": " node10, node1 "}, ["node10", "node1"], [1, 1, 1]),
    ],
)
def test_canaries_go_first_one_after_another(
    given: dict[str, Any], canary: list[str], serial: list[Any]
) -> None:
    found = plan(HOSTS, given, NOW)
    assert (found["canary"], found["serial"], found["problems"]) == (canary, serial, [])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"canary": 5}, "calico_canary: 5 is more than the 4 hosts of this run"),
        ({"canary": "node3,node9"}, "calico_canary: node9 is not among the hosts of this run"),
        ({"canary": True}, "calico_canary: True is neither a number nor a list"),
        ({"canary": -1}, "calico_canary: -1 is neither"),
        ({"canary": {"a": 1}}, "is neither a number nor a list of hosts of this run."),
        ({"serial": 0}, "calico_serial: 0 is neither a number of hosts from 1 on"),
        ({"serial": "many"}, "calico_serial: 'many' is neither"),
        ({"serial": "101%"}, "calico_serial: '101%' is neither"),
        ({"serial": [1, None]}, "calico_serial: None is neither"),
        ({"serial": []}, "calico_serial: [] is neither"),
        ({"serial": True}, "calico_serial: True is neither"),
        ({"max_fail_percentage": "half"}, "'half' is not a number from 0 to 100."),
        ({"max_fail_percentage": 101}, "calico_max_fail_percentage: 101 is not a number"),
        ({"max_fail_percentage": "nan"}, "'nan' is not a number from 0 to 100."),
        ({"window_end": "soon"}, "calico_window_end: 'soon' is no time; give HH:MM"),
        ({"window_end": "24:00"}, "calico_window_end: '24:00' is no time"),
        ({"window_end": 1350}, "calico_window_end: 1350 is no text; put the time in quotes"),
        ({"window_end": "2026-01-31T22:30:15+02:00"}, "is over; it is 2026-01-31T22:30:15+02:00."),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(given: dict[str, Any], problem: str) -> None:
    found = plan(HOSTS, given, NOW)
    (said,) = found["problems"]
    assert problem in said
    assert said.endswith(".") and "\n" not in said
    assert (found["canary"], found["serial"], found["window_end"]) == ([], [1], 0)


def test_all_problems_are_named_at_once() -> None:
    assert len(plan(HOSTS, {"canary": 9, "serial": 0, "window_end": "x"}, NOW)["problems"]) == 3


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("23:00", NOW.replace(hour=23, minute=0, second=0)),
        ("04:00", NOW.replace(month=2, day=1, hour=4, minute=0, second=0)),
        ("22:30", NOW.replace(month=2, day=1, second=0)),
        ("2026-02-01T04:00", NOW.replace(month=2, day=1, hour=4, minute=0, second=0)),
        ("2026-01-31T21:00:00Z", datetime(2026, 1, 31, 21, tzinfo=UTC)),
    ],
)
def test_the_window_ends_at_the_next_such_time(text: str, end: datetime) -> None:
    assert plan(HOSTS, {"window_end": text}, NOW)["window_end"] == int(end.timestamp())


def test_a_window_that_ends_this_very_second_ends_tomorrow() -> None:
    now = NOW.replace(second=0)
    end = plan(HOSTS, {"window_end": "22:30"}, now)["window_end"]
    assert end == int((now + timedelta(days=1)).timestamp())


def test_the_filter_takes_only_what_the_limit_leaves() -> None:
    found = rolling_plan(HOSTS, ["node3", "node2"], canary=1)
    assert found["canary"] == ["node2"]
    assert "node1 is not among" in rolling_plan(HOSTS, ["node3"], canary="node1")["problems"][0]
    with pytest.raises(AnsibleFilterError, match="is no list of hosts"):
        rolling_plan("node1", [])
    with pytest.raises(AnsibleFilterError, match="colour is none of"):
        rolling_plan(HOSTS, HOSTS, colour="red")


def left_over(outcome: Any = "finished", **other: Any) -> str:
    run = run_id("resize", {"size": 5})
    steps = [{"name": "first"}, {"name": "second"}]
    state = {"format": "bpfops.calico.run", "version": 1, "run": run, "outcome": outcome}
    return json.dumps({**state, "ended": "2026-01-31T12:00:00Z", "steps": steps, **other})


@pytest.mark.parametrize("outcome", ["running", "failed", "finished"])
def test_an_earlier_run_of_the_same_is_known(outcome: str) -> None:
    found = earlier(left_over(outcome), run_id("resize", {"size": 5}))
    assert (found["earlier"], found["step"]) == (outcome, "second")
    assert found["ended"] == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "operation", "size"),
    [
        ("", "resize", 5),
        ("[]", "resize", 5),
        (left_over()[:-9], "resize", 5),
        (left_over("gone"), "resize", 5),
        (left_over(["finished"]), "resize", 5),
        (left_over(version=2), "resize", 5),
        (left_over(format="other"), "resize", 5),
        (left_over(), "resize", 6),
        (left_over(), "other", 5),
    ],
)
def test_anything_else_counts_as_none(text: str, operation: str, size: int) -> None:
    assert run_state(text, operation, {"size": size})["earlier"] == "none"


def test_a_run_does_not_depend_on_the_order_of_its_parameters() -> None:
    assert run_id("a", {"x": 1, "y": 2}) == run_id("a", {"y": 2, "x": 1})
    assert run_id("a", {"x": 1}) != run_id("a", {"x": "1"})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("size=5", "size=5"),
        ("size=5 db_password=x", "size=5 db_password=HIDDEN"),
        ("api_token='a b'", "api_token=HIDDEN"),
        ("ansible_ssh_private_key_file=/k", "ansible_ssh_private_key_file=/k"),
        ("ansible_become_pass=x", "ansible_become_pass=HIDDEN"),
        ('{"a": 1, "deep": [{"secret": {"x": 1}}]}', '{"a": 1, "deep": [{"secret": "HIDDEN"}]}'),
        ("{a: 1, passive: 2}", "{a: 1, passive: 2}"),
        ("{password: x", "HIDDEN"),
        ("password='x", "HIDDEN"),
        ("@vars.yml", "@vars.yml"),
    ],
)
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert variables(text) == shown


def test_the_command_can_be_typed_again() -> None:
    line = ["/v/bin/ansible-playbook", "bpfops.calico.repair_tc", "-i", "my hosts", "-esize=5"]
    line += ["-e", "token=x", "--extra-vars={'password': 'y'}", "--check", "-epass=x"]
    line += ["--extra-vars", "secret=z", "-e"]
    assert command(line) == (
        "ansible-playbook bpfops.calico.repair_tc -i 'my hosts' -esize=5 -e token=HIDDEN "
        """'--extra-vars={"password": "HIDDEN"}' --check """
        "-epass=HIDDEN --extra-vars secret=HIDDEN -e"
    )
    assert command([]) == ""

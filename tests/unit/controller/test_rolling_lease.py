# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over a fleet gives the lease of the cluster back when it ends, and no sooner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.controller.rolling import Fleet, Run


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path)
    made.pretend_cluster()
    return made


def run(fleet: Fleet, **given: Any) -> Run:
    return fleet.run(calico_control="kubernetes", **given)


@pytest.mark.parametrize(
    ("given", "worked_on"),
    [
        ({"broken": ["node1"]}, ["node1"]),
        ({"broken": ["node1", "node2"], "calico_serial": 3, "calico_max_fail_percentage": 50}, 3),
        ({"out_of_order": ["conclude"]}, 3),
    ],
)
def test_a_run_that_ends_with_a_failure_gives_it_back(
    fleet: Fleet, given: dict[str, Any], worked_on: list[str] | int
) -> None:
    done = run(fleet, **given)
    assert done.status != 0
    assert done.done == worked_on or len(done.done) == worked_on
    assert done.did.count("lease_take") == 1
    assert done.did[-1] == "lease_drop"


def test_a_run_that_goes_on_after_a_failure_keeps_it(fleet: Fleet) -> None:
    done = run(fleet, broken=["node1"], calico_serial=2, calico_max_fail_percentage=100)
    assert done.status != 0
    assert sorted(done.done) == ["node1", "node2", "node3"]
    assert done.did.count("lease_drop") == 1
    assert done.did[-1] == "lease_drop"


def test_a_run_that_is_refused_before_has_none_to_give_back(fleet: Fleet) -> None:
    done = run(fleet, refuse=["node2"], out_of_order=["lease_drop"])
    assert "node2 is refused." in done.said
    assert not any("lease" in line for line in done.did)
    late = run(fleet, out_of_order=["lease_take", "lease_drop"])
    assert "lease_take is out of order." in late.said
    assert late.report["nodes"][0]["steps"][-1]["says"] == "lease_take is out of order."
    assert (late.done, late.did[-1]) == ([], "lease_drop")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Before any repair: the defects show in filters, health and trace, not in traffic."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import workloads as seen


def test_filters_and_felix(host: Host) -> None:
    seen.filters_are_as_planted(host)
    planted, found = seen.planted(host), seen.look(host)
    stuck = planted.get("stuck", False)
    assert (bool(found.agent["dirty"]), found.old_jumps) == (stuck, stuck)
    assert found.agent.get("unequal", []) == found.agent["dirty"]
    # 3.27's health says nothing of its interfaces.
    blind = planted["release"].startswith("3.27")
    assert bool(found.agent["not_ready"]) is (stuck and not blind)


def test_what_the_programs_call(host: Host) -> None:
    planted, found = seen.planted(host), seen.look(host)
    logs = bool(planted.get("complains") or planted.get("debug"))
    # A stuck felix loads programs all the time.
    seen.until(found.called, "program")
    assert (seen.NONE in found.called()) is not logs
    assert (-1 in found.indices()) is not logs


def test_the_trace(host: Host) -> None:
    complains = seen.planted(host).get("complains")
    assert seen.complaints(host) == (set(seen.look(host).filters()) if complains else set())


def test_marks_are_remembered(host: Host) -> None:
    seen.remember(host)


def test_traffic() -> None:
    seen.traffic_is_clean()

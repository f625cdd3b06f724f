# SPDX-License-Identifier: GPL-3.0-or-later
"""All of it stays so when felix starts again."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import workloads as seen


def test_restart(host: Host) -> None:
    host.check_output("lab-agent restart")
    found = seen.Look(host)
    assert (found.unequal(), found.duplicates(), found.agent["dirty"]) == (0, 0, [])
    assert found.indices() == {-1}
    assert found.called() == {seen.NONE}


def test_the_trace_and_the_traffic(host: Host) -> None:
    if seen.name(host) == "node1":
        assert seen.listened(host) & set(seen.look(host).filters()) == set()
        seen.traffic_is_clean()

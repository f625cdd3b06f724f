# SPDX-License-Identifier: GPL-3.0-or-later
"""The flows are stuck, others are not, and a dry run has changed nothing of that."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import udp


def test_the_flows_are_stuck(host: Host) -> None:
    assert udp.types(host, 4) == [0, 0]
    assert udp.types(host, 6) == [0]
    assert udp.silent_after(host, udp.STUCK, 1.5) == udp.STUCK
    assert udp.silent_after(host, set(udp.flows(host)) - udp.STUCK, 10) == set()

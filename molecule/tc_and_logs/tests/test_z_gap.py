# SPDX-License-Identifier: GPL-3.0-or-later
"""Last: the check of the policy would have seen a hook without a filter."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import workloads as seen


def test_a_gap_is_seen(host: Host) -> None:
    if seen.name(host) != "node5":
        return
    interface = min(seen.look(host).filters())
    assert seen.traffic()["through"] == {}
    host.check_output("tc filter del dev %s ingress", interface)
    seen.until(lambda: len(seen.traffic()["through"]) == 1, "denied datagram from the pod")
    host.check_output("tc filter del dev %s egress", interface)
    seen.until(lambda: len(seen.traffic()["through"]) == 2, "denied datagram to the pod")

# SPDX-License-Identifier: GPL-3.0-or-later
"""The traffic tells the truth about what the network did to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.harness import call, in_node, lab, until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "2", "--pods", "2")
    yield
    lab("down")


@pytest.fixture(autouse=True)
def _traffic() -> Iterator[None]:
    lab("traffic", "start", "--tcp", "4", "--udp", "4", "--interval", "0.02")
    yield
    call("traffic", "stop")


def _status() -> dict[str, Any]:
    report: dict[str, Any] = json.loads(lab("traffic", "status"))
    return report


def _forward(node: str, on: int) -> None:
    in_node(node, "sh", "-c", f"echo {on} >/proc/sys/net/ipv4/ip_forward")


def test_undisturbed_traffic_is_whole() -> None:
    until(lambda: min(_status()["echoes"].values()) > 20, "20 echoes of every flow")
    report = json.loads(lab("traffic", "stop"))
    for figures in (report["nodes"]["node1"], report["nodes"]["node2"]):
        assert (figures["tcp"]["flows"], figures["udp"]["flows"]) == (2, 2)
        assert (figures["tcp"]["opened"], figures["tcp"]["alive"]) == (2, 2)
    udp = report["total"]["udp"]
    assert udp["sent"] == udp["received"] > 80
    assert (udp["lost"], udp["waiting"], report["dead"]) == (0, 0, [])
    assert call("traffic", "status").returncode == 1


def test_flows_are_in_their_pods() -> None:
    for line in in_node("node1", "pgrep", "-f", "worker.py").split():
        cgroup = in_node("node1", "grep", "0::", f"/proc/{line}/cgroup").strip()
        namespace = in_node("node1", "ip", "netns", "identify", line).strip()
        assert cgroup == f"0::/kubepods.slice/{namespace}"


def test_outage_shows_as_stall_and_loss() -> None:
    _forward("node1", 0)
    try:
        until(lambda: _status()["total"]["udp"]["lost"] > 0, "datagrams to count as lost")
        until(lambda: _status()["total"]["tcp"]["stalled"] == 4, "connections to count as stalled")
        report = _status()["total"]["tcp"]
    finally:
        _forward("node1", 1)
    assert (report["alive"], report["died"]) == (0, 0)
    assert report["longest_stall_ms"] >= 3000
    until(lambda: _status()["total"]["tcp"]["alive"] == 4, "the connections to go on")
    assert _status()["total"]["tcp"]["segments_retransmitted"] >= 4


def test_killed_process_shows_as_death() -> None:
    in_node("node2", "pkill", "-9", "-f", "worker.py")
    # Four connections, and the two streams that started on node2.
    until(lambda: len(_status()["dead"]) == 6, "the flows of node2 to end")
    reasons = {entry["reason"] for entry in _status()["dead"]}
    assert "its process is gone" in reasons
    report = json.loads(lab("traffic", "stop"))
    assert report["nodes"]["node2"]["tcp"]["died"] == 2


def test_second_start_is_refused() -> None:
    done = call("traffic", "start")
    assert done.returncode == 1
    assert done.stderr == "lab: Traffic runs already; use `traffic stop` first.\n"

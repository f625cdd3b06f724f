# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and restarting the stand-in agent, as felix would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab import harness
from tests.lab.harness import PIN, agent, call, filters, in_node, lab

pytestmark = pytest.mark.lab

CONFIG = "/etc/calico/felix.cfg"


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "2", "--pods", "3")
    yield
    lab("down")


@pytest.fixture
def traffic() -> Iterator[None]:
    lab("traffic", "start", "--tcp", "12", "--udp", "6", "--interval", "0.02")
    yield
    lab("traffic", "stop")


def _set_size(node: str, text: str) -> None:
    in_node(node, "sh", "-c", f"printf '[global]\\nBPFMapSizeConntrack = {text}\\n' >$0", CONFIG)


def test_pin_of_other_size_fails_the_load_and_leaves_the_filters(traffic: None) -> None:
    before = filters("node1")
    assert len(before) == 6
    _set_size("node1", "1000")
    try:
        done = call("exec", "node1", "--", "lab-agent", "restart")
        assert done.returncode == 1
        assert f"couldn't reuse pinned map at '{PIN}': parameter mismatch" in done.stderr
        assert not agent("node1")["running"]
        assert filters("node1") == before
        assert not json.loads(lab("traffic", "status"))["dead"]
    finally:
        _set_size("node1", "512000")
        in_node("node1", "lab-agent", "restart")
    assert agent("node1")["running"]


@pytest.mark.parametrize("text", ["many", "0", "-5", "4294967296"])
def test_unusable_size_is_refused(text: str) -> None:
    _set_size("node2", text)
    try:
        done = call("exec", "node2", "--", "lab-agent", "restart")
    finally:
        _set_size("node2", "512000")
        in_node("node2", "lab-agent", "restart")
    assert done.returncode == 1
    assert done.stderr == (
        f"lab-agent: BPFMapSizeConntrack in {CONFIG} is '{text}'; use 1 to 4294967295.\n"
    )


def test_restarts_under_traffic_lose_nothing(traffic: None) -> None:
    before = filters("node1")
    monitor = subprocess.Popen(
        [*harness.COMMAND, "exec", "node1", "--", "timeout", "--foreground", "20", "tc", "monitor"],
        cwd=harness.REPOSITORY,
        env=harness.ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    for _ in range(5):
        in_node("node1", "lab-agent", "restart")
    after = filters("node1")
    in_node("node1", "pkill", "-x", "tc")
    events = monitor.communicate()[0].splitlines()
    # One filter at the same place, always another program, never a moment without.
    assert events
    assert all(line.startswith("replaced filter") for line in events)
    assert {place: [(p, h) for p, h, _ in one] for place, one in after.items()} == {
        place: [(49152, "0x1")] for place in before
    }
    assert all(after[place] != before[place] for place in before)
    total = json.loads(lab("traffic", "status"))["total"]
    assert total["tcp"]["alive"] == 12
    assert total["udp"]["lost"] == 0


def test_restart_finds_new_pods() -> None:
    new = "cali0123456789a"
    in_node("node1", "ip", "link", "add", new, "type", "veth", "peer", "name", "new0")
    in_node("node1", "ip", "link", "set", new, "up")
    try:
        assert new not in agent("node1")["interfaces"]
        in_node("node1", "lab-agent", "restart")
        assert new in agent("node1")["interfaces"]
        assert [len(filters("node1")[new, hook]) for hook in ("ingress", "egress")] == [1, 1]
    finally:
        in_node("node1", "ip", "link", "del", new)


def test_stop_and_start() -> None:
    before = filters("node2")
    in_node("node2", "lab-agent", "stop")
    assert agent("node2")["running"] is False
    assert filters("node2") == before
    in_node("node2", "lab-agent", "start")
    pid = agent("node2")["pid"]
    in_node("node2", "lab-agent", "start")
    assert agent("node2")["pid"] == pid
    shown = json.loads(in_node("node2", "bpftool", "-j", "map", "show", "pinned", PIN))
    assert agent("node2")["conntrack_map_id"] == shown["id"]
    assert (shown["type"], shown["bytes_key"], shown["bytes_value"]) == ("hash", 16, 88)
    assert (shown["max_entries"], shown["flags"]) == (512000, 1)

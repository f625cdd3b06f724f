# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 between pods, its conntrack entries, and what each release does with both families."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.lab_release import GLOBALS
from tests.lab import pods
from tests.lab.agent.releases import RELEASES
from tests.lab.harness import agent, in_pod, lab, until

pytestmark = pytest.mark.lab

NODES = {
    "3.27.5": "node1",
    "3.28.5": "node2",
    "3.29.7": "node3",
    "3.30.7": "node4",
    "3.31.7": "node5",
    "3.32.1": "node6",
}
CT3, CT4 = "cali_v6_ct3", "cali_v6_ct4"
TCP, OPENER, SYN_ACK_SEEN = 6, 0x20, 0x03
# The server's side in the client's process: both pods are on one node.
TALK = """
import socket, subprocess, sys
name, server, client = sys.argv[1:]
other = subprocess.Popen(
    ["ip", "netns", "exec", name, "/usr/bin/python3", "-c", f'''
import socket
listening = socket.create_server(("{server}", 5000), family=socket.AF_INET6)
print("ready", flush=True)
connection, _ = listening.accept()
connection.sendall(connection.recv(9))
connection.recv(1)
'''], stdout=subprocess.PIPE)
other.stdout.readline()
with socket.create_connection((server, 5000), source_address=(client, 40000)) as talking:
    talking.sendall(b"x")
    assert talking.recv(1) == b"x"
    print("talked", flush=True)
"""


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "6", "--pods", "2", "--release", ",".join(NODES), "--ipv6")
    yield
    lab("down")


def _map(release: str) -> str:
    return GLOBALS + (CT4 if release in ("3.31.7", "3.32.1") else CT3)


def _entries(release: str) -> dict[bytes, bytes]:
    return seen.dump(NODES[release], "pinned", _map(release))


def _total() -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = json.loads(lab("traffic", "status"))["total"]
    return total


def _talk(release: str, client: str, server: str) -> None:
    """One connection from pod 1 to pod 2 of a node, between addresses made for it."""
    node = NODES[release]
    for pod, address in ((1, client), (2, server)):
        name = pods.interface(int(node[4:]), pod)
        in_pod(node, pod, "ip", "addr", "add", f"{address}/128", "dev", "eth0", "nodad")
        seen.in_node(node, "ip", "route", "add", address, "dev", name)
    # Namespaces have names in the node only.
    shown = seen.in_node(node, "nsenter", "--net=/run/netns/pod1", *_python(client, server))
    assert shown == "talked\n"


def _python(client: str, server: str) -> list[str]:
    return ["/usr/bin/python3", "-c", TALK, "pod2", server, client]


@pytest.mark.parametrize("release", ["3.29.7", "3.32.1"])
@pytest.mark.parametrize(
    ("client", "server", "client_is_a"),
    [
        pytest.param("fd00:10:65:a::7", "fd00:10:65:b::7", True, id="second-word"),
        pytest.param("fd00:10:65:a::9:1", "fd00:10:65:a::8:1", False, id="opener-is-b"),
        # As the CPU loads them, the last octets of a word count most.
        pytest.param("fd00:10:65:a::1:200", "fd00:10:65:a::2:100", False, id="not-as-people-read"),
    ],
)
def test_bytes_of_a_tcp_entry(release: str, client: str, server: str, client_is_a: bool) -> None:
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    _talk(release, client, server)
    sides = [(IPv6Address(client).packed, 40000), (IPv6Address(server).packed, 5000)]
    (a, port_a), (b, port_b) = sides if client_is_a else sides[::-1]
    value = _entries(release)[struct.pack("<I16s16sHH", TCP, a, b, port_a, port_b)]
    first, last_seen = struct.unpack_from("<QQ", value)
    assert started < last_seen < time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert (started < first < last_seen) if release == "3.29.7" else first == 0
    assert value[16:24] == bytes([0, 0, 0, 0, 0, 0, 0, 0 if client_is_a else 1])
    legs = [value[24:48], value[48:72]]
    opener, other = legs if client_is_a else legs[::-1]
    for leg, opens in ((opener, OPENER), (other, 0)):
        size, packets, _, bits, _ = struct.unpack("<QIIII", leg)
        assert bits & (OPENER | SYN_ACK_SEEN) == opens | SYN_ACK_SEEN
        assert (size, packets) == (0, 0) if release == "3.29.7" else size > packets * 40 > 80
    fields = struct.unpack_from("<16s16sHH16s4s", value, 72)
    assert fields == (bytes(16), sides[1][0], 5000, 40000, sides[0][0], bytes(4))


@pytest.fixture
def traffic() -> Iterator[None]:
    lab("traffic", "start", "--tcp", "24", "--udp", "12", "--interval", "0.05", "--family", "6")
    yield
    lab("traffic", "stop")


def test_connections_of_both_families_outlive_restarts() -> None:
    lab("traffic", "start", "--tcp", "24", "--udp", "12", "--interval", "0.05", "--family", "both")
    try:
        for node in NODES.values():
            before = agent(node)
            done = seen.restart(node)
            assert (done.returncode, done.stderr) == (0, "")
            state = agent(node)
            assert (state["conntrack_map_id"], state["dirty"]) == (before["conntrack_map_id"], [])
            assert state["dropped_no_entry"] == 0
        total = _total()
    finally:
        lab("traffic", "stop")
    assert (total["tcp"]["alive"], total["tcp"]["died"]) == (24, 0)
    assert total["udp"]["talking"] == 12


@pytest.mark.parametrize("release", NODES)
def test_flows_are_in_the_map_of_the_release(release: str, traffic: None) -> None:
    for entries in (_entries(release), _pods_entries(release)):
        protocols = [key[0] for key in entries]
        # Each node is the source of 4 connections and 2 streams and the target of as many.
        assert protocols.count(6) >= 8
        assert protocols.count(17) >= 4


def _pods_entries(release: str) -> dict[bytes, bytes]:
    """Those that the lab's own dump sees between pods of its pool."""
    entries = _entries(release)
    pool = bytes.fromhex("fd0000100065")
    return {key: value for key, value in entries.items() if key[4:10] == key[20:26] == pool}


def test_segment_without_an_entry_is_dropped(traffic: None) -> None:
    node, pin = NODES["3.31.7"], _map("3.31.7")
    before = agent(node)["dropped_no_entry"]
    keys = [key for key in _entries("3.31.7") if key[0] == TCP]
    for key in keys:
        seen.in_node(node, "bpftool", "map", "delete", "pinned", pin, "key", *map(str, key))
    until(lambda: agent(node)["dropped_no_entry"] > before, "segments to be dropped")
    until(lambda: _total()["tcp"]["stalled"] >= 8, "connections to stall")
    assert not set(keys) & set(_entries("3.31.7"))
    assert _total()["udp"]["talking"] == 12


def test_ping_is_tracked_and_neighbour_discovery_is_not() -> None:
    in_pod("node3", 1, "ping", "-6", "-c1", "-W5", "fd00:10:65:4::2")
    kinds: set[Any] = {(key[0], key[4:6].hex()) for key in _entries("3.29.7") if key[0] == 58}
    assert kinds == {(58, "fd00")}


@pytest.mark.parametrize("release", RELEASES)
def test_every_point_release_tracks_in_its_own_map(release: str) -> None:
    families = RELEASES[release].with_ipv6 or ("v4",)
    version = "ct4" if release >= "3.31" else "ct3"
    seen.fresh("node1", release, ipv6="yes" if RELEASES[release].with_ipv6 else "no")
    for family, target in (("v4", "10.65.2.2"), ("v6", "fd00:10:65:2::2")):
        in_pod("node1", 1, "ping", "-c1", "-W5", target)
        pin = f"{GLOBALS}cali_{family}_{version}"
        shown = seen.pins("node1")
        assert (pin in shown) is (family in families)
        if family in families:
            assert shown[pin]["type"] == ("lru_hash" if version == "ct4" else "hash")
            assert len(seen.dump("node1", "pinned", pin)) == 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods reach each other, and their flows make conntrack entries of Calico's shape."""

from __future__ import annotations

import json
import struct
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from tests.lab import harness
from tests.lab.harness import PIN, agent, call, entries, in_node, in_pod, lab, until

pytestmark = pytest.mark.lab

TCP, UDP, ICMP = 6, 17, 1
OPENER, APPROVED, SYN_ACK_SEEN, FIN_SEEN = 0x20, 0x10, 0x03, 0x04
SERVER = """
import socket
server = socket.create_server(("{address}", {port}))
print("ready", flush=True)
connection, _ = server.accept()
connection.sendall(connection.recv(100))
connection.recv(1)
"""
CLIENT = """
import socket
with socket.create_connection(("{to}", {port}), source_address=("{address}", {sport})) as c:
    c.sendall(b"x")
    assert c.recv(1) == b"x"
    print("talked", flush=True)
    input()
"""


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "2", "--pods", "3")
    yield
    lab("down")


def _address(node: int, pod: int) -> str:
    return f"10.65.{node}.{pod + 1}"


def _key(protocol: int, a: tuple[str, int], b: tuple[str, int]) -> bytes:
    packed = [IPv4Address(address).packed for address, _ in (a, b)]
    return struct.pack("<I4s4sHH", protocol, *packed, a[1], b[1])


def _total() -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = json.loads(lab("traffic", "status"))["total"]
    return total


def _python_in_pod(node: int, pod: int, program: str) -> subprocess.Popen[str]:
    argv = ["exec", f"node{node}", "--", "ip", "netns", "exec", f"pod{pod}", "/usr/bin/python3"]
    return subprocess.Popen(
        [*harness.COMMAND, *argv, "-uc", program],
        cwd=harness.REPOSITORY,
        env=harness.ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_pods_of_two_nodes_reach_each_other() -> None:
    for source, target in ((1, 2), (2, 1)):
        pong = in_pod(f"node{source}", 1, "ping", "-c1", "-W5", _address(target, 2))
        assert "1 received" in pong


def test_pod_is_connected_as_calico_does() -> None:
    assert in_pod("node1", 1, "ip", "-o", "-4", "addr", "show", "eth0").split()[3] == "10.65.1.2/32"
    assert "default via 169.254.1.1" in in_pod("node1", 1, "ip", "route")
    names = [link["ifname"] for link in json.loads(in_node("node1", "ip", "-j", "link"))]
    workloads = [name for name in names if name.startswith("cali")]
    assert len(workloads) == 3
    assert all(len(name) == 15 for name in workloads)


# Side A has the smaller address word as the CPU loads it: the last octet decides
# first, unlike in the order that people read.
@pytest.mark.parametrize(
    ("source", "target", "source_is_a"),
    [
        pytest.param((1, 1), (2, 1), True, id="equal-last-octet"),
        pytest.param((2, 1), (1, 1), False, id="opener-is-b"),
        pytest.param((1, 2), (2, 1), False, id="smaller-to-people-but-b"),
    ],
)
def test_bytes_of_a_tcp_entry(
    source: tuple[int, int], target: tuple[int, int], source_is_a: bool
) -> None:
    sport, port = 40000 + source[0] * 10 + source[1], 5000 + target[0]
    client, server = (_address(*source), sport), (_address(*target), port)
    started = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    listening = _python_in_pod(*target, SERVER.format(address=server[0], port=port))
    assert _first_line(listening) == "ready"
    talking = _python_in_pod(
        *source, CLIENT.format(to=server[0], port=port, address=client[0], sport=sport)
    )
    assert _first_line(talking) == "talked"
    key = _key(TCP, client, server) if source_is_a else _key(TCP, server, client)
    for node in (source[0], target[0]):
        value = entries(f"node{node}")[key]
        _check_tcp_value(value, client, server, source_is_a, started)
        _check_approval(value, source_is_a, node == source[0])
    talking.communicate("\n")
    listening.communicate()
    until(lambda: _closed(entries("node1")[key]), "both legs to have seen FIN")


def _closed(value: bytes) -> int:
    return value[40] & value[64] & FIN_SEEN


def _check_tcp_value(
    value: bytes, client: tuple[str, int], server: tuple[str, int], source_is_a: bool, started: int
) -> None:
    created, last_seen = struct.unpack_from("<QQ", value, 0)
    assert started < created < last_seen < time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    # type, flags, padding; 0x01 in byte 23 is flag 0x100: the originator is side B
    assert value[16:24] == bytes([0, 0, 0, 0, 0, 0, 0, 0 if source_is_a else 1])
    legs = [value[24:48], value[48:72]]
    opener, other = legs if source_is_a else legs[::-1]
    for leg, opens in ((opener, OPENER), (other, 0)):
        bits = struct.unpack_from("<I", leg, 16)[0]
        assert bits & (OPENER | SYN_ACK_SEEN | FIN_SEEN) == opens | SYN_ACK_SEEN
    assert opener[12:16] != bytes(4) != other[12:16]
    for leg in legs:
        assert leg[0:12] == bytes(12)  # bytes and packets: not counted before 3.30
    tunnel, original, port, sport, source = struct.unpack_from("<4s4sHH4s", value, 72)
    assert tunnel == bytes(4)
    assert (str(IPv4Address(original)), port) == server
    assert (str(IPv4Address(source)), sport) == client


def _check_approval(value: bytes, source_is_a: bool, at_source: bool) -> None:
    """The pod's node approves the leg that the pod sends, and knows its interface."""
    mine = value[24:48] if source_is_a == at_source else value[48:72]
    theirs = value[48:72] if source_is_a == at_source else value[24:48]
    assert mine[16] & APPROVED
    assert not theirs[16] & APPROVED
    assert mine[20:24] != bytes(4) == theirs[20:24]


def test_udp_and_icmp_entries() -> None:
    in_pod("node1", 1, "ping", "-c1", "-W5", _address(2, 1))
    a, b = _address(1, 1), _address(2, 1)
    program = f"""
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("{a}", 41000))
s.sendto(b"x", ("{b}", 42000))
"""
    in_pod("node1", 1, "/usr/bin/python3", "-c", program)
    for node in ("node1", "node2"):
        found = entries(node)
        assert found[_key(ICMP, (a, 0), (b, 0))][40] & OPENER
        assert found[_key(UDP, (a, 41000), (b, 42000))][40] & OPENER


def test_connection_without_its_entry_stalls() -> None:
    lab("traffic", "start", "--tcp", "1", "--udp", "0", "--interval", "0.01")
    try:
        dropped = agent("node1")["dropped_no_entry"]
        key = next(key for key in entries("node1") if 7000 in struct.unpack("<I8xHH", key)[1:])
        hexadecimal = [f"{byte:#04x}" for byte in key]
        in_node("node1", "bpftool", "map", "delete", "pinned", PIN, "key", *hexadecimal)
        until(lambda: agent("node1")["dropped_no_entry"] > dropped, "a segment to be dropped")
        until(lambda: _total()["tcp"]["stalled"] == 1, "the connection to count as stalled")
        assert key not in entries("node1")
    finally:
        report = json.loads(lab("traffic", "stop"))
    assert report["total"]["tcp"]["alive"] == 0
    assert report["total"]["tcp"]["segments_retransmitted"] > 0


def test_full_table_drops_new_flows() -> None:
    dropped = agent("node1")["dropped_table_full"]
    assert call("fill", "node1", "600000").returncode == 1
    try:
        done = call(
            "exec", "node1", "--", "ip", "netns", "exec", "pod3", "ping", "-c1", "-W1", "10.65.2.4"
        )
        assert "0 received" in done.stdout
        assert agent("node1")["dropped_table_full"] > dropped
    finally:
        _start_with_empty_map("node1")


def _start_with_empty_map(node: str) -> None:
    in_node(node, "lab-agent", "stop")
    in_node(node, "rm", PIN)
    in_node(node, "lab-agent", "start")
    assert not entries(node)

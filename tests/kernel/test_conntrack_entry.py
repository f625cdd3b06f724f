# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_entry deletes what is selected, and not one entry besides."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.entry_node import EntryNode, Flow, key_of
from tests.kernel.flows import ESTABLISHED, NAT_FWD, TCP, UDP

SERVICE, BACKEND, CLIENT = ("10.96.0.1", 443), ("10.65.0.5", 8443), ("10.65.0.4", 3000)


@pytest.fixture(params=["cali_v4_ct2", "cali_v4_ct3", "cali_v4_ct4"])
def node(request: pytest.FixtureRequest, pins: Path) -> EntryNode:
    return EntryNode(pins, request.param)


def labelled(node: EntryNode) -> dict[str, bytes]:
    """One entry of each kind, by a name."""
    established, closed = ESTABLISHED, (0b111, 0b111)
    forward, reverse = node.connect(CLIENT, SERVICE, BACKEND, bits=established, idle=30, ifindex=7)
    return {
        "web": node.put(
            Flow(TCP, ("10.65.0.1", 1000), ("10.65.0.2", 80), idle=5, bits=established, ifindex=4)
        ),
        "back": node.put(Flow(TCP, ("10.65.0.2", 80), ("10.65.0.1", 1001), idle=50, bits=closed)),
        "half": node.put(Flow(TCP, ("10.65.0.3", 999), ("10.65.1.2", 8099), idle=21, bits=(1, 0))),
        "dns": node.put(Flow(UDP, ("10.65.0.1", 4000), ("10.65.9.9", 53), idle=100)),
        "ntp": node.put(Flow(UDP, ("10.65.0.1", 4001), ("10.65.9.9", 123), idle=2, flags=0x2001)),
        "ping": node.put(Flow(1, ("10.65.0.1", 0), ("10.65.0.2", 0), idle=8)),
        "forward": forward,
        "reverse": reverse,
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"protocol": "udp"}, "dns ntp"),
        ({"protocol": "1"}, "ping"),
        ({"address": "10.65.0.2"}, "web back ping"),
        ({"address": "10.65.0.2", "port": "80"}, "web back"),
        ({"address": "10.65.0.1", "port": "80"}, ""),
        ({"address": "10.65.9.0/24", "port": "100-200"}, "ntp"),
        ({"address": "10.64.0.0/14", "protocol": "udp"}, "dns ntp"),
        ({"port": "8000-8100"}, "half"),
        ({"source": "10.65.0.1"}, "web dns ntp ping"),
        ({"source": "10.65.0.2"}, "back"),
        ({"source": "10.65.0.1", "source_port": "4001"}, "ntp"),
        ({"destination": "10.65.0.1"}, "back"),
        ({"destination": "10.65.0.2/31", "destination_port": "80"}, "web"),
        (
            {"destination": "10.65.0.0/16", "destination_port": "1-1000", "protocol": "udp"},
            "dns ntp",
        ),
        ({"types": ["NAT_REV"]}, "forward reverse"),
        ({"types": ["NAT_FWD"]}, "forward reverse"),
        ({"tcp_states": ["SYN_SENT", "TIME_WAIT"]}, "back half"),
        ({"tcp_states": ["ESTABLISHED"]}, "web forward reverse"),
        ({"flags": ["nat-out"]}, "ntp"),
        ({"flags": ["nat-out", "no-dsr"]}, "ntp"),
        ({"flags": ["nat-out", "np-fwd"]}, ""),
        ({"idle_longer_than": 40}, "back dns"),
        ({"idle_longer_than": 29, "protocol": "tcp"}, "back forward reverse"),
        ({"expired": True}, "back half dns ping"),
        ({"expired": True, "timeouts": {"tcp_fins_seen": 60}}, "half dns ping"),
        ({"ifindex": 4}, "web"),
        ({"ifindex": 7}, "forward reverse"),
        ({"services": ["10.96.0.1:443"]}, "forward reverse"),
        ({"services": ["10.96.0.1:80"]}, ""),
        ({"services": ["10.96.0.1", "10.65.9.9:53"]}, "forward reverse dns"),
        ({"address": "2001:db8::1"}, ""),
        ({"destination": "10.96.0.1"}, "forward reverse"),
        ({"destination": "10.65.0.5"}, "forward reverse"),
        ({"destination": "10.96.0.1", "tcp_states": ["RST"]}, ""),
        ({"destination": "10.96.0.1", "idle_longer_than": 25}, "forward reverse"),
        ({"destination": "10.96.0.1", "ifindex": 7}, "forward reverse"),
        (
            {
                "protocol": "tcp",
                "source": "10.65.0.0/16",
                "tcp_states": ["ESTABLISHED"],
                "ifindex": 4,
            },
            "web",
        ),
    ],
)
def test_selectors(pins: Path, params: dict[str, Any], expected: str) -> None:
    node = EntryNode(pins)
    names = {key: name for name, key in labelled(node).items()}
    assert {names[key] for key in node.gone(**params)} == set(expected.split())


def test_every_version_of_the_table(node: EntryNode) -> None:
    keys = labelled(node)
    assert node.gone(services=["10.96.0.1:443"]) == {keys["forward"], keys["reverse"]}
    assert node.gone(protocol="tcp", tcp_states=["SYN_SENT"], idle_longer_than=20) == {keys["half"]}
    assert node.gone(ifindex=4) == {keys["web"]}


def test_result(pins: Path) -> None:
    node = EntryNode(pins)
    node.put(Flow(UDP, ("10.65.0.1", 4000), ("10.65.9.9", 53), idle=100))
    result = node.run(protocol="udp")
    path = str(pins / "cali_v4_ct3")
    line = "udp NORMAL 10.65.0.1:4000 to 10.65.9.9:53"
    assert result.actions == (f"Delete 1 entry from {path}: {line}",)
    assert (result.before, result.after) == ({path: [line]}, {path: []})
    (removed,) = result.facts["removed"]
    assert (removed["path"], removed["family"], removed["matched"]) == (path, "ipv4", True)
    assert (removed["source"], removed["destination"]) == ("10.65.0.1:4000", "10.65.9.9:53")
    assert removed["idle_seconds"] >= 100
    assert result.facts["spared"] == []
    assert result.facts["release"] == "3.29.7"
    assert result.findings == ()


@pytest.mark.parametrize("side", ["forward", "reverse"])
def test_a_rewritten_source_port_hides_no_partner(pins: Path, side: str) -> None:
    node = EntryNode(pins)
    forward, reverse = node.connect(CLIENT, SERVICE, BACKEND, port=0)
    node.connect(("10.65.0.4", 3001), SERVICE, BACKEND)
    if side == "forward":  # its key has port 0 in place of the client's
        assert node.gone(types=["NAT_FWD"], source_port="1-2999") == set()
        assert {forward, reverse} < node.gone(services=["10.96.0.1:443"])
    else:
        assert node.gone(types=["NAT_REV"], source_port="3000") == {forward, reverse}


def test_a_partner_that_no_field_tells_is_found_by_what_it_points_at(pins: Path) -> None:
    node = EntryNode(pins)
    source = ("10.65.0.99", 20001)  # after source NAT; the client's own address is not kept here
    reverse = node.put(Flow(TCP, source, BACKEND, 2, service=SERVICE, client=("0.0.0.0", 0)))
    forward, own = node.connect(CLIENT, SERVICE, BACKEND)
    raw = bytearray(node.dump()[forward])
    raw[24:40] = reverse
    node.put_raw(forward, bytes(raw))
    assert node.gone(source="10.65.0.99") == {forward, reverse}
    assert own in node.dump()


def test_a_forward_entry_without_its_other_half(pins: Path) -> None:
    node = EntryNode(pins)
    forward, reverse = node.connect(CLIENT, SERVICE, BACKEND, bits=ESTABLISHED)
    node.delete(reverse)
    assert node.gone(tcp_states=["ESTABLISHED"]) == set()
    assert node.gone(ifindex=7) == set()
    assert node.gone(expired=True) == {forward}


def test_a_pair_is_as_old_as_the_entry_that_tracks_it(pins: Path) -> None:
    """Packets from the backend refresh NAT_REV alone."""
    node = EntryNode(pins)
    forward, reverse = node.connect(CLIENT, SERVICE, BACKEND, idle=500)
    node.put(Flow(TCP, CLIENT, BACKEND, 2, idle=1, service=SERVICE))
    assert node.gone(idle_longer_than=100) == set()
    node.put(Flow(TCP, CLIENT, BACKEND, 2, idle=200, service=SERVICE))
    assert node.gone(idle_longer_than=100) == {forward, reverse}


def test_a_forward_entry_that_points_at_a_flow_without_nat_leaves_that_alone(pins: Path) -> None:
    node = EntryNode(pins)
    forward, _reverse = node.connect(CLIENT, SERVICE, BACKEND)
    node.put(Flow(TCP, CLIENT, BACKEND))
    assert node.gone(types=["NAT_FWD"]) == {forward}


def test_both_families(pins: Path) -> None:
    four, six = EntryNode(pins), EntryNode(pins, "cali_v6_ct3")
    one = four.put(Flow(UDP, ("10.65.0.1", 4000), ("10.65.9.9", 53)))
    other = six.put(Flow(UDP, ("fd00::1", 4000), ("fd00::9", 53)))
    assert six.gone(families=["ipv6"], protocol="udp") == {other}
    assert four.gone(port="53") == {one}


def test_ipv6_selectors(pins: Path) -> None:
    node = EntryNode(pins, "cali_v6_ct4")
    forward, reverse = node.connect(("fd00::4", 3000), ("fd00:96::1", 443), ("fd00::5", 8443))
    flow = node.put(Flow(UDP, ("fd00::1", 4000), ("fd00::9", 53), flags=0x10000, ifindex=9))
    assert node.gone(services=["[fd00:96::1]:443"]) == {forward, reverse}
    forward, reverse = node.connect(("fd00::4", 3000), ("fd00:96::1", 443), ("fd00::5", 8443))
    assert node.gone(destination="fd00::5") == {forward, reverse}
    assert node.gone(destination="fd00::8/125", flags=["maglev"], ifindex=9) == {flow}


def test_no_table_at_all(pins: Path) -> None:
    assert EntryNode(pins).run(protocol="udp", families=["ipv6"]).actions == ()


def test_the_key_of_the_tests_is_the_programs_own() -> None:
    """The smaller side by words as a little-endian CPU loads them: here 10.0.0.2, not 9.0.0.3."""
    raw = key_of(TCP, ("9.0.0.3", 1), ("10.0.0.2", 2))
    assert raw[4:8] == socket.inet_aton("10.0.0.2") and raw[12:14] == b"\x02\0"
    assert NAT_FWD == 1

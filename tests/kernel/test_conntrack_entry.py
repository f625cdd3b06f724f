# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_entry deletes what is selected, and not one entry besides."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
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


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "Nothing is selected, which would mean every entry"),
        ({"families": ["ipv4"]}, "Nothing is selected"),
        ({"stale_udp": False, "expired": False, "services": []}, "Nothing is selected"),
        ({"protocol": "tcpp"}, "protocol: 'tcpp' is neither a number"),
        ({"protocol": "icmp", "port": "5"}, "port: '5' goes with tcp and udp, and icmp has no"),
        ({"protocol": "132", "destination_port": "5"}, "destination_port: '5' goes with tcp and"),
        ({"protocol": "gre", "source_port": "5"}, "source_port: '5' goes with tcp and udp"),
        ({"port": "0"}, "port: '0' is no port from 1 to 65535"),
        ({"port": "65536"}, "port: '65536' is no port"),
        ({"source_port": "20-10"}, "source_port: '20-10' is no port"),
        ({"destination_port": "http"}, "destination_port: 'http' is no port"),
        ({"address": "10.0.0.300"}, "address: '10.0.0.300' is no IPv4 or IPv6 address or prefix"),
        ({"source": "10.0.0.1/24"}, "source: '10.0.0.1/24' has bits set beyond the length"),
        ({"destination": "10.0.0.0/33"}, "destination: '10.0.0.0/33' is no IPv4"),
        ({"source": "10.0.0.1", "destination": "fd00::1"}, "destination: 'fd00::1' is ipv6, and"),
        ({"families": ["ipv6"], "address": "10.0.0.0/8"}, "address: '10.0.0.0/8' is ipv4, which"),
        ({"services": ["10.96.0.300:53"]}, "services: '10.96.0.300:53' is no address"),
        ({"services": ["10.96.0.1:0"]}, "services: '0' is no port"),
        ({"services": ["fd00::1"], "source": "10.0.0.1"}, "has no Service of ipv4, which"),
        ({"flags": ["nat-in"]}, "flags: 'nat-in' is not one of nat-out, fwd-dsr"),
        ({"idle_longer_than": 0}, "idle_longer_than: 0 is not"),
        ({"ifindex": 0}, "ifindex: 0 is not"),
        ({"tcp_states": ["RST"], "protocol": "udp"}, "contradict each other: tcp_states goes"),
        ({"tcp_states": ["RST"], "stale_udp": True}, "contradict each other: tcp_states goes"),
        ({"stale_udp": True, "stale_nat": True}, "contradict each other: stale_udp selects"),
        ({"stale_udp": True, "protocol": "tcp"}, "contradict each other: stale_udp goes with"),
        ({"stale_udp": True, "types": ["NAT_FWD"]}, "contradict each other: stale_udp selects"),
        ({"stale_nat": True, "types": ["NORMAL"]}, "contradict each other: stale_nat selects"),
        ({"protocol": "udp", "max_deletions": 0}, "max_deletions: 0 is not"),
        ({"protocol": "udp", "calico_version": "three"}, "calico_version: 'three' is not"),
        ({"protocol": "udp", "pin_dir": "relative"}, "pin_dir: 'relative' is relative"),
        ({"protocol": "udp", "pin_dir": "/proc"}, "pin_dir: '/proc' is not on a bpffs"),
        ({"protocol": "udp", "lock_timeout": -1.0}, "lock_timeout: -1.0 is not"),
        ({"expired": True, "calico_version": None}, "expired: Calico 3.26 to 3.30 judge the life"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input(pins: Path, params: dict[str, Any], expected: str, check: bool) -> None:
    node = EntryNode(pins)
    labelled(node)
    before = node.dump()
    with pytest.raises(errors.BpfopsError) as caught:
        node.run(check=check, **params)
    message = caught.value.as_failure()["msg"]
    assert expected in message
    assert message.endswith(".") and "\n" not in message
    assert node.dump() == before


@pytest.mark.parametrize(("allowed", "refused"), [(1, True), (2, False)])
def test_too_many_deletions(pins: Path, allowed: int, refused: bool) -> None:
    """Other halves count."""
    node = EntryNode(pins)
    node.connect(CLIENT, SERVICE, BACKEND)
    before = node.dump()
    if not refused:
        assert len(node.gone(types=["NAT_FWD"], max_deletions=allowed)) == 2
        return
    with pytest.raises(errors.RefusedError, match=r"max_deletions: 2 entries match.*most 1 may go"):
        node.run(types=["NAT_FWD"], max_deletions=allowed)
    assert node.dump() == before


def test_a_selector_that_is_far_too_wide(pins: Path) -> None:
    node = EntryNode(pins)
    for port in range(1, 101):
        node.put(Flow(UDP, ("10.65.0.1", port), ("10.65.9.9", 53)))
    before = node.dump()
    for check in (True, False):
        with pytest.raises(errors.RefusedError, match="max_deletions: 100 entries match"):
            node.run(check=check, protocol="udp", max_deletions=10)
    assert node.dump() == before
    assert len(node.gone(protocol="udp", max_deletions=100)) == 100


def test_a_map_of_another_layout_or_version(pins: Path) -> None:
    node = EntryNode(pins)
    node.put(Flow(UDP, ("10.65.0.1", 4000), ("10.65.9.9", 53)))
    node.make_other("cali_v6_ct3", 40, 96)
    with pytest.raises(errors.RefusedError, match="40 and values of 96 bytes has no known layout"):
        node.run(protocol="udp")
    assert len(node.dump()) == 1


def test_no_table_at_all(pins: Path) -> None:
    assert EntryNode(pins).run(protocol="udp", families=["ipv6"]).actions == ()


def test_the_key_of_the_tests_is_the_programs_own() -> None:
    """The smaller side by words as a little-endian CPU loads them: here 10.0.0.2, not 9.0.0.3."""
    raw = key_of(TCP, ("9.0.0.3", 1), ("10.0.0.2", 2))
    assert raw[4:8] == socket.inet_aton("10.0.0.2") and raw[12:14] == b"\x02\0"
    assert NAT_FWD == 1

# SPDX-License-Identifier: GPL-3.0-or-later
"""Sides, directions, TCP states and names of flows."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    conntrack as ct,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    conntrack_flow as flow,
)
from ansible_collections.bpfops.calico.plugins.module_utils._errors import BadInputError


def end(address: str, port: int = 0) -> ct.Endpoint:
    return ct.Endpoint(ip_address(address), port)


# Side A, side B: words are read as a little-endian CPU reads them, so that not the greater
# number but the greater last byte of a word counts most.
ORDERED = [
    (end("10.0.0.1", 9), end("9.0.0.2", 1)),
    (end("255.255.255.1", 1), end("0.0.0.2", 1)),
    (end("192.0.2.1", 80), end("192.0.2.1", 443)),
    (end("192.0.2.1", 255), end("192.0.2.1", 256)),
    (end("fd00::2", 7), end("fe00::1", 5)),
    (end("2001:db8:0:1::1"), end("2001:db8:0:ff::")),
    (end("fd00::1:0:2"), end("fd00::2:0:1")),
    (end("fd00::200"), end("fd00::1")),
]


@pytest.mark.parametrize(("a", "b"), ORDERED)
def test_which_side_is_a(a: ct.Endpoint, b: ct.Endpoint) -> None:
    assert flow.make_key(17 if a.port else 1, a, b) == (ct.Key(17 if a.port else 1, a, b), False)
    assert flow.make_key(17 if a.port else 1, b, a) == (ct.Key(17 if a.port else 1, b=b, a=a), True)


def test_the_order_is_that_of_the_words_in_memory() -> None:
    chance = random.Random(1)
    for _ in range(500):
        four = [IPv4Address(chance.getrandbits(32)) for _ in range(2)]
        key = flow.make_key(1, ct.Endpoint(four[0]), ct.Endpoint(four[1])).key
        words = [int.from_bytes(side.address.packed, "little") for side in (key.a, key.b)]
        assert words == sorted(words)
        six = [IPv6Address(chance.getrandbits(128)).packed for _ in range(2)]
        same = chance.randrange(4) * 4
        ends = [ct.Endpoint(IPv6Address(six[0][:same] + one[same:])) for one in six]
        sides = flow.make_key(58, *ends).key[1:]
        swapped = [
            b"".join(side.address.packed[at : at + 4][::-1] for at in (0, 4, 8, 12))
            for side in sides
        ]
        assert swapped == sorted(swapped)


def test_a_flow_to_itself_has_one_key() -> None:
    me = end("127.0.0.1", 53)
    assert flow.make_key(17, me, me).key == ct.Key(17, me, me)


def test_direction_follows_the_flag() -> None:
    client, server = end("10.0.0.9", 40000), end("10.0.0.1", 53)
    key, from_b = flow.make_key(17, client, server)
    assert (key.a, from_b) == (server, True)
    assert flow.originator(key, 0x100) == client
    assert flow.destination(key, 0x100) == server
    assert flow.originator(key, 0xFFFFFEFF) == server
    assert flow.destination(key, 0) == client


@pytest.mark.parametrize(
    ("protocol", "source", "destination", "words"),
    [
        (6, end("192.0.2.1", 1), end("2001:db8::1", 1), "destination: '2001:db8::1' is not of"),
        (1, end("192.0.2.1", 8), end("192.0.2.2"), "source port: 8 .*icmp has no ports"),
        (132, end("192.0.2.1"), end("192.0.2.2", 9), "destination port: 9 .*sctp has no ports"),
        (6, end("192.0.2.1", 65536), end("192.0.2.2"), "source port: 65536 .*0 to 65535"),
        (17, end("192.0.2.1"), end("192.0.2.2", -1), "destination port: -1 .*0 to 65535"),
        (256, end("192.0.2.1"), end("192.0.2.2"), "protocol: 256 .*0 to 255"),
    ],
)
def test_impossible_flows_are_refused(
    protocol: int, source: ct.Endpoint, destination: ct.Endpoint, words: str
) -> None:
    with pytest.raises(BadInputError, match=words):
        flow.make_key(protocol, source, destination)


SYN, ACK, FIN, RST = 1, 2, 4, 8
OPEN = SYN | ACK
STATES = [
    (0, 0, 0, "NONE"),
    (0, ACK, ACK, "NONE"),
    (0, SYN, 0, "SYN_SENT"),
    (0, OPEN, 0, "SYN_SENT"),
    (0, SYN, SYN, "SYN_RECV"),
    (0, SYN, OPEN, "SYN_RECV"),
    (0, OPEN, OPEN, "ESTABLISHED"),
    (0, OPEN | 0x70, OPEN | 0x10, "ESTABLISHED"),
    (0, OPEN | FIN, OPEN, "FIN_WAIT"),
    (0, FIN, 0, "FIN_WAIT"),
    (0, OPEN | FIN, OPEN | FIN, "TIME_WAIT"),
    (0, OPEN | FIN | RST, OPEN | FIN, "RST"),
    (0, SYN, RST | ACK, "RST"),
    (2, SYN, 0, "ESTABLISHED"),
    (2, 0, 0, "ESTABLISHED"),
    (2, OPEN | FIN, 0, "TIME_WAIT"),
    (2, RST, 0, "RST"),
]


@pytest.mark.parametrize(("flags", "one", "other", "state"), STATES)
def test_tcp_states(flags: int, one: int, other: int, state: str) -> None:
    assert flow.tcp_state(flags, one, other) == state
    assert flow.tcp_state(flags | 0xFFFFFFFD, other, one) == state


def test_only_tracking_tcp_entries_have_a_state() -> None:
    key = flow.make_key(6, end("192.0.2.1", 1), end("192.0.2.2", 2)).key
    nothing = ip_address("0.0.0.0")
    legs = ct.Leg(bits=OPEN), ct.Leg(bits=OPEN)
    body = ct.Tracking(*legs, nothing, nothing, 0, 0, nothing)
    normal = ct.Value(0, 0, 0, 0, body)
    assert flow.state_of(key, normal) == "ESTABLISHED"
    assert flow.state_of(key._replace(protocol=17), normal) is None
    assert flow.state_of(key, ct.Value(0, 0, 1, 0, ct.NatForward(key))) is None


CLIENT, SERVICE = end("10.65.0.5", 40000), end("10.96.0.10", 80)
BACKEND = end("10.65.1.7", 8080)


@pytest.mark.parametrize("client", [end("10.65.0.5", 40000), end("10.65.9.9", 40000), BACKEND])
@pytest.mark.parametrize("nat_sport", [0, 20001])
def test_the_roles_in_a_forward_entry(client: ct.Endpoint, nat_sport: int) -> None:
    backend = BACKEND._replace(port=8081)
    key = flow.make_key(6, client, SERVICE).key
    after = client._replace(port=nat_sport or client.port)
    forward = ct.NatForward(flow.make_key(6, after, backend).key, nat_sport)
    assert flow.nat_sides(key, forward) == (client, SERVICE, backend)


def test_the_client_port_of_a_conflict_entry_is_zero() -> None:
    key = flow.make_key(6, CLIENT._replace(port=0), SERVICE).key
    forward = ct.NatForward(flow.make_key(6, CLIENT._replace(port=20001), BACKEND).key, 20001)
    assert flow.nat_sides(key, forward) == (CLIENT._replace(port=0), SERVICE, BACKEND)


def test_no_roles_without_a_shared_side() -> None:
    key = flow.make_key(6, CLIENT, SERVICE).key
    other = flow.make_key(6, end("192.0.2.1", 40000), BACKEND).key
    assert flow.nat_sides(key, ct.NatForward(other)) is None
    shared = flow.make_key(6, CLIENT, BACKEND).key
    assert flow.nat_sides(key, ct.NatForward(shared, 20001)) is None


def test_protocol_names() -> None:
    names = ["icmp", "tcp", "udp", "icmpv6", "sctp"]
    assert [flow.protocol_name(number) for number in (1, 6, 17, 58, 132)] == names
    assert flow.protocol_name(253) == "253"
    assert [flow.protocol_number("protocol", one) for one in ("TCP", "udp", "253")] == [6, 17, 253]
    for wrong in ("tpc", "256", "-1", ""):
        with pytest.raises(BadInputError, match=f"protocol: '{wrong}' is neither"):
            flow.protocol_number("protocol", wrong)

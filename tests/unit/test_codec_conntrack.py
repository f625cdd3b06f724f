# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack bytes: fixtures written field by field, exact round trips, flags, refusals."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import conntrack as ct
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    LAYOUTS,
    V2,
    V3_IPV4,
    V3_IPV6,
    ConntrackLayout,
    conntrack_layout,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.fields import (
    LayoutError,
    flag_names,
)


def raw(*fields: str) -> bytes:
    return bytes.fromhex("".join(fields))


KEY_V4 = raw(
    "06 00 00 00",  # protocol
    "0a 41 00 05",  # address A, 10.65.0.5
    "0a 60 00 0a",  # address B, 10.96.0.10
    "39 30",  # port A, 12345
    "50 00",  # port B, 80
)
KEY_V6 = raw(
    "11 00 00 00",  # protocol
    "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01",
    "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02",
    "35 00",  # port A, 53
    "ff ff",  # port B
)
LAST_SEEN = "00 e4 0b 54 02 00 00 00"  # 10_000_000_000
STAMPS = "01 00 00 00 00 00 00 00" + LAST_SEEN
LEG_1 = raw(
    "08 07 06 05 04 03 02 01",  # bytes
    "44 33 22 11",  # packets
    "de ad be ef",  # seqno, as on the wire
    "23 00 00 00",  # bits: SYN, ACK, opener
    "07 00 00 00",  # ifindex
)
LEG_2 = raw("00 00 00 00 00 00 00 00", "00 00 00 00", "00 00 00 01", "1c 00 00 00", "00 00 00 00")
NAT_REV_V4 = raw(
    STAMPS,
    "02",  # type
    "08",  # flags 0 to 7
    "02",  # flags 16 to 23
    "80",  # flags 24 to 31
    "00 00 00",
    "41",  # flags 8 to 15
    LEG_1.hex(),
    LEG_2.hex(),
    "c0 00 02 01",  # tunnel
    "0a 60 00 0a",  # Service
    "bb 01",  # its port, 443
    "39 30",  # original source port
    "0a 41 00 05",  # original source
)
NAT_REV_V6 = raw(
    STAMPS,
    "02 00 00 00 00 00 00 01",
    LEG_1.hex(),
    LEG_2.hex(),
    "20 01 0d b8" + "00" * 11 + "aa",  # tunnel
    "20 01 0d b8" + "00" * 11 + "bb",  # Service
    "bb 01 39 30",
    "20 01 0d b8" + "00" * 11 + "cc",  # original source
    "00 00 00 00",
)
NAT_FWD_V4 = raw(STAMPS, "01 00 00 00 00 00 00 00", KEY_V4.hex(), "21 4e", "00" * 46)
NAT_FWD_V6 = raw(STAMPS, "01 00 00 00 00 00 00 00", KEY_V6.hex(), "21 4e", "00" * 62)
V2_HEADER = STAMPS + "02 08 00 00 00 00 00 01"
V2_LEGS = "de ad be ef 23 00 00 00 07 00 00 00 00 00 00 01 1c 00 00 00 00 00 00 00"
NAT_REV_V2 = raw(
    V2_HEADER,
    V2_LEGS,
    "0a 60 00 0a",  # Service
    "bb 01",
    "39 30",
    "c0 00 02 01",  # tunnel
    "0a 41 00 05",  # original source
)
NAT_FWD_V2 = raw(STAMPS, "01 00 00 00 00 00 00 00", KEY_V4.hex(), "21 4e", "00" * 22)
FIRST = ct.Leg(0x0102030405060708, 0x11223344, 0xDEADBEEF, 0x23, 7)
SECOND = ct.Leg(0, 0, 1, 0x1C, 0)


def test_a_key_of_each_family() -> None:
    first = ct.Endpoint(ip_address("10.65.0.5"), 12345)
    assert ct.decode_key(KEY_V4) == ct.Key(6, first, ct.Endpoint(ip_address("10.96.0.10"), 80))
    low, high = ip_address("2001:db8::1"), ip_address("2001:db8::2")
    six = ct.Key(17, ct.Endpoint(low, 53), ct.Endpoint(high, 65535))
    assert ct.decode_key(memoryview(KEY_V6)) == six
    assert ct.encode_key(six) == KEY_V6


def test_a_reverse_value_of_each_family() -> None:
    v4 = ct.Tracking(
        FIRST,
        SECOND,
        tun_ip=ip_address("192.0.2.1"),
        orig_ip=ip_address("10.96.0.10"),
        orig_port=443,
        orig_sport=12345,
        orig_sip=ip_address("10.65.0.5"),
    )
    assert ct.decode_value(NAT_REV_V4, V3_IPV4) == ct.Value(1, 10**10, 2, 0x80024108, v4)
    v6 = v4._replace(
        tun_ip=ip_address("2001:db8::aa"),
        orig_ip=ip_address("2001:db8::bb"),
        orig_sip=ip_address("2001:db8::cc"),
    )
    assert ct.decode_value(NAT_REV_V6, V3_IPV6) == ct.Value(1, 10**10, 2, 0x100, v6)


def test_a_value_of_ct2() -> None:
    body = ct.decode_value(NAT_REV_V2, V2).body
    assert isinstance(body, ct.Tracking)
    assert body[:2] == (FIRST._replace(byte_count=0, packet_count=0), SECOND)
    assert (str(body.tun_ip), str(body.orig_ip), str(body.orig_sip)) == (
        "192.0.2.1",
        "10.96.0.10",
        "10.65.0.5",
    )
    assert (body.orig_port, body.orig_sport) == (443, 12345)


@pytest.mark.parametrize(
    ("value", "layout", "key"),
    [(NAT_FWD_V2, V2, KEY_V4), (NAT_FWD_V4, V3_IPV4, KEY_V4), (NAT_FWD_V6, V3_IPV6, KEY_V6)],
)
def test_a_forward_value_names_its_reverse_key(
    value: bytes, layout: ConntrackLayout, key: bytes
) -> None:
    assert ct.decode_value(value, layout).body == ct.NatForward(ct.decode_key(key), 20001)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: f"{one.key_size}-{one.value_size}")
def test_random_bytes_come_back(layout: ConntrackLayout) -> None:
    chance = random.Random(layout.value_size)
    for round_number in range(400):
        key = bytes(chance.getrandbits(8) for _ in range(layout.key_size))
        value = bytearray(chance.getrandbits(8) for _ in range(layout.value_size))
        value[16] = round_number % 4 if round_number % 5 else chance.randrange(256)
        assert ct.encode_key(ct.decode_key(key)) == key
        assert ct.encode_value(ct.decode_value(value, layout), layout) == value


@pytest.mark.parametrize("bit", range(32))
def test_each_flag_is_where_the_facts_say(bit: int) -> None:
    place = {0: 17, 1: 23, 2: 18, 3: 19}[bit // 8]
    value = bytearray(88)
    value[place] = 1 << bit % 8
    assert ct.decode_value(value, V3_IPV4).flags == 1 << bit
    assert ct.encode_value(ct.decode_value(value, V3_IPV4), V3_IPV4) == value


def test_every_flag_has_its_name_by_release() -> None:
    always = [
        "nat-out",
        "fwd-dsr",
        "np-fwd",
        "skip-fib",
        "0x10",
        "0x20",
        "ext-local",
        "via-nat-iface",
        "B-A",
        "host-psnat",
        "svc-self",
        "np-loop",
        "np-remote",
        "no-dsr",
    ]
    assert [flag_names(1 << bit, ct.FLAGS, (3, 26, 4))[0] for bit in range(14)] == always
    later: list[tuple[int, tuple[int, ...], str]] = [
        (14, (3, 29, 7), "0x4000"),
        (14, (3, 30), "no-redir-peer"),
        (15, (3, 30, 7), "0x8000"),
        (15, (3, 31, 7), "cluster-external"),
        (15, (3, 32, 1), "set-DSCP"),
        (16, (3, 31, 7), "0x10000"),
        (16, (3, 32), "maglev"),
        (17, (3, 32), "send-rst"),
        (18, (3, 32, 1), "0x40000"),
        (18, (3, 33), "connlimit-ingress"),
        (19, (3, 33), "connlimit-ingress-rejected"),
        (20, (3, 33), "connlimit-egress"),
        (21, (3, 33), "connlimit-decremented"),
        (22, (3, 33), "0x400000"),
    ]
    for bit, release, name in later:
        assert flag_names(1 << bit, ct.FLAGS, release) == [name]


def test_flags_without_a_release_show_every_name_they_had() -> None:
    assert flag_names(0x88108001, ct.FLAGS) == [
        "nat-out",
        "cluster-external|set-DSCP",
        "connlimit-egress",
        "0x88000000",
    ]


def test_leg_bits_have_names() -> None:
    assert flag_names(0xFF, ct.LEG_BITS, (3, 30)) == (
        ["syn-seen", "ack-seen", "fin-seen", "rst-seen", "approved", "opener", "workload", "0x80"]
    )
    assert flag_names(0x40, ct.LEG_BITS, (3, 29)) == ["0x40"]


@pytest.mark.parametrize("sizes", [(16, 87), (16, 96), (40, 88), (16, 128), (16, 0), (8, 64)])
def test_unknown_sizes_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(LayoutError, match="has no known layout; known are 16/64, 16/88, 40/128"):
        conntrack_layout(*sizes)


def test_known_sizes_are_found() -> None:
    assert [conntrack_layout(one.key_size, one.value_size) for one in LAYOUTS] == list(LAYOUTS)


@pytest.mark.parametrize("size", [0, 15, 17, 39, 41])
def test_keys_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(LayoutError, match=f"conntrack key of {size} bytes has no known layout"):
        ct.decode_key(bytes(size))


def test_a_value_must_have_the_size_of_its_map() -> None:
    with pytest.raises(LayoutError, match="of 64 bytes has no known layout; known are 88 bytes"):
        ct.decode_value(bytes(64), V3_IPV4)


TRACKING = ct.decode_value(NAT_REV_V4, V3_IPV4)
FORWARD = ct.decode_value(NAT_FWD_V4, V3_IPV4)
SIX = ct.decode_value(NAT_REV_V6, V3_IPV6)


@pytest.mark.parametrize(
    ("value", "layout", "words"),
    [
        (TRACKING, V2, "no room for counters"),
        (TRACKING, V3_IPV6, "192.0.2.1 is no IPv6 address"),
        (SIX, V3_IPV4, "2001:db8::aa is no IPv4 address"),
        (FORWARD, V3_IPV6, "another family's map"),
        (TRACKING._replace(type=1), V3_IPV4, "of type 1 has no Tracking"),
        (FORWARD._replace(type=0), V3_IPV4, "of type 0 has no NatForward"),
        (TRACKING._replace(flags=1 << 32), V3_IPV4, "more than 32 bits"),
        (TRACKING._replace(last_seen=-1), V3_IPV4, "does not fit"),
        (TRACKING._replace(padding=b"four"), V3_IPV4, "4 bytes of padding where 3 are"),
        (
            TRACKING._replace(body=TRACKING.body._replace(orig_port=65536)),  # type: ignore[call-arg]
            V3_IPV4,
            "does not fit",
        ),
    ],
)
def test_values_without_room_are_refused(
    value: ct.Value, layout: ConntrackLayout, words: str
) -> None:
    with pytest.raises(LayoutError, match=words):
        ct.encode_value(value, layout)


def test_a_key_of_two_families_is_refused() -> None:
    key = ct.Key(6, ct.Endpoint(ip_address("192.0.2.1")), ct.Endpoint(ip_address("2001:db8::1")))
    with pytest.raises(LayoutError, match="two families"):
        ct.encode_key(key)

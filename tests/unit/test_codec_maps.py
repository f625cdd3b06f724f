# SPDX-License-Identifier: GPL-3.0-or-later
"""NAT, affinity and routes, and keys of other maps, from hand-written bytes."""

from __future__ import annotations

import random
from ipaddress import ip_address
from typing import Any, Callable

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    counters,
    ifstate,
    nat,
    routes,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.fields import (
    LayoutError,
    flag_names,
)


def raw(*fields: str) -> bytes:
    return bytes.fromhex("".join(fields))


V4 = ip_address("192.0.2.1")
V4_HEX = "c0 00 02 01"
V6 = ip_address("2001:db8::1")
V6_HEX = "20 01 0d b8" + "00" * 11 + "01"
CLIENT, CLIENT_HEX = ip_address("10.65.0.5"), "0a 41 00 05"
CLIENT_6, CLIENT_6_HEX = ip_address("2001:db8::ff"), "20 01 0d b8" + "00" * 11 + "ff"
PORT = "bb 01"  # 443


def slots(*numbers: int) -> str:
    return "".join(f"{number:02x} 00 00 00" for number in numbers)


Codec = Callable[..., Any]
# Bytes, what they mean, decoder, encoder.
ROWS: list[tuple[bytes, Any, Codec, Codec]] = [
    (
        raw("50 00 00 00", V4_HEX, PORT, "06", CLIENT_HEX, "00"),
        nat.FrontendKey(80, V4, 443, 6, CLIENT),
        nat.decode_frontend_key,
        nat.encode_frontend_key,
    ),
    (
        raw("18 01 00 00", V6_HEX, PORT, "11", CLIENT_6_HEX, "00"),
        nat.FrontendKey(280, V6, 443, 17, CLIENT_6),
        nat.decode_frontend_key,
        nat.encode_frontend_key,
    ),
    (
        raw("07 00 00 00", "03 00 00 00", "01 00 00 00", "30 2a 00 00", "09 00 00 00"),
        nat.Frontend(7, 3, 1, 10800, 9),
        nat.decode_frontend,
        nat.encode_frontend,
    ),
    (
        raw("07 00 00 00", "02 00 00 00"),
        nat.BackendKey(7, 2),
        nat.decode_backend_key,
        nat.encode_backend_key,
    ),
    (raw(V4_HEX, PORT, "00 00"), nat.Backend(V4, 443), nat.decode_backend, nat.encode_backend),
    (raw(V6_HEX, PORT, "01 00"), nat.Backend(V6, 443, 1), nat.decode_backend, nat.encode_backend),
    (
        raw(V4_HEX, PORT, "06", "00", CLIENT_HEX, "00 00 00 00"),
        nat.AffinityKey(V4, 443, 6, CLIENT),
        nat.decode_affinity_key,
        nat.encode_affinity_key,
    ),
    (
        raw(V6_HEX, PORT, "11", "00", CLIENT_6_HEX, "00 00 00 00"),
        nat.AffinityKey(V6, 443, 17, CLIENT_6),
        nat.decode_affinity_key,
        nat.encode_affinity_key,
    ),
    (
        raw(V4_HEX, PORT, "00 00", "00 e4 0b 54 02 00 00 00"),
        nat.Affinity(V4, 443, 10**10),
        nat.decode_affinity,
        nat.encode_affinity,
    ),
    (
        raw(V6_HEX, PORT, "00" * 6, "00 e4 0b 54 02 00 00 00"),
        nat.Affinity(V6, 443, 10**10),
        nat.decode_affinity,
        nat.encode_affinity,
    ),
    (
        raw("1a 00 00 00", V4_HEX),
        routes.RouteKey(26, V4),
        routes.decode_route_key,
        routes.encode_route_key,
    ),
    (
        raw("7a 00 00 00", V6_HEX),
        routes.RouteKey(122, V6),
        routes.decode_route_key,
        routes.encode_route_key,
    ),
    (
        raw("04 00 00 00", V4_HEX),
        routes.Route(4, V4.packed),
        routes.decode_route,
        routes.encode_route,
    ),
    (
        raw("10 00 00 00", V6_HEX),
        routes.Route(16, V6.packed),
        routes.decode_route,
        routes.encode_route,
    ),
    (
        raw("05 00 00 00", "01 00 00 00"),
        counters.CountersKey(5, 1),
        counters.decode_counters_key,
        counters.encode_counters_key,
    ),
    (raw("05 01 00 00"), 261, ifstate.decode_ifindex, ifstate.encode_ifindex),
]


@pytest.mark.parametrize(("packed", "value", "decode", "encode"), ROWS)
def test_hand_written_bytes(packed: bytes, value: Any, decode: Codec, encode: Codec) -> None:
    assert decode(memoryview(packed)) == value
    assert encode(value) == packed


@pytest.mark.parametrize(("packed", "_value", "decode", "encode"), ROWS)
def test_random_bytes_come_back(packed: bytes, _value: Any, decode: Codec, encode: Codec) -> None:
    chance = random.Random(len(packed))
    for _ in range(100):
        some = bytes(chance.getrandbits(8) for _ in packed)
        assert encode(decode(some)) == some


@pytest.mark.parametrize(("packed", "_value", "decode", "_encode"), ROWS)
def test_unknown_sizes_are_refused(
    packed: bytes, _value: Any, decode: Codec, _encode: Codec
) -> None:
    for wrong in (packed[:-1], packed + b"\0", b""):
        with pytest.raises(LayoutError, match=f"of {len(wrong)} bytes has no known layout"):
            decode(wrong)


def test_frontend_meanings() -> None:
    key = nat.decode_frontend_key(raw("50 00 00 00", V4_HEX, PORT, "06", CLIENT_HEX, "00"))
    assert key.source_prefix == 24
    assert nat.frontend_of(V4, 443, 6) == key._replace(
        prefix_length=56, source=ip_address("0.0.0.0")
    )
    six = nat.frontend_of(V6, 53, 17)
    assert (six.prefix_length, six.source_prefix, six.source) == (152, 0, ip_address("::"))
    assert nat.decode_frontend(raw(slots(7), "ff ff ff ff", slots(0, 0, 0))).blackhole
    assert not nat.Frontend(7, 0, 0, 0, 0).blackhole


def test_frontend_flags_by_release() -> None:
    assert flag_names(0x1F, nat.FRONTEND_FLAGS, (3, 26)) == [
        "external-local",
        "internal-local",
        "0x1c",
    ]
    assert flag_names(0xC, nat.FRONTEND_FLAGS, (3, 31)) == ["nat-excluded", "0x8"]
    assert flag_names(0x8, nat.FRONTEND_FLAGS, (3, 32)) == ["maglev"]


REFUSED: list[tuple[Codec, Any, str]] = [
    (nat.encode_frontend_key, nat.FrontendKey(56, V4, 1, 6, V6), "two families"),
    (nat.encode_affinity_key, nat.AffinityKey(V6, 1, 6, V4), "two families"),
    (nat.encode_frontend_key, nat.FrontendKey(56, V4, 65536, 6, V4), "does not fit"),
    (nat.encode_backend, nat.Backend(V4, -1), "does not fit"),
    (nat.encode_frontend, nat.Frontend(1 << 32, 0, 0, 0, 0), "does not fit"),
    (routes.encode_route, routes.Route(0, b"12345"), "of 9 bytes has no known layout"),
    (ifstate.encode_ifindex, -1, "does not fit"),
]


@pytest.mark.parametrize(("encode", "value", "words"), REFUSED)
def test_values_that_do_not_fit_are_refused(encode: Codec, value: Any, words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        encode(value)


def test_where_a_route_leads() -> None:
    local = routes.decode_route(raw("0d 00 00 00", "0b 01 00 00"))
    assert (local.ifindex, local.next_hop) == (267, None)
    local_6 = routes.decode_route(raw("0c 00 00 00", "0b 01 00 00", "00" * 12))
    assert (local_6.ifindex, local_6.next_hop) == (267, None)
    for flags in ("04", "08", "18", "10", "50"):
        remote = routes.decode_route(raw(flags, "00 00 00", V4_HEX))
        assert (remote.ifindex, remote.next_hop) == (None, V4)


def test_route_flags_by_release() -> None:
    always = "in-ipam-pool nat-outgoing workload local host same-subnet tunneled no-dsr"
    assert flag_names(0xFFF, routes.FLAGS, (3, 27, 3)) == [*always.split(), "0xf00"]
    blackholes = ["blackhole-drop", "blackhole-reject"]
    for release in ((3, 27, 5), (3, 28), (3, 29, 7)):
        assert flag_names(0xF00, routes.FLAGS, release) == [*blackholes, "0xc00"]
    assert flag_names(0xC00, routes.FLAGS, (3, 30, 7)) == ["vm-workload", "0x400"]
    assert flag_names(0x1C00, routes.FLAGS, (3, 31)) == ["vxlan", "skip-ingress-redirect", "0x1000"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The scanner of packed entries finds what decoding each of them finds."""

from __future__ import annotations

import random
import struct
from ipaddress import ip_network

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import conntrack as ct
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    conntrack_scan as scan,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    LAYOUTS,
    ConntrackLayout,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.fields import (
    LayoutError,
)

BY_SIZES = pytest.mark.parametrize(
    "layout", LAYOUTS, ids=lambda one: f"{one.key_size}-{one.value_size}"
)
BYTES = (0, 1, 6, 17)
"""So few values that addresses, ports and protocols turn up at every wrong place as well."""


def packed(chance: random.Random, layout: ConntrackLayout, count: int) -> tuple[bytes, bytes]:
    keys, values = bytearray(), bytearray()
    for _ in range(count):
        key = bytearray(chance.choice(BYTES) for _ in range(layout.key_size))
        key[1:4] = bytes(3) if chance.random() < 0.9 else b"\x01\x00\x00"
        keys += key
        value = bytearray(layout.value_size)
        struct.pack_into("<QQB", value, 0, 5, chance.randrange(8), chance.randrange(4))
        values += value
    return bytes(keys), bytes(values)


def selector(chance: random.Random, layout: ConntrackLayout) -> scan.Selector:
    width = layout.address_size
    address = bytes(chance.choice(BYTES) for _ in range(width))
    port = chance.choice(BYTES) | chance.choice(BYTES) << 8
    return scan.Selector(
        chance.choice((None, 6, 17, 256)),
        chance.choice((None, address, bytes([chance.choice(BYTES)]) * width)),
        chance.choice((None, (port, port), (port, port + 300))),
        chance.choice((None, None, 0, 3, 8, 11, 17, width * 8 - 1, width * 8)),
    )


def fits(key: ct.Key, want: scan.Selector) -> bool:
    return want.protocol in (None, key.protocol) and any(
        in_prefix(end.address, want) and (not want.ports or end.port in range(*beyond(want.ports)))
        for end in (key.a, key.b)
    )


def beyond(ports: tuple[int, int]) -> tuple[int, int]:
    return ports[0], ports[1] + 1


def in_prefix(address: ct.Address, want: scan.Selector) -> bool:
    if want.address is None:
        return True
    bits = address.max_prefixlen if want.bits is None else want.bits
    return address in ip_network((want.address, bits), strict=False)


@BY_SIZES
def test_keys_are_found_as_by_decoding(layout: ConntrackLayout) -> None:
    chance = random.Random(layout.value_size)
    hits = 0
    for _ in range(200):
        count = chance.randrange(1, 200)
        keys, _values = packed(chance, layout, count + 3)
        want = selector(chance, layout)
        if want.address is not None and chance.random() < 0.5:
            start = chance.randrange(count) * layout.key_size + 4
            want = want._replace(address=keys[start : start + layout.address_size])
        found = scan.matching(memoryview(keys), count, layout.key_size, want)
        decoded = [
            ct.decode_key(keys[at : at + layout.key_size])
            for at in range(0, count * layout.key_size, layout.key_size)
        ]
        assert found == [index for index, key in enumerate(decoded) if fits(key, want)]
        hits += len(found)
    assert hits > 1000


@BY_SIZES
def test_values_are_found_as_by_decoding(layout: ConntrackLayout) -> None:
    chance = random.Random(layout.value_size)
    for _ in range(50):
        count, instant = chance.randrange(200), chance.randrange(9)
        _keys, values = packed(chance, layout, count + 3)
        view, size = memoryview(values), layout.value_size
        decoded = [ct.decode_value(view[at * size :][:size], layout) for at in range(count)]
        idle = [at for at, value in enumerate(decoded) if value.last_seen < instant]
        assert scan.idle_since(view, count, size, instant) == idle
        rare = frozenset({1, 3})
        assert scan.of_types(view, count, size, rare) == [
            at for at, value in enumerate(decoded) if value.type in rare
        ]


@BY_SIZES
def test_flags_are_found_as_by_decoding(layout: ConntrackLayout) -> None:
    chance = random.Random(layout.value_size)
    size = layout.value_size
    for _ in range(50):
        count = chance.randrange(1, 100)
        values = bytearray(count * size)
        for at in range(count):
            for place in (17, 18, 19, 23):
                values[at * size + place] = chance.randrange(8)
        wanted = chance.choice((1, 3, 0x100, 0x20002, 0x1000000, 0x2010302))
        flags = [ct.decode_value(values[at * size :][:size], layout).flags for at in range(count)]
        assert scan.with_flags(memoryview(values), count, size, wanted) == [
            at for at, one in enumerate(flags) if one & wanted == wanted
        ]


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=lambda one: str(one.key_size))
def test_ends_of_services_are_found(layout: ConntrackLayout) -> None:
    chance = random.Random(layout.key_size)
    hits = 0
    for _ in range(100):
        count = chance.randrange(1, 100)
        keys, _values = packed(chance, layout, count)
        decoded = [
            ct.decode_key(keys[at * layout.key_size :][: layout.key_size]) for at in range(count)
        ]
        some = chance.choice(decoded)
        word = struct.unpack("=I", some.b.address.packed[-4:])[0]
        want = scan.ServiceEnds(frozenset({(word, some.b.port)}), frozenset({some.a.port}))
        found = scan.to_services(memoryview(keys), count, layout.key_size, 17, want)
        assert found == [
            at
            for at, key in enumerate(decoded)
            if key.protocol == 17
            and any(
                end.port in want.node_ports
                or (struct.unpack("=I", end.address.packed[-4:])[0], end.port) in want.ends
                for end in (key.a, key.b)
            )
        ]
        hits += len(found)
    assert hits > 100


def test_values_may_lie_apart() -> None:
    buffer = bytearray(3 * 96)
    struct.pack_into("<Q", buffer, 96 + 8, 7)
    assert scan.idle_since(memoryview(buffer), 3, 96, 1) == [0, 2]


def test_an_address_across_two_fields_is_none() -> None:
    keys = memoryview(bytes.fromhex("06000000 c0000201 c0000202 0100 0200" * 2))
    across = scan.Selector(address=bytes.fromhex("0201c000"))
    assert scan.matching(keys, 2, 16, across) == []
    assert scan.matching(keys, 2, 16, scan.Selector(address=bytes.fromhex("c0000202"))) == [0, 1]


def test_address_and_port_belong_to_one_side() -> None:
    keys = memoryview(bytes.fromhex("06000000 c0000201 c0000202 0100 0200"))
    address = bytes.fromhex("c0000202")
    assert scan.matching(keys, 1, 16, scan.Selector(6, address, (2, 2))) == [0]
    assert scan.matching(keys, 1, 16, scan.Selector(6, address, (1, 1))) == []
    assert scan.matching(keys, 1, 16, scan.Selector(17, address, (2, 2))) == []


def test_what_cannot_be_searched_is_refused() -> None:
    keys = memoryview(bytes(32))
    with pytest.raises(LayoutError, match="conntrack key of 20 bytes has no known layout"):
        scan.matching(keys, 1, 20, scan.Selector())
    with pytest.raises(LayoutError, match="3 keys are not in a buffer of 32 bytes"):
        scan.matching(keys, 3, 16, scan.Selector())
    with pytest.raises(LayoutError, match="of 16 bytes has no known layout; known are 4 bytes"):
        scan.matching(keys, 2, 16, scan.Selector(address=bytes(16)))
    with pytest.raises(LayoutError, match="2 values of 88 bytes"):
        scan.idle_since(memoryview(bytes(100)), 2, 88, 0)

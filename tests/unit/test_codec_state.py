# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleanup queue, interface states and counters, from hand-written bytes."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import (
    cleanup_queue,
    counters,
    ifstate,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack import (
    Endpoint,
    Key,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.fields import (
    LayoutError,
    flag_names,
)


def raw(*fields: str) -> bytes:
    return bytes.fromhex("".join(fields))


def slots(*numbers: int) -> str:
    return "".join(f"{number:02x} 00 00 00" for number in numbers)


V4, V4_HEX = ip_address("192.0.2.1"), "c0 00 02 01"
V6, V6_HEX = ip_address("2001:db8::1"), "20 01 0d b8" + "00" * 11 + "01"
CLIENT, CLIENT_HEX = ip_address("10.65.0.5"), "0a 41 00 05"
CLIENT_6, CLIENT_6_HEX = ip_address("2001:db8::ff"), "20 01 0d b8" + "00" * 11 + "ff"
IFSTATE_HEAD = "03 00 00 00" + b"cali123\0\0\0\0\0\0\0\0\0".hex()
NO_SLOT = "ff ff ff ff"

CT_KEY = Key(6, Endpoint(V4, 1), Endpoint(CLIENT, 2))
CT_KEY_HEX = "06 00 00 00" + V4_HEX + CLIENT_HEX + "01 00 02 00"
CT_KEY_6 = Key(17, Endpoint(V6, 1), Endpoint(CLIENT_6, 2))
CT_KEY_6_HEX = "11 00 00 00" + V6_HEX + CLIENT_6_HEX + "01 00 02 00"
TIMES = "05 00 00 00 00 00 00 00 06 00 00 00 00 00 00 80"


@pytest.mark.parametrize(
    ("packed", "partner"),
    [
        (raw(CT_KEY_HEX, TIMES), CT_KEY),
        (raw(CT_KEY_6_HEX, TIMES), CT_KEY_6),
        (raw("00" * 16, TIMES), None),
        (raw("00" * 40, TIMES), None),
    ],
)
def test_the_cleanup_queue(packed: bytes, partner: Key | None) -> None:
    queued = cleanup_queue.decode_queued(packed)
    assert queued == (partner, 5, 6 | 1 << 63)
    assert cleanup_queue.encode_queued(queued, len(packed)) == packed


@pytest.mark.parametrize("size", [32, 56])
def test_random_queue_values_come_back(size: int) -> None:
    chance = random.Random(size)
    for _ in range(100):
        some = bytes(chance.getrandbits(8) for _ in range(size))
        assert cleanup_queue.encode_queued(cleanup_queue.decode_queued(some), size) == some


def test_a_cleanup_queue_of_unknown_size_is_refused() -> None:
    for size in (16, 40, 48, 0):
        with pytest.raises(LayoutError, match="known are 32, 56 bytes"):
            cleanup_queue.decode_queued(bytes(size))
    with pytest.raises(LayoutError, match="a key of 40 bytes is not in 32 bytes"):
        cleanup_queue.encode_queued(cleanup_queue.Queued(CT_KEY_6, 0, 0), 32)
    with pytest.raises(LayoutError, match="of 8 bytes has no known layout"):
        cleanup_queue.encode_queued(cleanup_queue.Queued(None, 0, 0), 8)


IFSTATES: list[tuple[bytes, dict[str, int]]] = [
    (raw(IFSTATE_HEAD), {}),
    (
        raw(IFSTATE_HEAD, NO_SLOT, slots(1, 2, 3), NO_SLOT),
        {"xdp_v4": -1, "ingress_v4": 1, "egress_v4": 2, "filter_ingress": 3, "filter_egress": -1},
    ),
    (
        raw(IFSTATE_HEAD, slots(1, 2, 3, 4, 5, 6, 26), NO_SLOT),
        {
            "xdp_v4": 1,
            "ingress_v4": 2,
            "egress_v4": 3,
            "xdp_v6": 4,
            "ingress_v6": 5,
            "egress_v6": 6,
            "filter_ingress": 26,
            "filter_egress": -1,
        },
    ),
]


@pytest.mark.parametrize(("packed", "indexes"), IFSTATES)
def test_interface_states(packed: bytes, indexes: dict[str, int]) -> None:
    state = ifstate.decode_ifstate(packed)
    assert (state.flags, state.name) == (3, "cali123")
    assert {name: at for name, at in state._asdict().items() if name in IFSTATES[2][1]} == {
        **dict.fromkeys(IFSTATES[2][1]),
        **indexes,
    }
    assert ifstate.encode_ifstate(state, len(packed)) == packed


@pytest.mark.parametrize("size", ifstate.INDEXES)
def test_random_interface_states_come_back(size: int) -> None:
    chance = random.Random(size)
    for _ in range(100):
        some = bytes(chance.getrandbits(8) for _ in range(size))
        assert ifstate.encode_ifstate(ifstate.decode_ifstate(some), size) == some


def test_interface_states_that_do_not_fit_are_refused() -> None:
    state = ifstate.decode_ifstate(IFSTATES[1][0])
    with pytest.raises(LayoutError, match="egress_v6, ingress_v6, xdp_v6 do not match"):
        ifstate.encode_ifstate(state, 52)
    with pytest.raises(LayoutError, match="longer than 16 bytes"):
        ifstate.encode_ifstate(state._replace(raw_name=b"a" * 17), 40)
    for size in (4, 48, 56):
        with pytest.raises(LayoutError, match="known are 20, 40, 52 bytes"):
            ifstate.decode_ifstate(bytes(size))
        with pytest.raises(LayoutError, match="known are 20, 40, 52 bytes"):
            ifstate.encode_ifstate(state, size)


def test_interface_flags_by_release() -> None:
    for release in ((3, 26), (3, 27, 5)):
        assert flag_names(0xF, ifstate.FLAGS, release) == ["workload", "ready", "0xc"]
    types = ["bond", "bond-slave", "vxlan", "ipip", "wireguard", "l3"]
    names = ["workload", "ipv4-ready", "ipv6-ready", "host", *types]
    assert flag_names(0x7FF, ifstate.FLAGS, (3, 29, 3)) == [*names, "0x400"]
    assert flag_names(0xFFF, ifstate.FLAGS, (3, 29, 4)) == [*names, "not-managed", "0x800"]


@pytest.mark.parametrize(
    ("size", "last"),
    [
        (112, "blackhole-route"),
        (136, "conntrack-create-failed"),
        (200, "reserved"),
        (216, "no-host-ip"),
    ],
)
def test_counters_of_all_cpus(size: int, last: str) -> None:
    count = size // 8
    one = b"".join(bytes([place, 1, 0, 0, 0, 0, 0, 0]) for place in range(count))
    cpus = counters.decode_counters(one + bytes(size) + one, size)
    assert len(cpus) == 3
    sums = counters.totals(cpus)
    assert list(sums) == list(counters.NAMES[:count])
    assert (list(sums)[-1], sums[last]) == (last, 2 * (count - 1 + 256))
    assert counters.encode_counters(cpus, size) == one + bytes(size) + one


def test_counters_of_unknown_size_are_refused() -> None:
    with pytest.raises(LayoutError, match="known are 112, 136, 200, 216 bytes"):
        counters.decode_counters(bytes(120), 120)
    for length in (0, 113, 200):
        with pytest.raises(LayoutError, match=f"{length} bytes are not counters of 112 bytes"):
            counters.decode_counters(bytes(length), 112)
    with pytest.raises(LayoutError, match="does not fit"):
        counters.encode_counters(((1, 2),), 112)

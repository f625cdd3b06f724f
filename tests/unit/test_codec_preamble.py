# SPDX-License-Identifier: GPL-3.0-or-later
"""Preamble globals of every size, from bytes put at the offsets that the facts list."""

from __future__ import annotations

import random
from typing import Any, Dict, Tuple

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import preamble
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.fields import (
    LayoutError,
    flag_names,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.preamble_layout import (
    FLAGS,
    LAYOUTS,
    preamble_layout,
)

Places = Dict[str, Tuple[int, str]]
NAME = b"cali123--------\0".hex()
# Offset of each field in one part, and what is put there.
SMALL: Places = {
    "host_ip": (0, "c0 00 02 01"),
    "tunnel_mtu": (4, "aa 05"),
    "vxlan_port": (6, "b5 12"),
    "intf_ip": (8, "c0 00 02 02"),
    "ext_to_svc_mark": (12, "01 02 03 04"),
    "psnat_start": (16, "20 4e"),
    "psnat_len": (18, "2f 75"),
    "host_tunnel_ip": (20, "c0 00 02 03"),
    "flags": (24, "b0 01 00 00"),
    "wg_port": (28, "6c ca"),
    "profiling": (30, "01 00"),
    "natin_idx": (32, "09 00 00 00"),
    "natout_idx": (36, "0a 00 00 00"),
    "raw_iface_name": (40, NAME),
}
AT_56: Places = {"log_filter_jmp": (56, "1a 00 00 00"), "jumps": (60, "07 00 00 00")}
BIG_OFFSETS = (0, 16, 18, 20, 36, 40, 42, 44, 60, 64, 66, 68, 72, 76)
BIG: Places = {name: (at, SMALL[name][1]) for name, at in zip(SMALL, BIG_OFFSETS)}
AT_92: Places = {"log_filter_jmp": (92, "1a 00 00 00"), "jumps": (96, "07 00 00 00")}
OVERLAY: Places = {
    **BIG,
    "overlay_tunnel_id": (76, "00 10 00 00"),
    "raw_iface_name": (80, NAME),
    "log_filter_jmp": (96, "1a 00 00 00"),
    "jumps": (100, "07 00 00 00"),
    "dscp": (260, "ff"),
}
IN_3_32: Places = {**OVERLAY, "istio_dscp": (261, "2e"), "maglev_lut_size": (264, "f7 01 00 00")}
LATER: Places = {
    **IN_3_32,
    "ipfrag_timeout": (268, "1e 00 00 00"),
    "host_ifindex": (272, "02 00 00 00"),
}
NUMBERS = {
    "tunnel_mtu": 1450,
    "vxlan_port": 4789,
    "ext_to_svc_mark": 0x04030201,
    "psnat_start": 20000,
    "psnat_len": 29999,
    "flags": 0x1B0,
    "wg_port": 51820,
    "profiling": 1,
    "natin_idx": 9,
    "natout_idx": 10,
    "overlay_tunnel_id": 4096,
    "log_filter_jmp": 26,
    "dscp": -1,
    "istio_dscp": 46,
    "maglev_lut_size": 503,
    "ipfrag_timeout": 30,
    "host_ifindex": 2,
}
# Size of the value, where its parts begin, and what is in each.
ROWS: list[tuple[int, tuple[int, ...], Places]] = [
    (56, (0,), SMALL),
    (220, (0,), {**SMALL, **AT_56}),
    (256, (0,), {**BIG, **AT_92}),
    (512, (0, 256), {**BIG, **AT_92}),
    (528, (0, 264), OVERLAY),
    (536, (0, 268), IN_3_32),
    (552, (0, 276), LATER),
]
FAMILIES = {56: (4,), 220: (4,), 256: (6,)}


def built(size: int, starts: tuple[int, ...], places: Places) -> bytes:
    raw = bytearray(size)
    for start in starts:
        for at, digits in places.values():
            field = bytes.fromhex(digits)
            raw[start + at : start + at + len(field)] = field
    return bytes(raw)


@pytest.mark.parametrize(("size", "starts", "places"), ROWS)
def test_every_field_is_at_its_offset(size: int, starts: tuple[int, ...], places: Places) -> None:
    raw = built(size, starts, places)
    parts = preamble.decode_preamble(raw)
    assert tuple(part.family for part in parts) == FAMILIES.get(size, (4, 6))
    for part in parts:
        for name, number in NUMBERS.items():
            assert getattr(part, name) == (number if name in places else None), name
        assert part.iface_name == "cali123"
        assert part.jumps[:2] == ((7, 0) if "jumps" in places else ())
    assert preamble.encode_preamble(parts, size) == raw


@pytest.mark.parametrize(("size", "starts", "places"), ROWS)
def test_no_field_covers_another(size: int, starts: tuple[int, ...], places: Places) -> None:
    empty = preamble.decode_preamble(bytes(size))
    for index, start in enumerate(starts):
        for name, (at, digits) in places.items():
            raw = bytearray(size)
            field = bytes.fromhex(digits)
            raw[start + at : start + at + len(field)] = field
            parts = preamble.decode_preamble(raw)
            changed = {
                (place, field_name)
                for place, part in enumerate(parts)
                for field_name in part._fields
                if getattr(part, field_name) != getattr(empty[place], field_name)
            }
            assert changed == {(index, name)}


@pytest.mark.parametrize("size", LAYOUTS)
def test_random_bytes_come_back(size: int) -> None:
    chance = random.Random(size)
    for _ in range(50):
        raw = bytes(chance.getrandbits(8) for _ in range(size))
        assert preamble.encode_preamble(preamble.decode_preamble(raw), size) == raw


def test_addresses_by_family() -> None:
    raw = bytearray(512)
    raw[20:24] = bytes.fromhex("c0000202")
    raw[256 + 20 : 256 + 36] = bytes.fromhex("20010db8" + "00" * 11 + "02")
    four, six = preamble.decode_preamble(raw)
    assert (str(four.ip(four.intf_ip)), str(six.ip(six.intf_ip))) == ("192.0.2.2", "2001:db8::2")
    (small,) = preamble.decode_preamble(built(220, (0,), SMALL))
    assert str(small.ip(small.host_tunnel_ip)) == "192.0.2.3"


def test_log_filters() -> None:
    raw = bytearray(528)
    raw[96:100] = b"\xff" * 4
    raw[360:364] = b"\x1a\0\0\0"
    assert [part.log_filter for part in preamble.decode_preamble(raw)] == [None, 26]
    assert preamble.decode_preamble(bytes(56))[0].log_filter is None


def test_names_are_compared_as_they_are_stored() -> None:
    (part,) = preamble.decode_preamble(built(220, (0,), SMALL))
    assert part.is_for("cali123")
    assert not part.is_for("cali12")
    dashed = part._replace(raw_iface_name=b"eth0-----------\0")
    assert [dashed.is_for(name) for name in ("eth0", "eth0-", "eth")] == [True, True, False]
    full = part._replace(raw_iface_name=b"cali12345678901\0")
    assert (full.iface_name, full.is_for("cali12345678901")) == ("cali12345678901", True)
    assert part._replace(raw_iface_name=b"eth0".ljust(16, b"\0")).is_for("eth0")
    for wrong in ("", "a" * 16):
        with pytest.raises(LayoutError, match="no interface name of 1 to 15 bytes"):
            preamble.padded_name(wrong)


@pytest.mark.parametrize("size", [0, 55, 80, 216, 264, 268, 276, 548])
def test_unknown_sizes_are_refused(size: int) -> None:
    with pytest.raises(LayoutError, match="known are 56, 220, 256, 512, 528, 536, 552 bytes"):
        preamble.decode_preamble(bytes(size))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"family": 6}, "families"),
    ({"natin_idx": 1 << 32}, "does not fit"),
    ({"jumps": (1, 2)}, "2 jumps where 40 are"),
    ({"jumps": (-1,) * 40}, "does not fit"),
    ({"log_filter_jmp": None}, "does not fit"),
    ({"raw_iface_name": b"a" * 17}, "longer than 16 bytes"),
    ({"host_ip": bytes(16)}, "longer than 4 bytes"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_globals_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    (part,) = preamble.decode_preamble(bytes(220))
    with pytest.raises(LayoutError, match=words):
        preamble.encode_preamble((part._replace(**change),), 220)


def test_flags_by_release() -> None:
    early = ["0x2", "0x4", "0x8", "rpf", "rpf-strict", "0x40", "no-dsr-cidrs", "lo-udp-only"]
    named = [flag_names(1 << bit, FLAGS, (3, 27))[0] for bit in range(10)]
    assert named == ["ipv6-enabled", *early, "0x200"]
    assert flag_names(0x601, FLAGS, (3, 29, 7)) == ["redirect-peer", "0x401"]
    assert flag_names(0xE00, FLAGS, (3, 30)) == ["redirect-peer", "flow-logs", "0x200"]
    assert flag_names(0x3F000, FLAGS, (3, 31)) == [
        "natout-exclude-hosts",
        "skip-egress-redirect",
        "ingress-packet-rate",
        "egress-packet-rate",
        "0x30000",
    ]
    assert flag_names(0xF0000, FLAGS, (3, 32)) == ["udp-gso-linearize", "src-spoofing", "0xc0000"]
    assert flag_names(0x1C0000, FLAGS, (3, 33)) == ["connection-limit"] * 2 + ["0x100000"]


def test_jump_names_by_size() -> None:
    shared = ("main", "policy", "allowed", "icmp", "drop", "host-ct-conflict", "icmp-inner-nat")
    for size in (220, 256, 512):
        names = preamble_layout(size).jump_names
        assert names[:8] == (*shared, "new-flow")
        assert (len(names), names[8], names[15]) == (16, "main-debug", "new-flow-debug")
    names = preamble_layout(528).jump_names
    assert (len(names), names[8], names[9], names[17]) == (
        18,
        "ip-frag",
        "main-debug",
        "ip-frag-debug",
    )
    for size in (536, 552):
        names = preamble_layout(size).jump_names
        assert (len(names), names[9:12]) == (22, ("maglev", "tcp-rst", "main-debug"))
    assert preamble_layout(56).jump_names == ()


def test_xdp_globals() -> None:
    raw = bytearray(160)
    for start, slot in ((0, 3), (80, 4)):
        raw[start : start + 16] = b"eth0-----------\0"
        raw[start + 16 : start + 20] = bytes([slot, 0, 0, 0])
        raw[start + 76 : start + 80] = b"\xff" * 4
    four, six = preamble.decode_xdp_preamble(raw)
    assert (four.family, four.iface_name, four.jumps[0], four.jumps[15]) == (
        4,
        "eth0",
        3,
        (1 << 32) - 1,
    )
    assert (six.family, six.jumps[0], six.is_for("eth0")) == (6, 4, True)
    assert preamble.encode_xdp_preamble((four, six)) == raw
    (alone,) = preamble.decode_xdp_preamble(raw[:80])
    assert alone == four
    assert preamble.encode_xdp_preamble((alone,)) == raw[:80]
    for refused in (bytes(96), b""):
        with pytest.raises(LayoutError, match="known are 80, 160 bytes"):
            preamble.decode_xdp_preamble(refused)
    with pytest.raises(LayoutError, match="of 0 bytes"):
        preamble.encode_xdp_preamble(())
    with pytest.raises(LayoutError, match="does not fit"):
        preamble.encode_xdp_preamble((alone._replace(jumps=(1,)),))

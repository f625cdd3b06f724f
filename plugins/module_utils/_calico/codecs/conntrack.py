# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and values of the conntrack map as plain values, and back to the same bytes.

Decoding costs microseconds an entry: search packed buffers with conntrack_scan first.
Facts: calico-maps 2.1 to 2.3 (conntrack_types.h, conntrack/v2, v3, v4 of 3.26 to 3.32).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from .conntrack_layout import HEADER_SIZE, LAYOUTS, ConntrackLayout
from .fields import Address, Bit, Buffer, LayoutError, Packing, address, trimmed, unknown_size

FWD_DSR = 0x2
"""Flag: the entry leads into the DSR tunnel; this node sees one direction only."""
B_TO_A = 0x100
"""Flag: the originator is side B."""

FLAGS = (
    Bit(0x1, "nat-out"),
    Bit(FWD_DSR, "fwd-dsr"),
    Bit(0x4, "np-fwd"),
    Bit(0x8, "skip-fib"),
    Bit(0x40, "ext-local"),
    Bit(0x80, "via-nat-iface"),
    Bit(B_TO_A, "B-A"),
    Bit(0x200, "host-psnat"),
    Bit(0x400, "svc-self"),
    Bit(0x800, "np-loop"),
    Bit(0x1000, "np-remote"),
    Bit(0x2000, "no-dsr"),
    Bit(0x4000, "no-redir-peer", (3, 30)),
    Bit(0x8000, "cluster-external", (3, 31), (3, 32)),
    Bit(0x8000, "set-DSCP", (3, 32)),
    Bit(0x10000, "maglev", (3, 32)),
    Bit(0x20000, "send-rst", (3, 32)),
    Bit(0x40000, "connlimit-ingress", (3, 33)),
    Bit(0x80000, "connlimit-ingress-rejected", (3, 33)),
    Bit(0x100000, "connlimit-egress", (3, 33)),
    Bit(0x200000, "connlimit-decremented", (3, 33)),
)
"""An entry's flags by the names that Calico's own dump gives them; 0x10 and 0x20 are reserved."""

SYN_SEEN, ACK_SEEN, FIN_SEEN, RST_SEEN = 1, 2, 4, 8
LEG_BITS = (
    Bit(SYN_SEEN, "syn-seen"),
    Bit(ACK_SEEN, "ack-seen"),
    Bit(FIN_SEEN, "fin-seen"),
    Bit(RST_SEEN, "rst-seen"),
    Bit(0x10, "approved"),
    Bit(0x20, "opener"),
    Bit(0x40, "workload", (3, 30)),
)
"""Bits of a leg: what was seen in that direction."""

_KEY = Packing("conntrack key", {16: "<I4s4sHH", 40: "<I16s16sHH"})
_HEADER = Packing("conntrack value's header", {HEADER_SIZE: "<QQBBBB3sB"})
_LEG = Packing(
    "conntrack leg", {struct.calcsize(one.leg_format): one.leg_format for one in LAYOUTS}
)
_PORT = Packing("conntrack value's port", {2: "<H"})


class EntryType(IntEnum):
    """Types of a conntrack entry."""

    NORMAL = 0
    NAT_FWD = 1
    NAT_REV = 2


class Endpoint(NamedTuple):
    """One side of a flow; ``port`` is 0 where the protocol has none in the table."""

    address: Address
    port: int = 0


class Key(NamedTuple):
    """A conntrack key: 16 bytes for IPv4, 40 for IPv6. ``protocol`` is the IP protocol number.

    Which endpoint is side A follows from the addresses (see conntrack_flow), not from who began.
    """

    protocol: int
    a: Endpoint
    b: Endpoint


class Leg(NamedTuple):
    """What was seen in one direction.

    The counters are 0 before 3.30; ``seqno`` is TCP's; ``bits`` are LEG_BITS; ``ifindex`` 0 means
    from this host or not known.
    """

    byte_count: int = 0
    packet_count: int = 0
    seqno: int = 0
    bits: int = 0
    ifindex: int = 0


class Tracking(NamedTuple):
    """The part of a NORMAL or NAT_REV value that tracks the flow.

    ``orig_ip`` and ``orig_port`` are the Service's address before DNAT, ``orig_sip`` and
    ``orig_sport`` the source before SNAT; they mean something in NAT_REV values only.
    """

    a_to_b: Leg
    b_to_a: Leg
    tun_ip: Address
    orig_ip: Address
    orig_port: int
    orig_sport: int
    orig_sip: Address
    padding: bytes = b""


class NatForward(NamedTuple):
    """The part of a NAT_FWD value: the key of its NAT_REV entry, and the new source port or 0."""

    reverse: Key
    nat_sport: int = 0
    padding: bytes = b""


class Opaque(NamedTuple):
    """The bytes behind the header of a value of unknown type."""

    raw: bytes


class Value(NamedTuple):
    """A conntrack value. Times are nanoseconds of CLOCK_MONOTONIC.

    ``first_word`` is the time of creation up to 3.29 and that of the last RST (0: none) from 3.30.
    ``padding`` fields hold what should be zero, without the zeros at their end.
    """

    first_word: int
    last_seen: int
    type: int
    flags: int
    body: Tracking | NatForward | Opaque
    padding: bytes = b""


def decode_key(raw: Buffer) -> Key:
    """The key in 16 or 40 bytes. Raises LayoutError for any other size."""
    protocol, addr_a, addr_b, port_a, port_b = _KEY.unpack(raw)
    return Key(protocol, Endpoint(address(addr_a), port_a), Endpoint(address(addr_b), port_b))


def encode_key(key: Key) -> bytes:
    """The 16 or 40 bytes of a key. Raises LayoutError when a field does not fit."""
    packed_a, packed_b = key.a.address.packed, key.b.address.packed
    if len(packed_a) != len(packed_b):
        raise LayoutError(
            f"conntrack key: {key.a.address} and {key.b.address} are of two families."
        )
    size = 8 + 2 * len(packed_a)
    return _KEY.pack(size, key.protocol, packed_a, packed_b, key.a.port, key.b.port)


def decode_value(raw: Buffer, layout: ConntrackLayout) -> Value:
    """The value in ``raw``. Raises LayoutError unless it has the layout's size."""
    if len(raw) != layout.value_size:
        raise unknown_size("conntrack value of this map", len(raw), [layout.value_size])
    raw = bytes(raw)
    first, seen, kind, low, third, top, padding, second = _HEADER.unpack(raw[:HEADER_SIZE])
    flags = low | second << 8 | third << 16 | top << 24
    return Value(first, seen, kind, flags, _decode_body(raw, kind, layout), trimmed(padding))


def _decode_body(raw: bytes, kind: int, layout: ConntrackLayout) -> Tracking | NatForward | Opaque:
    if kind == EntryType.NAT_FWD:
        reverse = decode_key(raw[HEADER_SIZE : HEADER_SIZE + layout.key_size])
        (port,) = struct.unpack_from("<H", raw, layout.nat_sport)
        return NatForward(reverse, port, trimmed(raw[layout.nat_sport + 2 :]))
    if kind in (EntryType.NORMAL, EntryType.NAT_REV):
        return _decode_tracking(raw, layout)
    return Opaque(raw[HEADER_SIZE:])


def _decode_tracking(raw: bytes, layout: ConntrackLayout) -> Tracking:
    def address_at(offset: int) -> Address:
        return address(raw[offset : offset + layout.address_size])

    return Tracking(
        _decode_leg(raw, layout, layout.legs[0]),
        _decode_leg(raw, layout, layout.legs[1]),
        tun_ip=address_at(layout.tun_ip),
        orig_ip=address_at(layout.orig_ip),
        orig_port=struct.unpack_from("<H", raw, layout.orig_port)[0],
        orig_sport=struct.unpack_from("<H", raw, layout.orig_sport)[0],
        orig_sip=address_at(layout.orig_sip),
        padding=trimmed(raw[layout.tracking_end :]),
    )


def _decode_leg(raw: bytes, layout: ConntrackLayout, offset: int) -> Leg:
    fields = struct.unpack_from(layout.leg_format, raw, offset)
    counted, packets = fields[:2] if layout.counters else (0, 0)
    seqno, bits, ifindex = fields[-3:]
    return Leg(counted, packets, int.from_bytes(seqno, "big"), bits, ifindex)


def encode_value(value: Value, layout: ConntrackLayout) -> bytes:
    """The bytes of a value, exactly those that it was decoded from.

    Raises LayoutError when the layout has no room for a field, as ct2 has none for counters.
    """
    flags = value.flags
    if not 0 <= flags < 1 << 32:
        raise LayoutError(f"conntrack value: flags {flags:#x} are more than 32 bits.")
    header = _HEADER.pack(
        HEADER_SIZE,
        value.first_word,
        value.last_seen,
        value.type,
        flags & 0xFF,
        flags >> 16 & 0xFF,
        flags >> 24,
        _padded(value.padding, 3),
        flags >> 8 & 0xFF,
    )
    return header + _encode_body(value, layout)


def _encode_body(value: Value, layout: ConntrackLayout) -> bytes:
    body, room = value.body, layout.value_size - HEADER_SIZE
    if isinstance(body, NatForward) and value.type == EntryType.NAT_FWD:
        head = encode_key(body.reverse) + _PORT.pack(2, body.nat_sport)
    elif isinstance(body, Tracking) and value.type in (EntryType.NORMAL, EntryType.NAT_REV):
        return _encode_tracking(body, layout)
    elif isinstance(body, Opaque) and value.type > EntryType.NAT_REV:
        return _padded(body.raw, room)
    else:
        raise LayoutError(f"A conntrack value of type {value.type} has no {type(body).__name__}.")
    if len(head) != layout.nat_sport + 2 - HEADER_SIZE:
        raise LayoutError(f"A reverse key of {len(head) - 2} bytes is of another family's map.")
    return head + _padded(body.padding, room - len(head))


def _encode_tracking(body: Tracking, layout: ConntrackLayout) -> bytes:
    fields = {
        layout.legs[0]: _encode_leg(body.a_to_b, layout),
        layout.legs[1]: _encode_leg(body.b_to_a, layout),
        layout.tun_ip: _encode_address(body.tun_ip, layout),
        layout.orig_ip: _encode_address(body.orig_ip, layout),
        layout.orig_port: _PORT.pack(2, body.orig_port),
        layout.orig_sport: _PORT.pack(2, body.orig_sport),
        layout.orig_sip: _encode_address(body.orig_sip, layout),
        layout.tracking_end: _padded(body.padding, layout.value_size - layout.tracking_end),
    }
    return b"".join(fields[offset] for offset in sorted(fields))


def _encode_leg(leg: Leg, layout: ConntrackLayout) -> bytes:
    if not 0 <= leg.seqno < 1 << 32:
        raise LayoutError(f"conntrack leg: seqno {leg.seqno} is more than 32 bits.")
    counts = leg[:2] if layout.counters else ()
    if any(leg[:2]) and not counts:
        raise LayoutError("A leg of a conntrack value of 64 bytes has no room for counters.")
    size = struct.calcsize(layout.leg_format)
    return _LEG.pack(size, *counts, leg.seqno.to_bytes(4, "big"), leg.bits, leg.ifindex)


def _encode_address(one: Address, layout: ConntrackLayout) -> bytes:
    if len(one.packed) != layout.address_size:
        raise LayoutError(f"conntrack value: {one} is no IPv{layout.family} address.")
    return one.packed


def _padded(padding: bytes, size: int) -> bytes:
    if len(padding) > size:
        raise LayoutError(f"conntrack value: {len(padding)} bytes of padding where {size} are.")
    return padding.ljust(size, b"\0")

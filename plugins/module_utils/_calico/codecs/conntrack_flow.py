# SPDX-License-Identifier: GPL-3.0-or-later
"""What a conntrack entry says of its flow: sides, direction, TCP state, and protocol names.

Facts: calico-maps 2.1, 2.2, 3.2 and 3.4 (conntrack.h, ip_addr.h, conntrack/cleanup.go).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..._errors import BadInputError
from .conntrack import (
    ACK_SEEN,
    B_TO_A,
    FIN_SEEN,
    FWD_DSR,
    RST_SEEN,
    SYN_SEEN,
    Endpoint,
    Key,
    NatForward,
    Tracking,
    Value,
)

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
PROTOCOLS = {
    ICMP: "icmp",
    2: "igmp",
    4: "ipip",
    TCP: "tcp",
    UDP: "udp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    ICMPV6: "icmpv6",
    132: "sctp",
    136: "udplite",
}
"""Names of IP protocols by number (IANA's keywords in lower case; 4 as Calico calls it)."""
WITH_PORTS = frozenset({TCP, UDP})
"""Protocols whose ports Calico parses; for all others both ports of a key are 0."""


def protocol_name(number: int) -> str:
    """The name of an IP protocol, or its number where no name is known here."""
    return PROTOCOLS.get(number, str(number))


def protocol_number(parameter: str, name: str) -> int:
    """The number of a protocol given by name or number. Raises BadInputError."""
    numbers = {known: number for number, known in PROTOCOLS.items()}
    if name.lower() in numbers:
        return numbers[name.lower()]
    if name.isascii() and name.isdigit() and int(name) <= 0xFF:
        return int(name)
    raise BadInputError(
        parameter, name, f"is neither a number from 0 to 255 nor one of {', '.join(numbers)}"
    )


class Flow(NamedTuple):
    """A key, and whether the source became its side B (flag 0x100 of the entry)."""

    key: Key
    from_b: bool


def make_key(protocol: int, source: Endpoint, destination: Endpoint) -> Flow:
    """The key of the flow from ``source`` to ``destination``.

    Raises BadInputError for endpoints of two families, and for numbers that no such key has.
    """
    if not 0 <= protocol <= 0xFF:
        raise BadInputError("protocol", protocol, "is not a number from 0 to 255")
    if source.address.version != destination.address.version:
        raise BadInputError(
            "destination", str(destination.address), f"is not of the family of {source.address}"
        )
    for parameter, end in (("source", source), ("destination", destination)):
        if end.port and protocol not in WITH_PORTS:
            allowed = f"goes with tcp and udp only: {protocol_name(protocol)} has no ports there"
            raise BadInputError(f"{parameter} port", end.port, allowed)
        if not 0 <= end.port <= 0xFFFF:
            raise BadInputError(f"{parameter} port", end.port, "is not a number from 0 to 65535")
    if _rank(source) < _rank(destination):
        return Flow(Key(protocol, source, destination), False)
    return Flow(Key(protocol, destination, source), True)


def _rank(end: Endpoint) -> tuple[int, ...]:
    """What the programs compare: the address as words that a little-endian CPU loads, the port."""
    packed = end.address.packed
    return (*struct.unpack(f"<{len(packed) // 4}I", packed), end.port)


def originator(key: Key, flags: int) -> Endpoint:
    """The side that began a NORMAL or NAT_REV flow."""
    return key.b if flags & B_TO_A else key.a


def destination(key: Key, flags: int) -> Endpoint:
    """The side that a NORMAL or NAT_REV flow was begun to."""
    return key.a if flags & B_TO_A else key.b


def tcp_state(flags: int, bits_a: int, bits_b: int) -> str:
    """The TCP state that the bits of the two legs (in either order) amount to.

    RST: a leg has seen one. TIME_WAIT: a FIN on both legs, or on one where this node sees one
    direction only (fwd-dsr). FIN_WAIT: a FIN on one leg. ESTABLISHED: SYN and ACK on both, or
    fwd-dsr. SYN_RECV: a SYN on both. SYN_SENT: on one. NONE: on none, the flow was met half-way.
    RST, TIME_WAIT and ESTABLISHED are those that Calico's expiry knows; FIN_WAIT expires like
    the handshake state it was reached from.
    """
    one_way = flags & FWD_DSR
    either, both = bits_a | bits_b, bits_a & bits_b
    if either & RST_SEEN:
        return "RST"
    if either & FIN_SEEN:
        return "TIME_WAIT" if one_way or both & FIN_SEEN else "FIN_WAIT"
    if one_way or established(bits_a, bits_b):
        return "ESTABLISHED"
    if both & SYN_SEEN:
        return "SYN_RECV"
    return "SYN_SENT" if either & SYN_SEEN else "NONE"


def established(bits_a: int, bits_b: int) -> bool:
    """Whether both legs have seen SYN and ACK."""
    handshake = SYN_SEEN | ACK_SEEN
    return bits_a & bits_b & handshake == handshake


def state_of(key: Key, value: Value) -> str | None:
    """The TCP state of an entry; None for other protocols and for NAT_FWD (see its NAT_REV)."""
    if key.protocol != TCP or not isinstance(value.body, Tracking):
        return None
    return tcp_state(value.flags, value.body.a_to_b.bits, value.body.b_to_a.bits)


class NatSides(NamedTuple):
    """Who is who in a flow to a Service: client and service before DNAT, backend after it."""

    client: Endpoint
    service: Endpoint
    backend: Endpoint


def nat_sides(key: Key, forward: NatForward) -> NatSides | None:
    """The roles in a NAT_FWD entry: the side that its NAT_REV key shares with it is the client.

    Where the source port was rewritten, the shared side has ``nat_sport`` in the NAT_REV key.
    None when no side is shared, as for a host program whose source address changed as well.
    """
    ends, reverse = (key.a, key.b), (forward.reverse.a, forward.reverse.b)
    for backend, shared in ((reverse[1], reverse[0]), (reverse[0], reverse[1])):
        for client, service in (ends, ends[::-1]):
            if shared == (client.address, forward.nat_sport or client.port):
                return NatSides(client, service, backend)
    return None

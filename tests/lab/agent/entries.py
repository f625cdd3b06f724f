# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack entries of every version of Calico's maps, and when felix calls one expired.

Also used outside nodes, by the lab's own comparison of dumps.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

SECOND = 1_000_000_000
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NORMAL, NAT_FWD, NAT_REV = 0, 1, 2
SYN_SEEN, ACK_SEEN, FIN_SEEN, RST_SEEN = 0x1, 0x2, 0x4, 0x8
FLAG_FWD_DSR = 0x2
GRACE = 10 * SECOND
IDLE_AFTER_RST = 120 * SECOND


class Layout(NamedTuple):
    """Sizes and offsets in bytes; leg offsets count from the leg's start."""

    key: int
    value: int
    address: int
    leg: int
    seqno: int
    bits: int
    tunnel: int
    original: int
    original_port: int
    original_source: int

    @property
    def record(self) -> int:
        """Key and value."""
        return self.key + self.value


CT2 = Layout(16, 64, 4, 12, 0, 4, 56, 48, 52, 60)
V4 = Layout(16, 88, 4, 24, 12, 16, 72, 76, 80, 84)
V6 = Layout(40, 128, 16, 24, 12, 16, 72, 88, 104, 108)
LAYOUTS = {(one.key, one.value): one for one in (CT2, V4, V6)}


class Timeouts(NamedTuple):
    """Nanoseconds without a packet after which felix drops an entry."""

    syn: int = 20 * SECOND
    established: int = 3600 * SECOND
    fins: int = 30 * SECOND
    rst: int = 40 * SECOND
    udp: int = 60 * SECOND
    icmp: int = 5 * SECOND
    generic: int = 600 * SECOND


class Rules(NamedTuple):
    """How a release judges entries."""

    timeouts: Timeouts = Timeouts()
    # The first field is the time of the last RST (from 3.30 on), no longer of creation.
    rst_seen: bool = False
    # Before 3.28, ICMPv6 has the timeout of unknown protocols.
    icmpv6: bool = True


def protocol(key: bytes) -> int:
    """IP protocol number."""
    return int.from_bytes(key[:4], "little")


def addresses(key: bytes) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address]:
    """Side A and side B of a key of 16 or 40 bytes."""
    if len(key) == V4.key:
        return IPv4Address(key[4:8]), IPv4Address(key[8:12])
    return IPv6Address(key[4:20]), IPv6Address(key[20:36])


def describe(key: bytes) -> str:
    """A key for people."""
    port_a, port_b = struct.unpack("<HH", key[-4:])
    a, b = addresses(key)
    form = "{}:{}" if len(key) == V4.key else "[{}]:{}"
    sides = form.format(a, port_a), form.format(b, port_b)
    return f"protocol {protocol(key)} {sides[0]} {sides[1]}"


def first_field(value: bytes) -> int:
    """CLOCK_MONOTONIC nanoseconds: creation, or from 3.30 on the last RST (0: none)."""
    return int.from_bytes(value[:8], "little")


def last_seen(value: bytes) -> int:
    """CLOCK_MONOTONIC nanoseconds of the flow's last packet."""
    return int.from_bytes(value[8:16], "little")


def reverse_key(layout: Layout, value: bytes) -> bytes:
    """The NAT_REV entry to which a NAT_FWD entry points."""
    return value[24 : 24 + layout.key]


def essence(layout: Layout, value: bytes) -> tuple[bytes, ...]:
    """What an upgrade of the map keeps, in one form for all layouts; no first field."""
    if value[16] == NAT_FWD:
        end = 24 + layout.key
        return value[8:24], value[24 : end + 2]
    legs = (24, 24 + layout.leg)
    width = layout.address
    fields = (layout.tunnel, layout.original, layout.original_source)
    return (
        value[8:24],
        *(value[leg + layout.seqno : leg + layout.seqno + 4] for leg in legs),
        *(value[leg + layout.bits : leg + layout.bits + 8] for leg in legs),
        *(value[at : at + width] for at in fields),
        value[layout.original_port : layout.original_port + 4],
    )


def rules_of(version: str | None, time_wait: int | None) -> Rules:
    """Rules of a release (None: the agent's first form); ``time_wait``: the kernel's, seconds."""
    minor = int(version.split(".")[1]) if version else 29
    timeouts = Timeouts()
    if minor >= 30 and time_wait is not None:
        timeouts = timeouts._replace(fins=time_wait * SECOND)
    return Rules(timeouts, rst_seen=minor >= 30, icmpv6=minor >= 28)


def expired(
    layout: Layout,
    entry: tuple[bytes, bytes],
    find: Callable[[bytes], bytes | None],
    now: int,
    rules: Rules,
) -> bool:
    """Whether felix would drop the entry at ``now``; ``find`` looks up a NAT_REV entry."""
    key, value = entry
    if value[16] == NAT_FWD:
        reverse = find(reverse_key(layout, value))
        return reverse is None or _expired(layout, key, reverse, now, rules)
    return value[16] in (NORMAL, NAT_REV) and _expired(layout, key, value, now, rules)


def _expired(layout: Layout, key: bytes, value: bytes, now: int, rules: Rules) -> bool:
    if not rules.rst_seen and now - first_field(value) < GRACE:
        return False
    age = now - last_seen(value)
    kind = protocol(key)
    if kind == TCP:
        return _tcp_expired(layout, value, age, rules)
    limits = {UDP: rules.timeouts.udp, ICMP: rules.timeouts.icmp}
    if rules.icmpv6:
        limits[ICMPV6] = rules.timeouts.icmp
    return age > limits.get(kind, rules.timeouts.generic)


def _tcp_expired(layout: Layout, value: bytes, age: int, rules: Rules) -> bool:
    legs = [value[24 + layout.leg * leg + layout.bits] for leg in (0, 1)]
    both, either = legs[0] & legs[1], legs[0] | legs[1]
    dsr = bool(value[17] & FLAG_FWD_DSR)
    if either & RST_SEEN and age > rules.timeouts.rst:
        return True
    if (either if dsr else both) & FIN_SEEN and age > rules.timeouts.fins:
        return True
    if not dsr and both & (SYN_SEEN | ACK_SEEN) != SYN_SEEN | ACK_SEEN:
        return age > rules.timeouts.syn
    reset = rules.rst_seen and first_field(value) and age > IDLE_AFTER_RST
    return bool(reset) or age > rules.timeouts.established

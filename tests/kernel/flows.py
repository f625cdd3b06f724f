# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack entries packed by the facts' offsets, for tables that raw bpf(2) fills."""

from __future__ import annotations

import socket
import struct
import time

SECOND = 10**9
TCP, UDP = 6, 17
SYN_ACK = 0b11
ESTABLISHED = (SYN_ACK, SYN_ACK)
NORMAL, NAT_FWD, NAT_REV = 0, 1, 2


def key4(protocol: int, a: str, port_a: int, b: str, port_b: int) -> bytes:
    ends = socket.inet_aton(a), socket.inet_aton(b)
    return struct.pack("<I4s4sHH", protocol, *ends, port_a, port_b)


def key6(protocol: int, a: str, port_a: int, b: str, port_b: int) -> bytes:
    ends = (socket.inet_pton(socket.AF_INET6, text) for text in (a, b))
    return struct.pack("<I16s16sHH", protocol, *ends, port_a, port_b)


def value(
    idle: float,
    kind: int = NORMAL,
    bits: tuple[int, int] = (0, 0),
    from_b: bool = False,
    word: int = 0,
) -> bytes:
    """A value last seen ``idle`` seconds ago; ``word`` is when it was created, or saw an RST."""
    raw = bytearray(88)
    struct.pack_into("<QQB", raw, 0, word, time.monotonic_ns() - int(idle * SECOND), kind)
    raw[23] = from_b
    struct.pack_into("<I", raw, 24 + 16, bits[0])
    struct.pack_into("<I", raw, 48 + 16, bits[1])
    return bytes(raw)


def forward(reverse: bytes, idle: float = 0) -> bytes:
    """The NAT_FWD value that points at the key of a NAT_REV entry."""
    raw = bytearray(value(idle, NAT_FWD))
    raw[24 : 24 + len(reverse)] = reverse
    return bytes(raw)


def last_seen(raw: bytes) -> int:
    return int(struct.unpack_from("<Q", raw, 8)[0])


def first_word(raw: bytes) -> int:
    return int(struct.unpack_from("<Q", raw, 0)[0])

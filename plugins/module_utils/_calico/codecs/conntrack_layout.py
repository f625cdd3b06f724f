# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the fields of a conntrack value are, by the sizes of key and value.

The map version alone says nothing about the bytes: cali_v4_ct3 and cali_v4_ct4 are the same
(facts: calico-maps 2.1 to 2.3, from conntrack_types.h and conntrack/v2, v3, v4 of 3.26 to 3.32).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .fields import LayoutError


class FirstWord(Enum):
    """What bytes 0 to 7 of a value mean: they changed in 3.30 without a new map version."""

    CREATED = "created"
    RST_SEEN = "rst_seen"


class ConntrackLayout(NamedTuple):
    """Sizes and offsets in bytes of one conntrack map's key and value.

    All layouts have the 24-byte header and the reverse key of a NAT_FWD value behind it.
    ``bits_in_leg`` is where the TCP bits are in a leg; ``counters`` tells whether a leg counts
    bytes and packets; ``tracking_end`` is where a NORMAL or NAT_REV value's padding begins.
    """

    family: int
    key_size: int
    value_size: int
    leg_format: str
    legs: tuple[int, int]
    bits_in_leg: int
    counters: bool
    tun_ip: int
    orig_ip: int
    orig_port: int
    orig_sport: int
    orig_sip: int
    nat_sport: int
    tracking_end: int

    @property
    def address_size(self) -> int:
        """Bytes of an address."""
        return 4 if self.family == 4 else 16


HEADER_SIZE = 24
LAST_SEEN = 8
"""Offset of last_seen in every layout."""
TYPE = 16
"""Offset of the entry's type in every layout."""

V2 = ConntrackLayout(
    family=4,
    key_size=16,
    value_size=64,
    leg_format="<4sII",
    legs=(24, 36),
    bits_in_leg=4,
    counters=False,
    tun_ip=56,
    orig_ip=48,
    orig_port=52,
    orig_sport=54,
    orig_sip=60,
    nat_sport=40,
    tracking_end=64,
)
"""cali_v4_ct2, before 3.24; only the source of an upgrade."""

V3_IPV4 = ConntrackLayout(
    family=4,
    key_size=16,
    value_size=88,
    leg_format="<QI4sII",
    legs=(24, 48),
    bits_in_leg=16,
    counters=True,
    tun_ip=72,
    orig_ip=76,
    orig_port=80,
    orig_sport=82,
    orig_sip=84,
    nat_sport=40,
    tracking_end=88,
)
"""cali_v4_ct3 (3.24 to 3.30) and cali_v4_ct4 (3.31 and later)."""

V3_IPV6 = ConntrackLayout(
    family=6,
    key_size=40,
    value_size=128,
    leg_format="<QI4sII",
    legs=(24, 48),
    bits_in_leg=16,
    counters=True,
    tun_ip=72,
    orig_ip=88,
    orig_port=104,
    orig_sport=106,
    orig_sip=108,
    nat_sport=64,
    tracking_end=124,
)
"""cali_v6_ct3 (3.27 to 3.30) and cali_v6_ct4 (3.31 and later)."""

LAYOUTS = (V2, V3_IPV4, V3_IPV6)


def conntrack_layout(key_size: int, value_size: int) -> ConntrackLayout:
    """The layout of a conntrack map. Raises LayoutError for sizes that no known release has."""
    for layout in LAYOUTS:
        if (layout.key_size, layout.value_size) == (key_size, value_size):
            return layout
    known = ", ".join(f"{layout.key_size}/{layout.value_size}" for layout in LAYOUTS)
    raise LayoutError(
        f"A conntrack map with keys of {key_size} and values of {value_size} bytes has no known "
        f"layout; known are {known} bytes."
    )

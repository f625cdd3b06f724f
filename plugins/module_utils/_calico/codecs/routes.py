# SPDX-License-Identifier: GPL-3.0-or-later
"""The route map: what an address is to Calico, and where packets to it go.

Facts: calico-maps 4.5 (routes/map.go, map6.go, routes.h of 3.26 to 3.32).
"""

from __future__ import annotations

from typing import NamedTuple

from .fields import Address, Bit, Buffer, Packing, address

WORKLOAD, LOCAL, HOST, TUNNELED = 0x4, 0x8, 0x10, 0x40
FLAGS = (
    Bit(0x1, "in-ipam-pool"),
    Bit(0x2, "nat-outgoing"),
    Bit(WORKLOAD, "workload"),
    Bit(LOCAL, "local"),
    Bit(HOST, "host"),
    Bit(0x20, "same-subnet"),
    Bit(TUNNELED, "tunneled"),
    Bit(0x80, "no-dsr"),
    Bit(0x100, "blackhole-drop", (3, 27, 5)),
    Bit(0x200, "blackhole-reject", (3, 27, 5)),
    Bit(0x400, "vxlan", (3, 31)),
    Bit(0x800, "vm-workload", (3, 30), (3, 31)),
    Bit(0x800, "skip-ingress-redirect", (3, 31)),
)
"""Flags of a route."""

_KEY = Packing("route key", {8: "<I4s", 20: "<I16s"})
_VALUE = Packing("route value", {8: "<I4s", 20: "<I16s"})


class RouteKey(NamedTuple):
    """A destination: 8 bytes for IPv4, 20 for IPv6. ``prefix_length`` in bits."""

    prefix_length: int
    address: Address


class Route(NamedTuple):
    """A route's value: 8 bytes for IPv4, 20 for IPv6.

    ``target`` is 4 or 16 bytes: the interface of a local workload, for all else the next hop.
    """

    flags: int
    target: bytes

    @property
    def ifindex(self) -> int | None:
        """The interface of a local workload; None for any other route."""
        if self.flags & (WORKLOAD | LOCAL) != WORKLOAD | LOCAL:
            return None
        return int.from_bytes(self.target[:4], "little")

    @property
    def next_hop(self) -> Address | None:
        """The next hop; None for a local workload. The unspecified address means none is set."""
        return address(self.target) if self.ifindex is None else None


def decode_route_key(raw: Buffer) -> RouteKey:
    """The key in 8 or 20 bytes. Raises LayoutError for any other size."""
    length, packed = _KEY.unpack(raw)
    return RouteKey(length, address(packed))


def encode_route_key(key: RouteKey) -> bytes:
    """The 8 or 20 bytes of a route's key. Raises LayoutError when a field does not fit."""
    packed = key.address.packed
    return _KEY.pack(4 + len(packed), key.prefix_length, packed)


def decode_route(raw: Buffer) -> Route:
    """The value in 8 or 20 bytes. Raises LayoutError for any other size."""
    return Route(*_VALUE.unpack(raw))


def encode_route(value: Route) -> bytes:
    """The 8 or 20 bytes of a route's value. Raises LayoutError when a field does not fit."""
    return _VALUE.pack(4 + len(value.target), value.flags, value.target)

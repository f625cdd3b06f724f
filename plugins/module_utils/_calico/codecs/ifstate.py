# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the interface state map: cali_iface2 (3.26), cali_iface3 (3.27), cali_iface4 (3.28+).

Facts: calico-programs 3.1 and calico-maps 4.6 (ifstate/map.go, ifstate.h). Whether "ingress" in a
field's name is that of the policy or that of the kernel's hook depends on the release: the policy
up to 3.31.2, the hook from 3.31.3; the bytes do not tell.
"""

from __future__ import annotations

from typing import NamedTuple

from .fields import Bit, Buffer, LayoutError, Packing, text, unknown_size

FLAGS = (
    Bit(0x1, "workload"),
    Bit(0x2, "ready", (3,), (3, 28)),
    Bit(0x2, "ipv4-ready", (3, 28)),
    Bit(0x4, "ipv6-ready", (3, 28)),
    Bit(0x8, "host", (3, 28)),
    Bit(0x10, "bond", (3, 28)),
    Bit(0x20, "bond-slave", (3, 28)),
    Bit(0x40, "vxlan", (3, 28)),
    Bit(0x80, "ipip", (3, 28)),
    Bit(0x100, "wireguard", (3, 28)),
    Bit(0x200, "l3", (3, 28)),
    Bit(0x400, "not-managed", (3, 29, 4)),
)
"""Flags of an interface; "workload" and "host" are Calico's WEP and HEP."""

NONE = -1
"""An index that points nowhere."""

_FILTERS = ("filter_ingress", "filter_egress")
_V4 = ("xdp_v4", "ingress_v4", "egress_v4")
_V6 = ("xdp_v6", "ingress_v6", "egress_v6")
INDEXES = {20: (), 40: (*_V4, *_FILTERS), 52: (*_V4, *_V6, *_FILTERS)}
"""The indexes in a value in their order, by its size in bytes; they begin at byte 20."""

_KEY = Packing("interface state key", {4: "<I"})
_VALUE = Packing(
    "interface state value", {size: f"<I16s{len(names)}i" for size, names in INDEXES.items()}
)


class IfState(NamedTuple):
    """An interface as Calico's programs see it.

    ``raw_name`` is the name in 16 bytes. Policy and filter fields are slots of the jump maps, -1
    for none, and None where the layout has no such field. 3.27 has one set of policies for the
    one family that it runs; it is in the fields for IPv4.
    """

    flags: int
    raw_name: bytes
    xdp_v4: int | None = None
    ingress_v4: int | None = None
    egress_v4: int | None = None
    xdp_v6: int | None = None
    ingress_v6: int | None = None
    egress_v6: int | None = None
    filter_ingress: int | None = None
    filter_egress: int | None = None

    @property
    def name(self) -> str:
        """The interface's name."""
        return text(self.raw_name)


def decode_ifindex(raw: Buffer) -> int:
    """The ifindex in a key of 4 bytes. Raises LayoutError for any other size."""
    (ifindex,) = _KEY.unpack(raw)
    return int(ifindex)


def encode_ifindex(ifindex: int) -> bytes:
    """The 4 bytes of a key. Raises LayoutError when the ifindex does not fit."""
    return _KEY.pack(4, ifindex)


def decode_ifstate(raw: Buffer) -> IfState:
    """The value in 20, 40 or 52 bytes. Raises LayoutError for any other size."""
    flags, name, *slots = _VALUE.unpack(raw)
    return IfState(flags, name, **dict(zip(INDEXES[len(raw)], slots)))


def encode_ifstate(value: IfState, size: int) -> bytes:
    """The bytes of a value of 20, 40 or 52 bytes.

    Raises LayoutError when the value has an index that the layout has not, or lacks one.
    """
    if size not in INDEXES:
        raise unknown_size("interface state value", size, INDEXES)
    present = {name for name in (*_V4, *_V6, *_FILTERS) if getattr(value, name) is not None}
    if present != set(INDEXES[size]):
        different = ", ".join(sorted(present ^ set(INDEXES[size])))
        raise LayoutError(f"interface state value of {size} bytes: {different} do not match.")
    slots = (getattr(value, name) for name in INDEXES[size])
    return _VALUE.pack(size, value.flags, value.raw_name, *slots)

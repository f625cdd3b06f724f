# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the fields of a preamble's read-only data are, by the size of that map's value.

A layout is data: fields with their struct formats, in order, without gaps (padding is a field).
Facts: calico-programs 2.1 (BTF of the compiled objects of 3.26 to 3.32 and master).
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Tuple

from .fields import Bit, unknown_size

NO_SLOT = 0xFFFFFFFF
"""A jump or log filter that is not there."""

FLAGS = (
    Bit(0x1, "ipv6-enabled", (3,), (3, 28)),
    Bit(0x10, "rpf"),
    Bit(0x20, "rpf-strict"),
    Bit(0x80, "no-dsr-cidrs"),
    Bit(0x100, "lo-udp-only"),
    Bit(0x200, "redirect-peer", (3, 29), (3, 30)),
    Bit(0x400, "redirect-peer", (3, 30)),
    Bit(0x800, "flow-logs", (3, 30)),
    Bit(0x1000, "natout-exclude-hosts", (3, 31)),
    Bit(0x2000, "skip-egress-redirect", (3, 31)),
    Bit(0x4000, "ingress-packet-rate", (3, 31)),
    Bit(0x8000, "egress-packet-rate", (3, 31)),
    Bit(0x10000, "udp-gso-linearize", (3, 32)),
    Bit(0x20000, "src-spoofing", (3, 32)),
    Bit(0x40000, "connection-limit", (3, 33)),
    Bit(0x80000, "connection-limit", (3, 33)),
)
"""Flags of the globals; the two connection limits are not told apart in the facts."""

_PROGRAMS = (
    "main",
    "policy",
    "allowed",
    "icmp",
    "drop",
    "host-ct-conflict",
    "icmp-inner-nat",
    "new-flow",
    "ip-frag",
    "maglev",
    "tcp-rst",
)
POLICY = 1
"""The index in ``jumps`` whose value is a slot of a cali_jump* map; the others' are cali_progs*."""

Fields = Tuple[Tuple[str, str], ...]
"""Names and struct formats."""


def _common(address: str) -> Fields:
    return (
        ("host_ip", address),
        ("tunnel_mtu", "H"),
        ("vxlan_port", "H"),
        ("intf_ip", address),
        ("ext_to_svc_mark", "I"),
        ("psnat_start", "H"),
        ("psnat_len", "H"),
        ("host_tunnel_ip", address),
        ("flags", "I"),
        ("wg_port", "H"),
        ("profiling", "H"),
        ("natin_idx", "I"),
        ("natout_idx", "I"),
    )


_NAME: Fields = (("raw_iface_name", "16s"),)
_JUMPS: Fields = (("log_filter_jmp", "I"), ("jumps", "160s"))
_TUNNEL_ID: Fields = (("overlay_tunnel_id", "I"),)
_SHARED_3_31 = (*_common("16s"), *_TUNNEL_ID, *_NAME, *_JUMPS, ("dscp", "b"))
_SHARED_3_32 = (*_SHARED_3_31, ("istio_dscp", "b"), ("padding", "2s"), ("maglev_lut_size", "I"))


class PreambleLayout(NamedTuple):
    """The value of a preamble's rodata map: one part, or one for each family.

    ``families`` are those of the parts in their order; ``programs`` counts the kinds of programs
    at the begin of ``jumps``, which the same number for debugging follows.
    """

    families: tuple[int, ...]
    part: Fields
    programs: int = 0

    @property
    def part_format(self) -> str:
        """The struct format of one part."""
        return "<" + "".join(field_format for _name, field_format in self.part)

    @property
    def part_size(self) -> int:
        """Bytes of one part."""
        return struct.calcsize(self.part_format)

    @property
    def jump_names(self) -> tuple[str, ...]:
        """What the first indexes of ``jumps`` stand for; those behind them are unused."""
        names = _PROGRAMS[: self.programs]
        return (*names, *(f"{name}-debug" for name in names))


LAYOUTS = {
    56: PreambleLayout((4,), (*_common("4s"), *_NAME)),
    220: PreambleLayout((4,), (*_common("4s"), *_NAME, *_JUMPS), 8),
    256: PreambleLayout((6,), (*_common("16s"), *_NAME, *_JUMPS), 8),
    512: PreambleLayout((4, 6), (*_common("16s"), *_NAME, *_JUMPS), 8),
    528: PreambleLayout((4, 6), (*_SHARED_3_31, ("padding", "3s")), 9),
    536: PreambleLayout((4, 6), _SHARED_3_32, 11),
    552: PreambleLayout(
        (4, 6), (*_SHARED_3_32, ("ipfrag_timeout", "I"), ("host_ifindex", "I")), 11
    ),
}
"""3.26 (each program has its globals) · 3.27 IPv4 · 3.27 IPv6 · 3.28 to 3.30 · 3.31 · 3.32 ·
the release after it."""


def preamble_layout(size: int) -> PreambleLayout:
    """The layout of a rodata value of ``size`` bytes. Raises LayoutError for an unknown size."""
    if size not in LAYOUTS:
        raise unknown_size("preamble's read-only data", size, LAYOUTS)
    return LAYOUTS[size]

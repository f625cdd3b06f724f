# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts of the constants in entry programs: programs 2.1 (read from the BTF of the objects)."""

from __future__ import annotations

from typing import NamedTuple

from ..rows import since
from ..versions import VersionSet


class GlobalsLayout(NamedTuple):
    """A layout; offsets and sizes in bytes.

    ``program`` is tc, xdp or connect. ``family`` is 0 where both families are in the value or it
    serves either. ``map_name`` is the map's kernel name, empty where it depends on the object
    file. ``halves`` are the offsets of the structs in the value: IPv4's, then IPv6's.
    ``fields`` are name, offset in the struct, size.
    """

    program: str
    family: int
    releases: VersionSet
    map_name: str
    value_size: int
    struct_size: int
    halves: tuple[int, ...]
    fields: tuple[tuple[str, int, int], ...]
    source: str
    certain: bool = True


_SOURCE = "programs 0, 2.1"
_HEAD_V4 = (
    ("host_ip", 0, 4),
    ("tunnel_mtu", 4, 2),
    ("vxlan_port", 6, 2),
    ("intf_ip", 8, 4),
    ("ext_to_svc_mark", 12, 4),
    ("psnat_start", 16, 2),
    ("psnat_len", 18, 2),
    ("host_tunnel_ip", 20, 4),
    ("flags", 24, 4),
    ("wg_port", 28, 2),
    ("natin_idx", 32, 4),
    ("natout_idx", 36, 4),
    ("iface_name", 40, 16),
)
_HEAD = (
    ("host_ip", 0, 16),
    ("tunnel_mtu", 16, 2),
    ("vxlan_port", 18, 2),
    ("intf_ip", 20, 16),
    ("ext_to_svc_mark", 36, 4),
    ("psnat_start", 40, 2),
    ("psnat_len", 42, 2),
    ("host_tunnel_ip", 44, 16),
    ("flags", 60, 4),
    ("wg_port", 64, 2),
)
_NAT_INDICES = (("natin_idx", 68, 4), ("natout_idx", 72, 4))
_HEAD_3_27 = (*_HEAD, *_NAT_INDICES)
_HEAD_3_30 = (*_HEAD, ("profiling", 66, 2), *_NAT_INDICES)
_TAIL_3_27 = (("iface_name", 76, 16), ("log_filter_jmp", 92, 4), ("jumps", 96, 160))
_TAIL_3_31 = (
    ("overlay_tunnel_id", 76, 4),
    ("iface_name", 80, 16),
    ("log_filter_jmp", 96, 4),
    ("jumps", 100, 160),
    ("dscp", 260, 1),
)
_TAIL_3_32 = (*_TAIL_3_31, ("istio_dscp", 261, 1), ("maglev_lut_size", 264, 4))
_TAIL_3_33 = (*_TAIL_3_32, ("ipfrag_timeout", 268, 4), ("host_ifindex", 272, 4))
_XDP = (("iface_name", 0, 16), ("jumps", 16, 64))
_CONNECT = (("udp_not_seen_timeo", 0, 4), ("exclude_udp", 4, 1))
_TC = "tc_pream.rodata"

ROWS: tuple[GlobalsLayout, ...] = (
    GlobalsLayout("tc", 0, since("3.26"), "", 56, 56, (0,), _HEAD_V4, _SOURCE),
    GlobalsLayout(
        "tc",
        4,
        since("3.27"),
        _TC,
        220,
        220,
        (0,),
        (*_HEAD_V4, ("log_filter_jmp", 56, 4), ("jumps", 60, 160)),
        _SOURCE,
    ),
    GlobalsLayout("tc", 6, since("3.27"), _TC, 256, 256, (0,), _HEAD_3_27 + _TAIL_3_27, _SOURCE),
    GlobalsLayout(
        "tc", 0, since(">=3.28,<3.30"), _TC, 512, 256, (0, 256), _HEAD_3_27 + _TAIL_3_27, _SOURCE
    ),
    GlobalsLayout(
        "tc",
        0,
        since("3.30"),
        _TC,
        512,
        256,
        (0, 256),
        _HEAD_3_30 + _TAIL_3_27,
        _SOURCE,
    ),
    GlobalsLayout(
        "tc",
        0,
        since(">=3.31"),
        _TC,
        528,
        264,
        (0, 264),
        _HEAD_3_30 + _TAIL_3_31,
        _SOURCE,
    ),
    GlobalsLayout(
        "tc",
        0,
        since(">=3.32"),
        _TC,
        536,
        268,
        (0, 268),
        _HEAD_3_30 + _TAIL_3_32,
        _SOURCE,
    ),
    GlobalsLayout(
        "tc",
        0,
        since(">=3.33"),
        _TC,
        552,
        276,
        (0, 276),
        _HEAD_3_30 + _TAIL_3_33,
        _SOURCE,
        certain=False,
    ),
    GlobalsLayout("xdp", 0, since("3.27"), "xdp_prea.rodata", 80, 80, (0,), _XDP, _SOURCE),
    GlobalsLayout("xdp", 0, since(">=3.28"), "xdp_prea.rodata", 160, 80, (0, 80), _XDP, _SOURCE),
    GlobalsLayout(
        "connect", 0, since(">=3.26"), "connect_.rodata", 8, 8, (0,), _CONNECT, "programs 4.1"
    ),
)

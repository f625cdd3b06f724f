# SPDX-License-Identifier: GPL-3.0-or-later
"""What the indices of tail calls mean, and which maps they are for: programs 2.1, 2.3."""

from __future__ import annotations

from typing import NamedTuple

from ..rows import since
from ..versions import VersionSet


class JumpIndices(NamedTuple):
    """Meaning of each index, in order from 0.

    ``kind``: ``map``: an index is a slot of the interface's own jump map (no preamble);
    ``jumps``: an index into the preamble's ``jumps``, whose value is a slot of the progs map
    (policy: of the jump map). From ``debug`` on the same names follow again for the programs
    that log; None without them.
    """

    releases: VersionSet
    kind: str
    names: tuple[str, ...]
    debug: int | None
    source: str
    certain: bool = True


class JumpMaps(NamedTuple):
    """The program arrays of a hook: ``progs`` empty where ``jump`` holds all.

    ``entries`` entry points share ``jump`` between policy and log filters; part n of a policy
    stands n times ``stride`` above its entry point (0: policies have one part).
    """

    hook: str
    releases: VersionSet
    progs: str
    jump: str
    entries: int
    stride: int
    source: str
    certain: bool = True


_COMMON = (
    "main",
    "policy",
    "allowed",
    "icmp",
    "drop",
    "host_ct_conflict",
    "icmp_inner_nat",
    "new_flow",
)
_SLOTS_3_26 = (
    "reserved",
    "reserved",
    "policy",
    "allowed",
    "icmp",
    "drop",
    "host_ct_conflict",
    "prologue_v6",
    "policy_v6",
    "allowed_v6",
    "icmp_v6",
    "drop_v6",
)
_SOURCE = "programs 2.3, felix/bpf-gpl/jump.h"

INDICES: tuple[JumpIndices, ...] = (
    JumpIndices(since("3.26"), "map", _SLOTS_3_26, None, _SOURCE),
    JumpIndices(since(">=3.27,<3.31"), "jumps", _COMMON, 8, "programs 2.1"),
    JumpIndices(since("3.31"), "jumps", (*_COMMON, "ip_frag"), 9, "programs 2.1"),
    JumpIndices(
        since(">=3.32"), "jumps", (*_COMMON, "ip_frag", "maglev", "tcp_rst"), 11, "programs 2.1"
    ),
)

JUMP_MAPS: tuple[JumpMaps, ...] = (
    JumpMaps("ingress", since("3.26"), "", "cali_jump3", 32, 0, _SOURCE),
    JumpMaps("egress", since("3.26"), "", "cali_jump3", 32, 0, _SOURCE),
    JumpMaps("xdp", since("3.26"), "", "cali_jump3", 32, 0, _SOURCE),
    JumpMaps("ingress", since("3.27"), "cali_progs2", "cali_jump2", 10000, 0, _SOURCE),
    JumpMaps("egress", since("3.27"), "cali_progs2", "cali_jump2", 10000, 0, _SOURCE),
    JumpMaps("xdp", since("3.27"), "xdp_cali_progs2", "xdp_cali_jump2", 100, 0, _SOURCE),
    JumpMaps(
        "ingress", since(">=3.28,<3.31.3"), "cali_progs3", "cali_jump3", 10000, 10000, _SOURCE
    ),
    JumpMaps("egress", since(">=3.28,<3.31.3"), "cali_progs3", "cali_jump3", 10000, 10000, _SOURCE),
    JumpMaps("xdp", since(">=3.28"), "xdp_cali_progs3", "xdp_cali_jump3", 100, 100, _SOURCE),
    JumpMaps(
        "ingress", since(">=3.31.3"), "cali_progs_ing2", "cali_jump_ing2", 10000, 10000, _SOURCE
    ),
    JumpMaps(
        "egress", since(">=3.31.3"), "cali_progs_egr2", "cali_jump_egr2", 10000, 10000, _SOURCE
    ),
    JumpMaps(
        "netkit_ingress",
        since(">=3.33"),
        "cali_p_nk_ing2",
        "cali_j_nk_ing2",
        10000,
        10000,
        "programs 0, 2.3; which side is ingress is not stated",
        certain=False,
    ),
    JumpMaps(
        "netkit_egress",
        since(">=3.33"),
        "cali_p_nk_egr2",
        "cali_j_nk_egr2",
        10000,
        10000,
        "programs 0, 2.3; which side is egress is not stated",
        certain=False,
    ),
)

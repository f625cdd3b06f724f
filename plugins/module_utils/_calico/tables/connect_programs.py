# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs, their settings and how they are attached: programs 4.1, 4.2."""

from __future__ import annotations

from typing import NamedTuple

from ..._uapi.bpf import AttachType
from ..rows import since
from ..versions import VersionSet


class ConnectHook(NamedTuple):
    """A hook. ``program`` is the kernel name, cut to 15 letters, the same for both families.

    ``pins`` are the names that its link may have below ``<bpffs>/ctlb``.
    """

    attach_type: AttachType
    family: int
    section: str
    program: str
    pins: tuple[str, ...]
    source: str
    certain: bool = True


class ConnectVariant(NamedTuple):
    """Which build is on the hooks of ``family``; ``cluster`` is ipv4, ipv6 or dual.

    ``tail_calls``: IPv6 is served by the *_v6 build through the maps whose names begin cali_ctlb.
    """

    releases: VersionSet
    cluster: str
    family: int
    suffix: str
    source: str
    tail_calls: bool = False
    certain: bool = True


class ConnectSetting(NamedTuple):
    """What a setting attaches; ``host_nat`` is empty where it makes no difference.

    ``default`` marks what holds with nothing set.
    """

    releases: VersionSet
    load_balancing: str
    host_nat: str
    hooks: frozenset[AttachType]
    source: str
    default: bool = False
    certain: bool = True


class AttachKind(NamedTuple):
    """``pinned``: links are pinned below ``<bpffs>/ctlb``; else a descriptor of felix keeps them.

    ``legacy``: when a link cannot be made, felix attaches with flags 0, which outlives it.
    """

    releases: VersionSet
    pinned: bool
    legacy: bool
    source: str
    certain: bool = True


def _hook(attach_type: AttachType, section: str, verb: str) -> ConnectHook:
    family = int(section[-1])
    suffixes = ("v4",) if family == 4 else ("v46", "v6")
    pins = tuple(f"calico_{verb}_{suffix}" for suffix in suffixes)
    program = f"calico_{verb}_v4"[:15]
    # The facts spell out only calico_connect_v4; the other pin names follow its pattern.
    certain = section == "connect4"
    return ConnectHook(attach_type, family, section, program, pins, "programs 4.1, 4.2", certain)


HOOKS: tuple[ConnectHook, ...] = (
    _hook(AttachType.CGROUP_INET4_CONNECT, "connect4", "connect"),
    _hook(AttachType.CGROUP_INET6_CONNECT, "connect6", "connect"),
    _hook(AttachType.CGROUP_UDP4_SENDMSG, "sendmsg4", "sendmsg"),
    _hook(AttachType.CGROUP_UDP6_SENDMSG, "sendmsg6", "sendmsg"),
    _hook(AttachType.CGROUP_UDP4_RECVMSG, "recvmsg4", "recvmsg"),
    _hook(AttachType.CGROUP_UDP6_RECVMSG, "recvmsg6", "recvmsg"),
)

ALL = frozenset(hook.attach_type for hook in HOOKS)
CONNECT = frozenset({AttachType.CGROUP_INET4_CONNECT, AttachType.CGROUP_INET6_CONNECT})
NONE: frozenset[AttachType] = frozenset()

_VARIANT = "programs 4.1"
_DUAL = "programs 4.1; #8509"

VARIANTS: tuple[ConnectVariant, ...] = (
    ConnectVariant(since("3.26"), "ipv4", 4, "v4", _VARIANT),
    ConnectVariant(since("3.26"), "ipv4", 6, "v6", _VARIANT),
    ConnectVariant(since(">=3.27"), "ipv4", 4, "v4", _VARIANT),
    ConnectVariant(since(">=3.27"), "ipv4", 6, "v46", _VARIANT),
    ConnectVariant(since("3.27"), "ipv6", 6, "v6", _VARIANT),
    ConnectVariant(since(">=3.28"), "dual", 4, "v4", _DUAL),
    ConnectVariant(since(">=3.28"), "dual", 6, "v46", _DUAL, tail_calls=True),
)

_FIELD = "programs 4.1; #8139"

SETTINGS: tuple[ConnectSetting, ...] = (
    ConnectSetting(
        since("3.26"), "Enabled", "", ALL, "programs 4.1 (without the feature gate udp)", True
    ),
    ConnectSetting(
        since(">=3.27"), "TCP", "Enabled", CONNECT, "programs 4.1; ops 1.3", default=True
    ),
    ConnectSetting(since(">=3.27"), "TCP", "Disabled", ALL, _FIELD, certain=False),
    ConnectSetting(since(">=3.27"), "Enabled", "", ALL, _FIELD),
    ConnectSetting(since(">=3.27"), "Disabled", "", NONE, _FIELD),
)

_PINNED = "programs 4.2; #10425/#10466/#10467/#10468, #10490/#10528/#10531/#10533"

ATTACH_KINDS: tuple[AttachKind, ...] = (
    AttachKind(
        since(">=3.26,<3.28.5 | >=3.29,<3.29.5 | 3.30.0"),
        pinned=False,
        legacy=True,
        source="programs 4.2",
    ),
    AttachKind(
        since(">=3.28.5,<3.29 | >=3.29.5,<3.30 | >=3.30.1"),
        pinned=True,
        legacy=True,
        source=_PINNED,
    ),
    AttachKind(
        since(">=3.33"), pinned=True, legacy=False, source="programs 4.2; #12801", certain=False
    ),
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel and distribution floors and known-bad pairs: ops 5f, 7."""

from __future__ import annotations

from typing import NamedTuple

from ..rows import since
from ..versions import VersionSet


class KernelVersion(NamedTuple):
    """A kernel version; ``build`` is the number after the dash, which counts on RHEL."""

    major: int
    minor: int
    patch: int = 0
    build: int = 0

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}-{self.build}" if self.build else text


class KernelFloor(NamedTuple):
    """The oldest kernel. ``kind``: enforced (felix falls back to iptables below it), documented
    or advised. ``distribution`` is empty for all others; ``distribution_version`` is the oldest
    documented one."""

    releases: VersionSet
    kind: str
    distribution: str
    distribution_version: str
    kernel: KernelVersion | None
    source: str
    certain: bool = True


class FeatureFloor(NamedTuple):
    """The oldest kernel that a feature works on."""

    releases: VersionSet
    feature: str
    kernel: KernelVersion
    source: str
    certain: bool = True


class KernelPair(NamedTuple):
    """Releases that break on kernels from the first of a pair up to, without, the second.

    ``closes``: sure enough to refuse an operation; the others are told and nothing more.
    ``shows``: what is missing on a node that is hit: connect_time (its connect-time programs),
    workloads (programs of workloads), or empty when a node shows nothing.
    """

    releases: VersionSet
    kernels: tuple[tuple[KernelVersion, KernelVersion], ...]
    title: str
    upstream: tuple[str, ...]
    source: str
    certain: bool = True
    closes: bool = False
    shows: str = ""


CONNECT_TIME = "connect_time"
WORKLOADS = "workloads"

OLDEST = KernelVersion(0, 0)
NEWEST = KernelVersion(10000, 0)

_SOURCE = "ops 7"
_CODE = "ops 7, felix/bpf/bpf.go"

FLOORS: tuple[KernelFloor, ...] = (
    KernelFloor(since(">=3.26"), "enforced", "", "", KernelVersion(5, 3), _CODE),
    KernelFloor(since(">=3.26"), "enforced", "RedHat", "", KernelVersion(4, 18, 0, 193), _CODE),
    KernelFloor(since(">=3.26,<3.31"), "documented", "", "", KernelVersion(5, 3), _SOURCE),
    KernelFloor(since(">=3.31"), "documented", "", "", KernelVersion(5, 10), _SOURCE),
    KernelFloor(
        since(">=3.26,<3.31"),
        "documented",
        "RedHat",
        "8.2",
        KernelVersion(4, 18, 0, 193),
        _SOURCE,
    ),
    KernelFloor(
        since(">=3.31"), "documented", "RedHat", "8.4", KernelVersion(4, 18, 0, 305), _SOURCE
    ),
    KernelFloor(
        since(">=3.26,<3.31"), "documented", "Ubuntu", "20.04", KernelVersion(5, 3), _SOURCE
    ),
    KernelFloor(since(">=3.31"), "documented", "Ubuntu", "22.04", KernelVersion(5, 10), _SOURCE),
    KernelFloor(since(">=3.26,<3.31"), "advised", "", "", KernelVersion(5, 8), _SOURCE),
    KernelFloor(since(">=3.31"), "advised", "", "", KernelVersion(6, 6), _SOURCE),
)

FEATURES: tuple[FeatureFloor, ...] = (
    FeatureFloor(since(">=3.32"), "Log rules", KernelVersion(5, 16), _SOURCE),
    FeatureFloor(since(">=3.32"), "QoS bandwidth limits", KernelVersion(6, 6), _SOURCE),
    FeatureFloor(since(">=3.31"), "TCX", KernelVersion(6, 6), "ops 7; programs 1.3"),
    FeatureFloor(since(">=3.28"), "XDP for IPv6", KernelVersion(5, 18), _SOURCE),
    FeatureFloor(
        since(">=3.28"), "flow-based VXLAN device", KernelVersion(5, 8), _SOURCE, certain=False
    ),
    FeatureFloor(
        since("3.30"),
        "conntrack expiry in a BPF program",
        KernelVersion(5, 13),
        "maps 3.3",
        certain=False,
    ),
)

_CONNECT = "<3.29.7 | >=3.30,<3.30.5 | >=3.31,<3.31.3"

PAIRS: tuple[KernelPair, ...] = (
    KernelPair(
        since(_CONNECT),
        (
            (KernelVersion(6, 12, 53), KernelVersion(6, 13)),
            (KernelVersion(6, 17, 5), NEWEST),
        ),
        "The kernel's verifier refuses the connect-time programs",
        ("#11302", "awslabs/amazon-eks-ami#2511", "#11399", "#11405", "#11406", "#11407"),
        "ops 3.4, 7 (the kernels are approximate)",
        certain=False,
        closes=True,
        shows=CONNECT_TIME,
    ),
    KernelPair(
        since(">=3.31,<3.31.3"),
        ((KernelVersion(6, 12), NEWEST),),
        "The kernel refuses programs of both directions in one program array",
        ("#11430", "#11457", "#11443", "#11488"),
        "programs 2.3, felix/bpf-gpl/jump.h (that it matters only to TCX is inferred)",
        certain=False,
        closes=True,
        shows=WORKLOADS,
    ),
    KernelPair(
        since(">=3.31"),
        ((OLDEST, KernelVersion(5, 17)),),
        "The IPv4 fragment program does not load",
        ("#10859",),
        "ops 5f (which releases have it is not stated)",
        certain=False,
    ),
    KernelPair(
        since(">=3.26,<3.32"),
        ((OLDEST, KernelVersion(6, 16)),),
        "The kernel can crash on segmented UDP traffic",
        ("#11920",),
        "ops 7 (which features set it off is not stated; avoided from 3.32.0 on)",
        certain=False,
    ),
    KernelPair(
        since("3.31.5"),
        ((KernelVersion(6, 17), NEWEST),),
        "Programs disappear from the interfaces of workloads",
        ("#12210",),
        "ops 5f (says only: recent kernels)",
        certain=False,
        shows=WORKLOADS,
    ),
)

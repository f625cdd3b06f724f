# SPDX-License-Identifier: GPL-3.0-or-later
"""Where eBPF mode keeps things on a node, and which names felix acts on."""

from __future__ import annotations

import re
from typing import NamedTuple

from .rows import Table, since
from .versions import VersionSet


class PinDirectory(NamedTuple):
    """A directory with pins; ``path`` is relative to the bpffs.

    ``ebpf_mode`` is False for what Calico uses outside eBPF mode.
    """

    path: str
    releases: VersionSet
    holds: str
    source: str
    ebpf_mode: bool = True
    certain: bool = True


class SpecialDevice(NamedTuple):
    """A device that felix makes; ``peer`` is the other end of a veth pair."""

    name: str
    kind: str
    peer: str
    releases: VersionSet
    source: str


class Place(NamedTuple):
    """A file, directory or mount on the node outside the bpffs."""

    purpose: str
    path: str
    releases: VersionSet
    source: str


class Residue(NamedTuple):
    """A node setting that eBPF mode changes and nothing restores: programs 4.4."""

    sysctl: str
    value: str
    releases: VersionSet
    source: str
    certain: bool = True


class ForeignName(NamedTuple):
    """Names of other software in the same places; ``kind`` is map, program or pin."""

    kind: str
    prefix: str
    owner: str
    source: str = "programs 7 (general knowledge)"
    certain: bool = False


GLOBALS = "tc/globals"
OLD_JUMPS = "tc/globals/old_jumps"
CONNECT_LINKS = "ctlb"
TCX_LINKS = "tcx"
NETKIT_LINKS = "netkit"
OLD_SUFFIX = "_old"

CLEANED_PREFIXES = ("cali_", "calico_", "xdp_cali_")
"""A pin anywhere on the bpffs whose name begins so is deleted when felix runs with eBPF mode off
and by ``calico-node -bpf cleanup`` (maps 1.1; up to 3.27.3 below ``tc`` only and without the
last one, programs 4.4)."""

_PARSED = re.compile(r"cali_v4_ct(\d+)(?:_old.*)?", re.ASCII)
_INTERFACE_DIR = re.compile(r"tc/[^/]+_(igr|egr|xdp)", re.ASCII)

_PIN_DIRECTORIES: tuple[PinDirectory, ...] = (
    PinDirectory(GLOBALS, since(">=3.26"), "maps", "maps 1.1"),
    PinDirectory("tc/<interface>_igr", since("3.26"), "jump map of a hook", "maps 1.1"),
    PinDirectory("tc/<interface>_egr", since("3.26"), "jump map of a hook", "maps 1.1"),
    PinDirectory("tc/<interface>_xdp", since("3.26"), "jump map of a hook", "maps 1.1"),
    PinDirectory(OLD_JUMPS, since(">=3.27"), "jump and program maps before", "maps 1.1"),
    PinDirectory(
        CONNECT_LINKS,
        since(">=3.28.5,<3.29 | >=3.29.5,<3.30 | >=3.30.1"),
        "links of connect-time programs",
        "programs 4.2; #10425 (maps 1.1 says 3.28)",
    ),
    PinDirectory(TCX_LINKS, since(">=3.31"), "TCX links", "programs 1.3; #10573"),
    PinDirectory(NETKIT_LINKS, since(">=3.33"), "netkit links", "programs 1.3", certain=False),
    PinDirectory("calico_connect4", since("<3.26"), "connect-time programs", "programs 4.2"),
    PinDirectory(
        "calico", since(">=3.26"), "XDP and socket acceleration", "programs 6", ebpf_mode=False
    ),
)

DEVICES: tuple[SpecialDevice, ...] = (
    SpecialDevice("bpfin.cali", "veth", "bpfout.cali", since(">=3.26"), "programs 1.1, 4.4, 7"),
    SpecialDevice("bpfout.cali", "veth", "bpfin.cali", since(">=3.26"), "programs 1.1, 4.4, 7"),
)

VXLAN_DEVICES = ("vxlan.calico", "vxlan-v6.calico")
"""felix's own VXLAN devices, of both modes (ops 3.1)."""

_PLACES: tuple[Place, ...] = (
    Place("conntrack_size", "/var/lib/calico/bpf_ct_map_size", since(">=3.30"), "maps 1.4"),
    Place("cgroup_root", "/run/calico/cgroup", since(">=3.26"), "programs 4.2"),
    Place("attach_records", "/var/run/calico/bpf/prog", since(">=3.26"), "maps 5.9; programs 4.4"),
    Place("policy_records", "/var/run/calico/bpf/policy", since(">=3.26"), "programs 4.4"),
    Place("program_files", "/usr/lib/calico/bpf", since(">=3.26"), "programs 8"),
)

RESIDUES: tuple[Residue, ...] = (
    Residue("net.ipv4.conf.<interface>.rp_filter", "2", since(">=3.26"), "programs 4.4"),
    Residue("net.ipv4.conf.<interface>.accept_local", "1", since(">=3.26"), "programs 4.4"),
    Residue("net.ipv4.conf.all.rp_filter", "0", since(">=3.26"), "programs 4.4"),
    Residue("kernel.unprivileged_bpf_disabled", "1", since(">=3.26"), "programs 4.4; ops 3.3"),
    Residue("net.core.bpf_jit_harden", "1", since(">=3.31"), "programs 4.4"),
)

FOREIGN: tuple[ForeignName, ...] = (
    ForeignName("map", "cilium_", "Cilium"),
    ForeignName("program", "cil_", "Cilium"),
    ForeignName("program", "cilium", "Cilium"),
    ForeignName("program", "handle_ingress", "AWS VPC CNI"),
    ForeignName("program", "handle_egress", "AWS VPC CNI"),
    ForeignName("program", "sd_", "systemd"),
    ForeignName("pin", "cilium", "Cilium"),
    ForeignName("pin", "snap", "snapd"),
    ForeignName("pin", "globals/aws", "AWS network policy agent"),
    ForeignName("program", "calico_sockops", "Calico outside eBPF mode", "programs 6, 7", True),
    ForeignName("program", "prefilter", "Calico outside eBPF mode", "programs 6", True),
)

PIN_DIRECTORIES = Table(_PIN_DIRECTORIES, lambda row: row.path)
PLACES = Table(_PLACES, lambda row: row.purpose)


def pin_directories_of(release: VersionSet) -> tuple[PinDirectory, ...]:
    """The directories that some of ``release`` pins in."""
    return PIN_DIRECTORIES.of(release)


def places_of(release: VersionSet) -> tuple[Place, ...]:
    """The files and directories of some of ``release``."""
    return PLACES.of(release)


def parsed_conntrack_version(name: str) -> int | None:
    """The map version that felix reads out of a pin's name when it looks for one to upgrade.

    Any name of that form counts, a backup's too (maps 5.4); None for all others.
    """
    match = _PARSED.fullmatch(name)
    return int(match[1]) if match else None


def is_cleaned(name: str) -> bool:
    """Whether felix deletes a pin of this name once eBPF mode is off."""
    return name.startswith(CLEANED_PREFIXES)


def is_interface_directory(path: str) -> bool:
    """Whether a directory, relative to the bpffs, is one that 3.26 makes for an interface."""
    return bool(_INTERFACE_DIR.fullmatch(path))

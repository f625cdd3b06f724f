# SPDX-License-Identifier: GPL-3.0-or-later
"""A node as it was seen, as plain values: what findings are made from."""

from __future__ import annotations

from typing import Mapping, NamedTuple

from .._calico.detect import Detection
from .._calico.evidence import Ownership, Program, Verdict
from .._calico.kernels import Distribution
from .._uapi.maps import MapSpec


class Slot(NamedTuple):
    """An element of a program array that a program calls into; ``map`` is the array's name.

    ``program`` is the id of the program in it, None where it is empty or not known.
    """

    map: str
    slot: int
    filled: bool
    program: int | None = None


class Constants(NamedTuple):
    """What an entry program was loaded with; ``value_size`` in bytes.

    ``log_filters`` are the slots of its log filter, one for each family where they differ.
    ``main`` are the slots of the main programs, with logging and without.
    """

    map: str
    value_size: int
    log_filters: tuple[Slot, ...] = ()
    main: tuple[Slot, ...] = ()


class Loaded(NamedTuple):
    """A loaded program, what proves whose it is, and the maps that it refers to by id."""

    id: int
    tag: str
    evidence: Program
    map_ids: tuple[int, ...] = ()
    constants: Constants | None = None


class Attachment(NamedTuple):
    """A program on an interface.

    ``kind``: tc, tcx, netkit or xdp; ``hook``: ingress, egress or xdp. ``preference`` and
    ``handle`` are those of a tc filter, ``link_id`` that of a TCX or netkit link, and ``mode`` is
    the XDP mode. ``program`` is None when it was gone before it could be read.
    """

    kind: str
    hook: str
    prog_id: int | None
    name: str
    owner: Ownership
    program: Loaded | None = None
    preference: int | None = None
    handle: int | None = None
    link_id: int | None = None
    mode: str | None = None

    @property
    def calico(self) -> bool:
        """Whether it is proven Calico's."""
        return self.owner.verdict is Verdict.CALICO


class Interface(NamedTuple):
    """An interface; what only netlink tells is None where pyroute2 is missing."""

    name: str
    ifindex: int
    workload: bool
    kind: str | None
    running: bool | None
    clsact: bool | None
    attachments: tuple[Attachment, ...]


class PinnedMap(NamedTuple):
    """A pinned map; ``entries`` is None when not counted or not countable."""

    path: str
    id: int
    spec: MapSpec
    memory: int
    owner: Ownership
    entries: int | None = None


class Pin(NamedTuple):
    """A pin of any kind; ``severed``: a link that is attached to nothing."""

    path: str
    kind: str
    object_id: int | None = None
    severed: bool = False


class ConnectTime(NamedTuple):
    """A program on a cgroup at one of the connect-time hooks; ``section`` names the hook.

    ``link_id`` is None where it is attached without a link.
    """

    cgroup: str
    section: str
    legacy: bool
    owner: Ownership
    program: Loaded
    link_id: int | None = None


class UsedMap(NamedTuple):
    """A map that attached programs of Calico refer to, themselves or by what they call first.

    ``users`` are interface and hook of each.
    """

    id: int
    spec: MapSpec
    users: tuple[str, ...]


class Device(NamedTuple):
    """A device with a name that felix gives; ``kind`` is empty where netlink told nothing."""

    name: str
    kind: str
    peer: str
    owner: Ownership


class StaleFlows(NamedTuple):
    """UDP flows to the frontend of a Service that bypass it; ``examples`` are some of them."""

    map_path: str
    service: str
    flows: int
    examples: tuple[str, ...]


class Node(NamedTuple):
    """All that was seen.

    ``interfaces_known`` is False when tc could not be looked at. ``auto_size`` is the number in
    the auto-scale file. ``conntrack_size`` (entries) and ``connect_setting``
    (bpfConnectTimeLoadBalancing) are the configured values where they were given.
    ``bpffs_there``: a bpffs is mounted where felix pins. ``cgroup_mounted``: some cgroup2 is.
    ``memory_available`` in bytes. ``connect_below`` are connect-time programs below the cgroup
    roots. ``ifstate`` are felix's flags by ifindex, None where its map cannot be read.
    ``settings`` are sentences about kernel settings that eBPF mode makes. ``ipvs``: kube-proxy's
    device of IPVS mode is there. ``vxlan`` are the UDP ports of VXLAN devices by name,
    ``udp_ports`` all that are bound.
    """

    kernel: str
    cpus: int
    lockdown: str | None
    bpffs: tuple[str, ...]
    cgroups: tuple[str, ...]
    pin_dir: str
    release: Detection
    maps: tuple[PinnedMap, ...] = ()
    pins: tuple[Pin, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    interfaces_known: bool = True
    connect_time: tuple[ConnectTime, ...] = ()
    connect_below: tuple[ConnectTime, ...] = ()
    devices: tuple[Device, ...] = ()
    auto_size: int | None = None
    auto_size_path: str = ""
    conntrack_size: int | None = None
    bpffs_there: bool = True
    distribution: Distribution | None = None
    memory_available: int | None = None
    used_maps: tuple[UsedMap, ...] = ()
    ifstate: Mapping[int, int] | None = None
    cgroup_mounted: bool = True
    connect_setting: str | None = None
    settings: tuple[str, ...] = ()
    stale_udp: tuple[StaleFlows, ...] = ()
    ipvs: bool = False
    vxlan: Mapping[str, int] = {}
    udp_ports: tuple[int, ...] = ()


class Finding(NamedTuple):
    """A defect by its code, the object that has it, and what was seen, in sentences."""

    code: str
    object: str
    evidence: tuple[str, ...]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole node, seen once from beginning to end."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple, Sequence

from ..._calico.detect import Detection, Rodata, Sightings, detect
from ..._calico.evidence import Verdict
from ..._calico.kernels import Distribution
from ..._calico.places import PLACES
from ..._errors import RefusedError, SyscallError
from ..._kernel import bpffs, machine, proc
from ..._kernel.maps import Map
from ..._plan.findings_input import Interface, Node, StaleFlows
from . import devices, ifstate, udp
from .cgroups import Roots
from .interfaces import Seen, Walk
from .notes import Notes
from .pins import Pins
from .programs import Programs
from .task import Task
from .used import used_maps

IPVS_DEVICE = "kube-ipvs0"
"""The device that kube-proxy makes in IPVS mode (ops 9.2)."""

AUTO_SIZE = next(place.path for place in PLACES if place.purpose == "conntrack_size")


class Sight(NamedTuple):
    """The node, and sentences about what could not be read."""

    node: Node
    warnings: tuple[str, ...]


def look(task: Task) -> Sight:
    """See everything, change nothing; what vanishes or cannot be read becomes a warning.

    Raises RefusedError where the kernel lets this process see nothing at all.
    """
    _require_sight()
    notes, programs = Notes(), Programs()
    pins = Pins(task.bpffs, task.pin_dir, task.count_entries, notes)
    pins.walk()
    seen = Walk(task.interfaces, programs, pins.links, notes, pins.xdp_arrays()).all()
    detection = _release(task, pins, programs, seen.interfaces)
    roots = Roots(_cgroups(task), programs, pins.links, notes)
    node = Node(
        kernel=proc.kernel_release(),
        cpus=proc.possible_cpus(),
        lockdown=machine.lockdown(),
        bpffs=tuple(mount.path for mount in machine.mounts("bpf")),
        cgroups=roots.roots,
        pin_dir=task.pin_dir,
        release=detection,
        maps=tuple(pins.maps),
        pins=tuple(pins.pins),
        interfaces=seen.interfaces,
        interfaces_known=seen.known,
        connect_time=roots.all(detection.releases),
        connect_below=roots.below(detection.releases),
        devices=devices.special_devices(seen),
        auto_size=_auto_size(notes),
        auto_size_path=AUTO_SIZE,
        conntrack_size=task.conntrack_size,
        bpffs_there=bpffs.on_bpffs(task.bpffs),
        distribution=_distribution(),
        memory_available=_memory(notes),
        used_maps=used_maps(seen.interfaces, programs, notes),
        ifstate=ifstate.managed(pins.maps, task.pin_dir, notes),
        cgroup_mounted=bool(machine.mounts("cgroup2")),
        connect_setting=task.connect_setting,
        settings=_settings(seen),
        stale_udp=_stale_udp(task, pins, detection, notes),
        ipvs=IPVS_DEVICE in seen.names.values(),
        vxlan={one.name: one.vxlan_port for one in seen.devices if one.vxlan_port is not None},
        udp_ports=_udp_ports(notes),
    )
    return Sight(node, notes.result())


def _require_sight() -> None:
    """Objects by their ids are what all of it begins with; without them no answer is true."""
    try:
        next(iter(Map.ids()), None)
    except SyscallError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        raise RefusedError(
            "The kernel refuses to list BPF objects (bpf(2) answers EPERM): run the task as root "
            "of the host, with become, not in a container that lacks CAP_SYS_ADMIN or whose "
            "seccomp filter forbids bpf(2)."
        ) from error


def _cgroups(task: Task) -> tuple[str, ...]:
    """The directory that was named, or each cgroup2 tree once, and what is to be seen below."""
    roots = [task.cgroup_root] if task.cgroup_root else []
    if not roots:
        trees = {(mount.device, mount.inode): mount.path for mount in machine.mounts("cgroup2")}
        roots = list(trees.values())
    below = [Path(root, task.cgroup_subpath) for root in roots if task.cgroup_subpath]
    return (*roots, *(str(place) for place in below if place.is_dir()))


def _release(
    task: Task, pins: Pins, programs: Programs, interfaces: Sequence[Interface]
) -> Detection:
    """Judged by what is proven Calico's alone."""
    foreign = {one.path for one in pins.maps if one.owner.verdict is not Verdict.CALICO}
    own = [pins.relative(one.path) for one in pins.pins if one.path not in foreign]
    used: dict[int, None] = {}
    places: dict[tuple[str, int], list[str]] = {}
    for interface in interfaces:
        for one in interface.attachments:
            if one.calico and one.program and one.program.constants:
                used.update(dict.fromkeys(one.program.map_ids))
                kind = "xdp" if one.kind == "xdp" else "tc"
                place = places.setdefault((kind, one.program.constants.value_size), [])
                if interface.name not in place:
                    place.append(interface.name)
    return detect(
        Sightings(
            rodata=tuple(Rodata(*key, tuple(names[:3])) for key, names in places.items()),
            used_maps=programs.specs(used),
            pinned_maps=tuple(
                one.spec._replace(name=Path(one.path).name)
                for one in pins.maps
                if str(Path(one.path).parent) == task.pin_dir.rstrip("/")
            ),
            pins=tuple(
                place
                for place in own
                if not place.startswith("tc/globals/") or "/" in place[len("tc/globals/") :]
            ),
        ),
        task.release,
    )


def _settings(seen: Seen) -> tuple[str, ...]:
    """Looked for where no program of Calico is attached; they are right elsewhere."""
    if any(one.calico for interface in seen.interfaces for one in interface.attachments):
        return ()
    return devices.settings_left(seen.names.values())


def _stale_udp(
    task: Task, pins: Pins, detection: Detection, notes: Notes
) -> tuple[StaleFlows, ...]:
    """Like the number of entries, it takes reading the tables."""
    if not task.count_entries:
        return ()
    return udp.stale_flows(pins.maps, task.pin_dir, detection.releases, notes)


def _distribution() -> Distribution | None:
    fields = machine.os_release()
    if not fields:
        return None
    like = tuple(fields.get("ID_LIKE", "").split())
    return Distribution(fields.get("ID", ""), fields.get("VERSION_ID", ""), like)


def _memory(notes: Notes) -> int | None:
    with notes.reading("/proc/meminfo"):
        return proc.memory().available
    return None


def _udp_ports(notes: Notes) -> tuple[int, ...]:
    with notes.reading("/proc/self/net/udp"):
        return machine.udp_ports()
    return ()


def _auto_size(notes: Notes) -> int | None:
    """The number of entries in the auto-scale file."""
    path = Path(AUTO_SIZE)
    try:
        text = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.add(f"{path} was left out: {error}.")
        return None
    if text.isdigit():
        return int(text)
    notes.add(f"{path} was left out: {text[:40]!r} is no number of entries.")
    return None

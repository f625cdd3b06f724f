# SPDX-License-Identifier: GPL-3.0-or-later
"""All that eBPF mode may have left on a node."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Iterator, Mapping

from .._calico.places import GLOBALS as GLOBALS_DIRECTORY
from .._calico.places import (
    OLD_JUMPS,
    PIN_DIRECTORIES,
    PLACES,
    RESIDUES,
    is_cleaned,
    is_interface_directory,
)
from .._kernel import bpffs, interfaces, sysctl
from .._kernel.netlink import require_library
from .._kernel.tc import EGRESS, INGRESS
from .._plan.dataplane_task import Directory, Observed, Setting, residue_of
from .._plan.findings_input import Node
from .._plan.tc_hooks import Other
from .agents import agents
from .connect_time import missing_below
from .link_pins import connect_pins, interface_pins
from .node.report import look
from .node.task import Task

RECORDS = tuple(
    place.path for place in PLACES if place.purpose in ("attach_records", "policy_records")
)
"""Directories of felix's records, all in one that holds nothing else."""

_HOOKS = {INGRESS: "ingress", EGRESS: "egress"}
_INTERFACE = "<interface>"


def observe(task: Task, sysctls: Iterable[str]) -> tuple[Observed, tuple[str, ...]]:
    """The node, and sentences about what could not be read. Raises MissingLibraryError."""
    require_library()
    node, warnings = look(task)
    seen = Observed(
        node,
        _others(node),
        {"cgroup": connect_pins(node), "tcx": interface_pins(node)},
        tuple(_strays(task.bpffs, node)),
        (*_pin_directories(task), *_record_directories()),
        tuple(_records()),
        tuple(_settings(sysctls)),
        agents(node),
    )
    return seen, (*warnings, *missing_below(task, node.cgroups))


def _others(node: Node) -> Mapping[int, tuple[Other, ...]]:
    indices = [one.ifindex for one in node.interfaces if one.clsact]
    found: dict[int, tuple[Other, ...]] = {}
    for index, parent, prio, kind in interfaces.other_places(indices):
        found[index] = (*found.get(index, ()), Other(_HOOKS[parent], prio, kind))
    return found


def _strays(mount: str, node: Node) -> Iterator[str]:
    """Pins with names that felix would delete by, outside the directories that were looked at."""
    outside = {row.path for row in PIN_DIRECTORIES if not row.ebpf_mode}
    known = {one.path for one in node.pins}
    if not bpffs.on_bpffs(mount):
        return
    for path in bpffs.walk(mount):
        place = Path(path).relative_to(mount)
        if path not in known and is_cleaned(place.name) and place.parts[0] not in outside:
            yield path


def _pin_directories(task: Task) -> Iterator[Directory]:
    """Directories that only Calico makes, the innermost first; that of the maps is shared."""
    mount, kept = Path(task.bpffs), Path(task.pin_dir, OLD_JUMPS.rpartition("/")[2])
    found = set(kept.glob("*/"))
    for row in PIN_DIRECTORIES:
        if row.ebpf_mode and row.path == OLD_JUMPS:
            found.add(kept)
        elif row.ebpf_mode and row.path != GLOBALS_DIRECTORY:
            places = mount.glob(row.path.replace(_INTERFACE, "*"))
            found.update(one for one in places if _is_own(one.relative_to(mount)))
    for path in sorted(found, key=lambda one: (-len(one.parts), one)):
        if path.is_dir() and bpffs.on_bpffs(str(path)):
            yield _directory(path)


def _is_own(place: Path) -> bool:
    exact = {row.path for row in PIN_DIRECTORIES if _INTERFACE not in row.path}
    return str(place) in exact or is_interface_directory(str(place))


def _directory(path: Path) -> Directory:
    return Directory(str(path), tuple(sorted(str(one) for one in path.iterdir())))


def _record_directories() -> Iterator[Directory]:
    parents = dict.fromkeys(str(Path(one).parent) for one in RECORDS)
    for path in (*RECORDS, *parents):
        if Path(path).is_dir():
            yield _directory(Path(path))


def _records() -> Iterator[str]:
    for directory in RECORDS:
        for path in sorted(Path(directory).glob("*.json")):
            if path.is_file() and not path.is_symlink():
                yield str(path)


def _settings(named: Iterable[str]) -> Iterator[Setting]:
    """The settings that felix changes on all interfaces, and those that are named."""
    asked = dict.fromkeys(named)
    for row in RESIDUES:
        head, mark, tail = row.sysctl.partition(_INTERFACE)
        names = [f"{head}{one}{tail}" for one in sysctl.children(head.rstrip("."))] if mark else []
        for name in names or [row.sysctl]:
            if not mark or not name.startswith((f"{head}all.", f"{head}default.")):
                asked.setdefault(name)
    for name in asked:
        value, felix = sysctl.read(name), residue_of(name).value
        if value is not None and (value == felix or name in named):
            yield Setting(name, value, felix)

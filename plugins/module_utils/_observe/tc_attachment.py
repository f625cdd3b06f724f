# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands at the tc hooks of a node's interfaces, and programs that belong there."""

from __future__ import annotations

from typing import Iterable, Iterator

from .._calico import ownership
from .._calico.codecs.preamble_layout import POLICY
from .._calico.evidence import Verdict
from .._calico.ifstate import hook_of_policy
from .._calico.tc_attach import entry_names
from .._errors import RefusedError
from .._kernel import interfaces
from .._kernel.netlink import require_library
from .._kernel.programs import loaded_programs
from .._kernel.tc import INGRESS
from .._plan.felix_mode import evidence
from .._plan.findings_attach import missing
from .._plan.findings_input import Interface, Loaded, Node
from .._plan.tc_attachment import Observed, Spare, unlike
from .._plan.tc_hooks import Other, jump_arrays
from .._plan.tc_task import Desired, selected
from .._uapi.bpf import ProgType
from .agents import agents
from .constants import globals_of
from .ifstate import IfstateMap, ifstate_map
from .link_pins import interface_pins
from .node.programs import Programs
from .node.report import look
from .node.task import Task


def observe(wanted: Desired) -> Observed:
    """One look. Raises MissingLibraryError, RefusedError, SyscallError."""
    require_library()
    names = wanted.interfaces
    sight = look(Task(wanted.bpffs, wanted.pin_dir, None, names, False, wanted.release, None))
    node = sight.node
    if not node.interfaces_known:
        raise RefusedError(f"The interfaces could not be looked at: {' '.join(sight.warnings)}")
    if wanted.state == "absent":
        chosen: Iterable[Interface] = selected(wanted, node)
        felix = evidence(agents(node))
        return Observed(node, _others(chosen), links=interface_pins(node), felix=felix)
    return Observed(node, _others(unlike(wanted, node)), tuple(_spares(node)), interface_pins(node))


def _others(chosen: Iterable[Interface]) -> dict[int, tuple[Other, ...]]:
    found: dict[int, list[Other]] = {}
    indices = [one.ifindex for one in chosen if one.clsact]
    for index, parent, preference, kind in interfaces.other_places(indices):
        hook = "ingress" if parent == INGRESS else "egress"
        found.setdefault(index, []).append(Other(hook, preference, kind))
    return {index: tuple(others) for index, others in found.items()}


def _spares(node: Node) -> Iterator[Spare]:
    """Programs of hooks that lack theirs, by all the evidence that a filter would have to give.

    Ids are global, so a program counts only when it calls into arrays that are pinned here.
    """
    names = {one.object for one in missing(node)}
    bare = {one.name: one for one in node.interfaces if one.workload and one.name in names}
    if not bare:
        return
    state, arrays, programs = ifstate_map(node), jump_arrays(node), Programs()
    for info in sorted(loaded_programs(), key=lambda one: -one.id):
        if info.type != ProgType.SCHED_CLS or info.name not in entry_names("tc"):
            continue
        loaded = programs.loaded(info.id)
        if loaded and arrays.intersection(loaded.map_ids):
            interface = bare.get(loaded.evidence.iface_name.rstrip("-"))
            hook = _hook(interface, loaded, state) if interface else None
            if interface and hook:
                yield Spare(interface.ifindex, hook, info.id, info.name)


def _hook(interface: Interface, loaded: Loaded, state: IfstateMap | None) -> str | None:
    """The hook that a program was made for, if it was made for this interface."""
    name = f"{loaded.evidence.name}:[{loaded.id}]"
    seen = ownership.Filter(interface.name, name, loaded.evidence)
    if ownership.tc_filter(seen).verdict is not Verdict.CALICO:
        return None
    maps = tuple(spec.name for spec in loaded.evidence.maps or ())
    entry = state.entries.get(interface.ifindex) if state else None
    if entry is not None and entry.name != interface.name:
        entry = None
    slots = {part.jumps[POLICY] for part in globals_of(loaded) if part.jumps}
    return hook_of_policy(maps, slots, entry)

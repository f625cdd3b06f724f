# SPDX-License-Identifier: GPL-3.0-or-later
"""The log filters that entry programs call, what is in their slots, and felix's indices."""

from __future__ import annotations

import struct
from typing import Iterator

from .._calico.agent import NAMES, is_felix
from .._calico.ifstate import LAYOUTS
from .._calico.pass_through import slot_of
from .._calico.preamble import JUMP_MAPS, layouts_of_size
from .._errors import RefusedError, SyscallError
from .._kernel import processes
from .._kernel.maps import Map
from .._kernel.netlink import require_library
from .._kernel.programs import Program, loaded_programs
from .._plan.findings_input import Attachment, Interface, Loaded, Node
from .._plan.log_filter import Call, Desired, Observed, Own, Slot, State, StateMap
from .._uapi.bpf import MapType, ProgType
from .agents import agents
from .ifstate import ifstate_map
from .node.report import look
from .node.task import Task

_PAIRS = {row.jump: row.progs for row in JUMP_MAPS if row.progs}


class Arrays:
    """Program arrays by id; each is asked for its name once."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def name(self, map_id: int) -> str:
        """The name of a program array; empty for any other map and one that is gone."""
        if map_id not in self._names:
            self._names[map_id] = self._read(map_id)
        return self._names[map_id]

    def _read(self, map_id: int) -> str:
        try:
            with Map.from_id(map_id) as opened:
                spec = opened.info().spec
        except SyscallError:
            return ""
        return spec.name if spec.type == MapType.PROG_ARRAY else ""

    def pair(self, program: Loaded) -> tuple[int, int] | None:
        """The jump map of a program, and the array with the main programs."""
        names = {self.name(map_id): map_id for map_id in program.map_ids}
        for jump, progs in _PAIRS.items():
            if jump in names and progs in names:
                return names[jump], names[progs]
        return None


def observe(wanted: Desired) -> Observed:
    """One look. Raises MissingLibraryError, RefusedError, SyscallError."""
    require_library()
    task = Task(wanted.bpffs, wanted.pin_dir, None, wanted.interfaces, False, wanted.release, None)
    sight = look(task)
    node = sight.node
    if not node.interfaces_known:
        raise RefusedError(f"The interfaces could not be looked at: {' '.join(sight.warnings)}")
    arrays = Arrays()
    calls = tuple(_calls(node, arrays))
    return Observed(node, calls, tuple(_own(node, arrays)), _states(node), _felix())


def _calls(node: Node, arrays: Arrays) -> Iterator[Call]:
    for interface in node.interfaces:
        for one in interface.attachments:
            if one.calico and one.program:
                yield from _calls_of(interface, one, one.program, arrays)


def _calls_of(
    interface: Interface, one: Attachment, program: Loaded, arrays: Arrays
) -> Iterator[Call]:
    pair = arrays.pair(program)
    constants = program.constants
    if pair is None or constants is None:
        return
    jump, programs = pair
    state_map = _state_map(constants.value_size)
    for called in constants.log_filters:
        slot = Slot(jump, arrays.name(jump), called.slot)
        held = called.program
        own = held is not None and is_own(held, slot.number, programs)
        yield Call(
            interface.name,
            interface.ifindex,
            one.hook,
            one.kind,
            slot,
            programs,
            held,
            own,
            state_map,
        )


def _state_map(value_size: int) -> str:
    """The interface state map of the releases with constants of this size in bytes."""
    for constants in layouts_of_size("tc", value_size):
        for row in LAYOUTS:
            if row.releases.overlaps(constants.releases):
                return row.map_name
    return ""


def held_in(slot: Slot) -> int | None:
    """The id of the program in a slot; None in an empty one. Raises SyscallError."""
    with Map.from_id(slot.map_id) as opened:
        raw = opened.lookup(struct.pack("<I", slot.number), 4)
    return None if raw is None else int(struct.unpack("<I", raw)[0])


def is_own(prog_id: int, slot: int, programs: int) -> bool:
    """Whether a program is a pass-through program for this slot and array of programs."""
    try:
        with Program.from_id(prog_id) as opened:
            info = opened.info()
    except SyscallError:
        return False
    return (info.type, slot_of(info.name), info.map_ids) == (ProgType.SCHED_CLS, slot, (programs,))


def _own(node: Node, arrays: Arrays) -> Iterator[Own]:
    """Pass-through programs in this node's arrays; ids are global, so others' are passed."""
    jumps = dict(_jumps(node, arrays))
    for info in loaded_programs():
        number = slot_of(info.name)
        if number is None or info.type != ProgType.SCHED_CLS or len(info.map_ids) != 1:
            continue
        jump = jumps.get(info.map_ids[0])
        if jump is not None:
            slot = Slot(jump, arrays.name(jump), number)
            if held_in(slot) == info.id:
                yield Own(slot, info.id)


def _jumps(node: Node, arrays: Arrays) -> Iterator[tuple[int, int]]:
    """The jump map beside each array of programs: the pinned ones, and those in use."""
    pinned = {one.path: one.id for one in node.maps}
    for path, map_id in pinned.items():
        directory, _, name = path.rpartition("/")
        progs = pinned.get(f"{directory}/{_PAIRS.get(name, '')}")
        if progs is not None:
            yield progs, map_id
    for interface in node.interfaces:
        for one in interface.attachments:
            pair = arrays.pair(one.program) if one.calico and one.program else None
            if pair:
                yield pair[1], pair[0]


def _states(node: Node) -> dict[str, StateMap]:
    found = {}
    for row in LAYOUTS:
        seen = ifstate_map(node, (row.map_name,))
        if seen:
            entries = {
                ifindex: State(one.name, one.filter_ingress, one.filter_egress)
                for ifindex, one in seen.entries.items()
                if one.filter_ingress is not None and one.filter_egress is not None
            }
            found[row.map_name] = StateMap(seen.path, seen.id, entries)
    return found


def _felix() -> tuple[str, ...]:
    """felix by its arguments, or by the maps that it holds."""
    named = {one.pid for one in processes.named(NAMES) if is_felix(one.name, one.arguments)}
    return tuple(
        f"process {one.pid}, {one.command}"
        for one in agents()
        if one.pid in named or one.in_ebpf_mode
    )

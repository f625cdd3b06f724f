# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes so that no entry program calls a log filter that is not there."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Iterable, Iterator, Mapping, NamedTuple

from .._calico.defects import defect
from .._calico.pass_through import SLOTS
from .._calico.versions import VersionSet
from .._errors import BadInputError, RefusedError
from . import inputs
from .findings_attach import stale_log_filters
from .findings_input import Finding, Node
from .tc_hooks import unproven
from .tc_task import stated_release

CODE = "LOG_FILTER_STALE"
LONGEST_WATCH = 600
"""Seconds."""


class Desired(NamedTuple):
    """The task's parameters."""

    method: str
    interfaces: tuple[str, ...]
    felix_about_to_restart: bool
    logging_ends: bool
    watch_trace: int
    bpffs: str
    pin_dir: str
    release: VersionSet | None

    @property
    def writes_state(self) -> bool:
        """Whether felix's state of the interfaces is to be written."""
        return self.method in ("ifstate", "both")

    @property
    def passes_through(self) -> bool:
        """Whether programs are to be put into empty slots."""
        return self.method in ("passthrough", "both")

    def ends(self, call: Call) -> bool:
        """Whether the index of a call is to be forgotten."""
        return self.means(call.interface) and (call.stale or self.logging_ends)

    def means(self, interface: str) -> bool:
        """Whether the task is about an interface."""
        return any(fnmatchcase(interface, pattern) for pattern in self.interfaces)


class Slot(NamedTuple):
    """An element of a program array; ``map_name`` is for sentences."""

    map_id: int
    map_name: str
    number: int

    def __str__(self) -> str:
        return f"slot {self.number} of {self.map_name}"


class Call(NamedTuple):
    """A log filter that an attached program of Calico's calls.

    ``kind`` is that of the attachment. ``programs`` is the id of the array with the main programs.
    ``held`` is the id of the program in the slot, None in an empty one; ``own``: it is a
    pass-through program. ``state_map`` is the name of the release's interface state map.
    """

    interface: str
    ifindex: int
    hook: str
    kind: str
    slot: Slot
    programs: int
    held: int | None
    own: bool
    state_map: str

    @property
    def stale(self) -> bool:
        """Whether the log filter is not there."""
        return self.held is None or self.own


class Own(NamedTuple):
    """A pass-through program in a slot."""

    slot: Slot
    prog_id: int


class State(NamedTuple):
    """felix's indices of the log filters of an interface, -1 for none."""

    interface: str
    ingress: int
    egress: int


class StateMap(NamedTuple):
    """An interface state map and its entries by ifindex."""

    path: str
    id: int
    entries: Mapping[int, State]


class Observed(NamedTuple):
    """``states`` by the name of the map. ``felix`` are its processes, in words."""

    node: Node
    calls: tuple[Call, ...] = ()
    own: tuple[Own, ...] = ()
    states: Mapping[str, StateMap] = {}
    felix: tuple[str, ...] = ()


class Pass(NamedTuple):
    """Put a pass-through program into the empty slot of a call."""

    call: Call
    sentence: str


class Reset(NamedTuple):
    """Write -1 into both filter fields of an interface's entry."""

    path: str
    map_id: int
    ifindex: int
    before: State
    sentence: str


class Clear(NamedTuple):
    """Empty a slot that holds a pass-through program."""

    own: Own
    sentence: str


class Plan(NamedTuple):
    """What is done, in this order, and what there is to say."""

    passes: tuple[Pass, ...] = ()
    resets: tuple[Reset, ...] = ()
    clears: tuple[Clear, ...] = ()
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def actions(self) -> tuple[str, ...]:
        """Sentences in their order."""
        silent = (one.sentence for one in self.passes)
        written = (one.sentence for one in self.resets)
        return (*silent, *written, *(one.sentence for one in self.clears))


def desired(params: Mapping[str, Any]) -> Desired:
    """The parameters as a value. Raises BadInputError."""
    names = tuple(params["interfaces"])
    if not names or "" in names:
        raise BadInputError("interfaces", list(names), "has to name interfaces, or patterns")
    pin_dir = params["pin_dir"] or f"{params['bpffs'].rstrip('/')}/tc/globals"
    for name, path in (("bpffs", params["bpffs"]), ("pin_dir", pin_dir)):
        inputs.directory_path(name, path)
    inputs.in_range("watch_trace", params["watch_trace"], 0, LONGEST_WATCH)
    return Desired(
        params["method"],
        names,
        params["felix_about_to_restart"],
        params["logging_ends"],
        params["watch_trace"],
        params["bpffs"],
        pin_dir,
        stated_release(params["calico_version"]),
    )


def plan(wanted: Desired, seen: Observed) -> Plan:
    """The steps; none when all is as wanted.

    Raises RefusedError when felix runs and would overwrite what is to be written.
    """
    stale = [call for call in seen.calls if call.stale and wanted.means(call.interface)]
    warnings = list(_unproven(wanted, seen.node))
    resets = tuple(_resets(wanted, seen, warnings))
    if resets and seen.felix and not wanted.felix_about_to_restart:
        raise RefusedError(
            f"felix runs ({'; '.join(seen.felix)}) and may overwrite what is written into "
            f"{resets[0].path}; stop it first, or set felix_about_to_restart when its restart is "
            "the next thing that happens.",
            CODE,
        )
    passes = tuple(_passes(stale)) if wanted.passes_through else ()
    found = (one for one in stale_log_filters(seen.node) if wanted.means(one.object))
    return Plan(passes, resets, tuple(_clears(seen)), tuple(found), tuple(warnings))


def _unproven(wanted: Desired, node: Node) -> Iterator[str]:
    """What may call a log filter too, but shows too little of what it is."""
    for one in node.interfaces:
        if wanted.means(one.name):
            for attached in one.attachments:
                yield from unproven(f"{one.name} {attached.hook}", (attached,))


def _passes(stale: Iterable[Call]) -> Iterator[Pass]:
    """One program for each empty slot, which both families of an interface share."""
    empty = {call.slot: call for call in stale if call.held is None and call.slot.number < SLOTS}
    for slot, call in empty.items():
        yield Pass(call, f"Put a pass-through program into {slot} for {call.interface} {call.hook}")


def _resets(wanted: Desired, seen: Observed, warnings: list[str]) -> Iterator[Reset]:
    if not wanted.writes_state:
        return
    interfaces = {call.ifindex: call for call in seen.calls if wanted.ends(call)}
    release = seen.node.release.releases
    if not defect(CODE).affected.overlaps(release):
        if any(call.stale for call in interfaces.values()):
            warnings.append(
                f"Calico {release} resets the indices itself when felix starts; nothing was "
                "written for it."
            )
        return
    for ifindex, call in interfaces.items():
        states = seen.states.get(call.state_map)
        entry = states.entries.get(ifindex) if states else None
        if states is None or entry is None or entry.interface != call.interface:
            place = states.path if states else f"a pinned {call.state_map}"
            warnings.append(f"{call.interface} has no entry in {place}; felix starts it afresh.")
        elif (entry.ingress, entry.egress) != (-1, -1):
            sentence = (
                f"Write -1 over the log filters {entry.ingress} and {entry.egress} of "
                f"{entry.interface} in {states.path}"
            )
            yield Reset(states.path, states.id, ifindex, entry, sentence)


def _clears(seen: Observed) -> Iterator[Clear]:
    """Pass-through programs in slots that nothing calls as a log filter any more."""
    called = {(call.slot.map_id, call.slot.number) for call in seen.calls}
    for one in seen.own:
        if (one.slot.map_id, one.slot.number) not in called:
            yield Clear(one, f"Take the pass-through program {one.prog_id} out of {one.slot}")

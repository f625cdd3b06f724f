# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to leave nothing of eBPF mode on a node, and nothing else touched."""

from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple

from .._calico.evidence import Verdict
from .._errors import RefusedError
from .._uapi.bpf import MapType
from .connect_removal import detachments, place, severed
from .dataplane_stays import left_alone
from .dataplane_task import KINDS, Desired, Observed, is_final
from .felix_mode import evidence
from .findings_input import Attachment, Interface, Loaded, Node, PinnedMap
from .removal import (
    DeviceAt,
    DirectoryAt,
    FileAt,
    LeftAlone,
    LinkAt,
    PinAt,
    SettingAt,
    Step,
    XdpAt,
)
from .tc_absent import absent_steps
from .wording import several

SYSCTL = "sysctl"


class Plan(NamedTuple):
    """Steps in order; all that is proven Calico's, chosen or not; and what may be and stays."""

    actions: tuple[Step, ...]
    residue: tuple[Step, ...]
    left_alone: tuple[LeftAlone, ...]
    warnings: tuple[str, ...] = ()

    @property
    def settings_before(self) -> dict[str, str]:
        """Kernel settings that will change, as they are."""
        return {one.name: one.before for one in self._settings()}

    @property
    def settings_after(self) -> dict[str, str]:
        """The same as they will be."""
        return {one.name: one.value for one in self._settings()}

    def _settings(self) -> list[SettingAt]:
        return [step.target for step in self.actions if isinstance(step.target, SettingAt)]


def plan(wanted: Desired, seen: Observed) -> Plan:
    """The steps to a node without eBPF mode.

    Raises RefusedError when the bpffs is another one, when felix runs in eBPF mode, when a program
    would stay without the program arrays that it calls into, or when a setting cannot be restored.
    """
    require_bpffs(seen.node)
    residue = tuple(sorted(_residue(seen), key=lambda step: KINDS.index(step.kind)))
    chosen = _with_directories(wanted, seen, residue)
    running = evidence(seen.agents) if chosen else ()
    if running and not wanted.disrupt_running_felix:
        raise RefusedError(
            "felix runs in eBPF mode on this node, and without its programs the pods lose the "
            f"network: {' '.join(running)} Switch felix to iptables or stop it first; "
            "disrupt_running_felix=true removes all the same."
        )
    _require_callees(wanted, seen)
    steps = (*chosen, *_settings(wanted, seen))
    return Plan(steps, residue, tuple(left_alone(seen)), _warnings(wanted, seen, running))


def require_bpffs(node: Node) -> None:
    """Raise RefusedError when pins could be on a bpffs that nobody looked at."""
    if node.bpffs and not node.bpffs_there:
        raise RefusedError(
            f"bpffs: no bpffs is mounted there, so nobody looked at the pins; there is one at "
            f"{several(node.bpffs)}."
        )


def _residue(seen: Observed) -> Iterator[Step]:
    """One step for each object that is proven Calico's, directories left out."""
    node = seen.node
    for interface in node.interfaces:
        yield from _on_interface(interface, seen)
    for kind, pins in seen.link_pins.items():
        yield from severed(pins, kind)
    yield from detachments(node.connect_time, node.pins)
    yield from pin_steps(node.maps)
    yield from _devices(seen)
    for path in seen.records:
        yield Step("record", path, f"Delete the record {path}", FileAt(path))


def _on_interface(interface: Interface, seen: Observed) -> Iterator[Step]:
    for step in absent_steps(interface, seen.others, seen.node.pins):
        yield step._replace(kind="tcx" if isinstance(step.target, LinkAt) else "tc")
    for one in interface.attachments:
        if one.calico and one.kind == "xdp":
            yield _xdp(interface, one)


def _xdp(interface: Interface, one: Attachment) -> Step:
    target = XdpAt(interface.name, interface.ifindex, one.mode or "", one.prog_id or 0)
    named = f"{interface.name} {one.mode} program {one.prog_id}"
    sentence = f"Detach {one.name}, program {one.prog_id}, from {interface.name} ({one.mode})"
    return Step("xdp", named, sentence, target)


def pin_steps(maps: Iterable[PinnedMap]) -> Iterator[Step]:
    """Program arrays first: what still called into them is gone."""
    own = [one for one in maps if one.owner.verdict is Verdict.CALICO]
    for one in sorted(own, key=lambda one: one.spec.type != MapType.PROG_ARRAY):
        sentence = f"Unpin {one.path}, map id {one.id}"
        yield Step("pin", one.path, sentence, PinAt(one.path, "map", one.id))


def _devices(seen: Observed) -> Iterator[Step]:
    """A veth pair goes by one end."""
    done: set[str] = set()
    for one in seen.node.devices:
        if one.owner.verdict is Verdict.CALICO and one.name not in done:
            pair = (one.name, one.peer)
            done.update(pair)
            others = ", ".join(_foreign_on(pair, seen))
            sentence = f"Delete {one.name} and its peer {one.peer}"
            if others:
                sentence += f", and with them what is not Calico's on them: {others}"
            yield Step("device", one.name, sentence, DeviceAt(one.name, one.peer))


def _foreign_on(names: tuple[str, ...], seen: Observed) -> Iterator[str]:
    for interface in seen.node.interfaces:
        for one in interface.attachments if interface.name in names else ():
            if not one.calico:
                yield f"program {one.prog_id} at {interface.name} {one.hook}"


def _with_directories(
    wanted: Desired, seen: Observed, residue: tuple[Step, ...]
) -> tuple[Step, ...]:
    """The chosen steps, and the directories that are empty by then."""
    chosen = [step for step in residue if step.kind in wanted.kinds]
    gone = {path for step in chosen for path in _paths(step)}
    for one in seen.directories if "directory" in wanted.kinds else ():
        if gone.issuperset(one.entries):
            gone.add(one.path)
            sentence = f"Remove the empty directory {one.path}"
            chosen.append(Step("directory", one.path, sentence, DirectoryAt(one.path)))
    # Those of records are outside the bpffs and go when the records are gone.
    records = {one for one in gone if one in seen.records}
    late = {one.path for one in seen.directories if records.intersection(one.entries)}
    return tuple(sorted(chosen, key=lambda step: _rank(step, late)))


def _paths(step: Step) -> tuple[str, ...]:
    if isinstance(step.target, LinkAt):
        return step.target.pins
    return (step.target.path,) if isinstance(step.target, (PinAt, FileAt)) else ()


def _rank(step: Step, late: Iterable[str]) -> int:
    last = isinstance(step.target, DirectoryAt) and any(
        one == step.target.path or one.startswith(f"{step.target.path}/") for one in late
    )
    return len(KINDS) if last else KINDS.index(step.kind)


def _require_callees(wanted: Desired, seen: Observed) -> None:
    """Raise RefusedError when a program that stays calls into an array that would go."""
    if "pin" not in wanted.kinds:
        return
    arrays = {
        one.id: one.path
        for one in seen.node.maps
        if one.spec.type == MapType.PROG_ARRAY and one.owner.verdict is Verdict.CALICO
    }
    for where, program in staying(wanted, seen):
        held = sorted(arrays[number] for number in set(program.map_ids) & set(arrays))
        if held:
            raise RefusedError(
                f"Program {program.id} on {where} stays, and calls into {', '.join(held)}: without "
                "that pin it would drop every packet. Detach it first, or leave the pins with "
                "exclude=pin."
            )


def staying(wanted: Desired, seen: Observed) -> Iterator[tuple[str, Loaded]]:
    """Attached programs that are not chosen or not proven Calico's, and where they are."""
    for interface in seen.node.interfaces:
        for one in interface.attachments:
            goes = one.calico and ("tcx" if one.link_id else one.kind) in wanted.kinds
            if one.program and not goes:
                yield f"{interface.name} {one.hook}", one.program
    for seated in seen.node.connect_time:
        if seated.owner.verdict is not Verdict.CALICO or "cgroup" not in wanted.kinds:
            yield place(seated), seated.program


def _settings(wanted: Desired, seen: Observed) -> Iterator[Step]:
    found = {one.name: one for one in seen.settings}
    for name, value in wanted.sysctls.items():
        setting = found.get(name)
        if setting is None or setting.value == value:
            continue
        if is_final(setting):
            raise RefusedError(
                f"sysctls: {name} is {setting.value}, and the kernel takes no other value for it "
                "before the node restarts."
            )
        sentence = f"Set {name} from {setting.value} to {value}"
        yield Step(SYSCTL, name, sentence, SettingAt(name, setting.value, value))


def _warnings(wanted: Desired, seen: Observed, running: tuple[str, ...]) -> tuple[str, ...]:
    known = {one.name for one in seen.settings}
    missing = tuple(
        f"sysctls: there is no {name} on this node." for name in wanted.sysctls if name not in known
    )
    return (*(f"felix runs in eBPF mode all the while: {one}" for one in running), *missing)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be Calico's and is not proven so, and what cannot be put back."""

from __future__ import annotations

from typing import Any, Iterable, Iterator

from .._calico.evidence import Verdict
from .._calico.places import is_cleaned
from .connect_removal import left_alone as connect_left_alone
from .connect_removal import place
from .dataplane_task import Observed, is_final
from .findings_input import Interface
from .removal import LeftAlone, Step

_BELOW = "It is below the cgroup roots; name its directory in cgroup_subpath to have it removed."


def left_alone(seen: Observed) -> Iterator[LeftAlone]:
    """Objects that show signs of Calico without all the evidence."""
    node = seen.node
    for interface in node.interfaces:
        yield from _on_interface(interface, seen)
    for kind, pins in seen.link_pins.items():
        yield from connect_left_alone((), pins, kind)
    yield from connect_left_alone(node.connect_time, ())
    shown = {(one.cgroup, one.program.id) for one in node.connect_time}
    for one in node.connect_below:
        known = (one.cgroup, one.program.id) in shown
        if one.owner.verdict is not Verdict.FOREIGN and not known:
            named = f"{place(one)} program {one.program.id}"
            yield LeftAlone("cgroup", named, (*one.owner.reasons, _BELOW))
    yield from _pins(seen)
    for device in node.devices:
        if device.owner.verdict is Verdict.UNPROVEN:
            yield LeftAlone("device", device.name, device.owner.reasons)


def _on_interface(interface: Interface, seen: Observed) -> Iterator[LeftAlone]:
    for one in interface.attachments:
        if one.owner.verdict is Verdict.UNPROVEN:
            kind = "tcx" if one.link_id else one.kind
            named = f"{interface.name} {one.hook} program {one.prog_id}"
            yield LeftAlone(kind, named, one.owner.reasons)
    going = any(
        one.name == interface.name and one.owner.verdict is Verdict.CALICO
        for one in seen.node.devices
    )
    held = any(one.kind == "tc" for one in interface.attachments)
    if interface.clsact and not (held or going or seen.others.get(interface.ifindex)):
        reason = "It is empty, so nothing says who made it."
        yield LeftAlone("tc", f"{interface.name} clsact", (reason,))


def _pins(seen: Observed) -> Iterator[LeftAlone]:
    for one in seen.node.maps:
        if one.owner.verdict is Verdict.UNPROVEN:
            yield LeftAlone("pin", one.path, one.owner.reasons)
    for pin in seen.node.pins:
        if pin.kind not in ("map", "link") and is_cleaned(pin.path.rpartition("/")[2]):
            yield LeftAlone("pin", pin.path, (f"It is a {pin.kind}, of which Calico pins none.",))
    for path in seen.strays:
        yield LeftAlone("pin", path, ("Calico pins nothing in this directory.",))


def shared(seen: Observed) -> tuple[str, ...]:
    """Interfaces whose clsact qdisc has filters of others beside Calico's, of any kind."""
    return tuple(one.name for one in seen.node.interfaces if _is_shared(one, seen))


def _is_shared(interface: Interface, seen: Observed) -> bool:
    filters = [one.calico for one in interface.attachments if one.kind == "tc"]
    others = not all(filters) or bool(seen.others.get(interface.ifindex))
    return any(filters) and others


def residue_facts(residue: Iterable[Step]) -> dict[str, list[str]]:
    """Objects by kind, as results show them."""
    found: dict[str, list[str]] = {}
    for step in residue:
        found.setdefault(step.kind, []).append(step.object)
    return found


def settings_facts(seen: Observed) -> list[dict[str, Any]]:
    """Kernel settings that have the value that felix gives them."""
    return [
        {"name": one.name, "value": one.value, "restorable": not is_final(one)}
        for one in seen.settings
        if one.value == one.felix
    ]

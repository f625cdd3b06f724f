# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that take Calico's programs off an interface's tc hooks."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Iterable, Iterator, Mapping

from .connect_removal import LinkPin, severed
from .findings_input import Attachment, Interface, Pin
from .removal import ClsactAt, FilterAt, LinkAt, Step
from .tc_hooks import LINKS, Other, filter_at

KIND = "tc"


def absent_steps(
    interface: Interface, others: Mapping[int, tuple[Other, ...]], pins: Iterable[Pin]
) -> Iterator[Step]:
    """Filters that are proven Calico's go; the qdisc goes with them when it holds nothing else."""
    tc = [one for one in interface.attachments if one.kind == "tc"]
    own = [one for one in tc if one.calico]
    alone = len(own) == len(tc) and not others.get(interface.ifindex)
    if own and alone:
        yield _qdisc(interface, tuple(filter_at(interface, one) for one in own))
    elif own:
        yield from (_filter(interface, one) for one in own)
    every = tuple(pins)
    for one in interface.attachments:
        if one.calico and one.kind in LINKS and one.link_id and one.prog_id:
            yield _link(interface, one, every)


def _qdisc(interface: Interface, filters: tuple[FilterAt, ...]) -> Step:
    programs = ", ".join(f"{one.hook} program {one.prog_id}" for one in filters)
    sentence = f"Delete the clsact qdisc of {interface.name} with Calico's filters ({programs})"
    target = ClsactAt(interface.name, interface.ifindex, filters)
    return Step(KIND, f"{interface.name} clsact", sentence, target)


def _filter(interface: Interface, one: Attachment) -> Step:
    target = filter_at(interface, one)
    place = f"preference {target.preference}, handle {target.handle:#x}"
    sentence = f"Delete {target.name} at {place} from {interface.name} {one.hook}"
    return Step(KIND, f"{interface.name} {one.hook} {place}", sentence, target)


def _link(interface: Interface, one: Attachment, pins: tuple[Pin, ...]) -> Step:
    paths = tuple(pin.path for pin in pins if pin.kind == "link" and pin.object_id == one.link_id)
    sentence = (
        f"Detach {one.name}, program {one.prog_id}, from {interface.name} {one.hook} "
        f"({one.kind} link {one.link_id})"
    )
    target = LinkAt(one.link_id or 0, one.prog_id or 0, paths)
    return Step(KIND, f"{interface.name} {one.hook} link {one.link_id}", sentence, target)


def loose_pins(links: Iterable[LinkPin], patterns: Iterable[str]) -> Iterator[Step]:
    """Pins of Calico's TCX links that are attached to nothing, of the interfaces meant.

    A pin is named after the interface, without its dots, and the hook (programs 1.3).
    """
    wanted = [pattern.replace(".", "") for pattern in patterns]
    for one in links:
        interface = one.path.rpartition("/")[2].rpartition("_")[0]
        if any(fnmatchcase(interface, pattern) for pattern in wanted):
            yield from severed((one,), KIND)

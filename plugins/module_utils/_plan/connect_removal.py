# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to remove Calico's connect-time programs, their links and their pins."""

from __future__ import annotations

from typing import Iterable, Iterator, NamedTuple

from .._calico.connect_time import HOOKS
from .._calico.evidence import Ownership, Verdict
from .findings_input import ConnectTime, Pin
from .removal import CgroupAt, LeftAlone, LinkAt, PinAt, Step

KIND = "cgroup"
_TYPES = {hook.section: int(hook.attach_type) for hook in HOOKS}


class LinkPin(NamedTuple):
    """A pinned link that none of the hooks looked at shows, and whose it is.

    ``severed``: it is attached to nothing; all others are attached elsewhere.
    """

    path: str
    link_id: int
    owner: Ownership
    severed: bool


def place(one: ConnectTime) -> str:
    """Where a program is, for sentences and results."""
    return f"{one.section} of {one.cgroup}"


def method(one: ConnectTime) -> str:
    """How it is attached: legacy, multi or link."""
    if one.legacy:
        return "legacy"
    return "multi" if one.link_id is None else "link"


def pins_of(link_id: int | None, pins: Iterable[Pin]) -> tuple[str, ...]:
    """Paths at which a link is pinned."""
    return tuple(one.path for one in pins if one.kind == "link" and one.object_id == link_id)


def detachments(programs: Iterable[ConnectTime], pins: Iterable[Pin]) -> Iterator[Step]:
    """One step for each program that is proven Calico's."""
    every = tuple(pins)
    for one in programs:
        if one.owner.verdict is not Verdict.CALICO:
            continue
        name = f"{one.program.evidence.name}, program {one.program.id}"
        where = place(one)
        if one.link_id is None:
            sentence = f"Detach {name}, attached {method(one)}, from {where}"
            target = CgroupAt(
                one.cgroup, _TYPES[one.section], one.program.id, one.program.evidence.name
            )
            yield Step(KIND, f"{where} program {one.program.id}", sentence, target)
            continue
        found = pins_of(one.link_id, every)
        pinned = f" and unpin {' and '.join(found)}" if found else ""
        sentence = f"Detach {name}, attached by link {one.link_id}, from {where}{pinned}"
        link = LinkAt(one.link_id, one.program.id, found)
        yield Step(KIND, f"{where} program {one.program.id}", sentence, link)


def severed(pins: Iterable[LinkPin], kind: str) -> Iterator[Step]:
    """One step for each pin of a link of Calico's that is attached to nothing."""
    for one in pins:
        if one.severed and one.owner.verdict is Verdict.CALICO:
            sentence = f"Unpin {one.path}, link {one.link_id}, which is attached to nothing"
            yield Step(kind, one.path, sentence, PinAt(one.path, "link", one.link_id))


def left_alone(
    programs: Iterable[ConnectTime], pins: Iterable[LinkPin], kind: str = KIND
) -> Iterator[LeftAlone]:
    """What may be Calico's and is not proven so."""
    for one in programs:
        if one.owner.verdict is Verdict.UNPROVEN:
            named = f"{place(one)} program {one.program.id}"
            yield LeftAlone(KIND, named, one.owner.reasons)
    for pin in pins:
        if pin.owner.verdict is Verdict.UNPROVEN:
            yield LeftAlone(kind, pin.path, pin.owner.reasons)

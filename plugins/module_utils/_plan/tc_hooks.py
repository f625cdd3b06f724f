# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands at the hooks of an interface, and which of Calico's programs felix keeps up."""

from __future__ import annotations

import re
from typing import Iterable, Iterator, Mapping, NamedTuple

from .._calico.evidence import Verdict
from .._calico.maps import rows_named
from .._calico.places import OLD_JUMPS
from .._calico.tc_attach import entry_names
from .findings_attach import HOOKS
from .findings_input import Attachment, Interface, Node
from .removal import FilterAt
from .tc_places import Place

LINKS = ("tcx", "netkit")

_LACKING = re.compile(r"\b(no|not|gone)\b")
"""What tells the reasons that speak against an owner from those that speak for it."""


class Other(NamedTuple):
    """A filter that is no BPF filter, such as flower."""

    hook: str
    preference: int
    kind: str


class Hook(NamedTuple):
    """The live program of Calico's, tc filters of Calico's beside it, and all that is not its.

    ``links`` are Calico's TCX or netkit programs beside a live filter. ``undecided``: there are
    several programs, and no pinned array to tell which of them felix keeps up.
    """

    live: Attachment | None
    stale: tuple[Attachment, ...] = ()
    links: tuple[Attachment, ...] = ()
    foreign: tuple[Attachment, ...] = ()
    others: tuple[Other, ...] = ()
    undecided: bool = False

    @property
    def filter(self) -> Attachment | None:
        """The live program, where it is attached by a tc filter."""
        return self.live if self.live and self.live.kind == "tc" else None

    @property
    def taken(self) -> tuple[int, ...]:
        """Preferences of tc filters that are not proven Calico's."""
        foreign = (one.preference for one in self.foreign if one.preference is not None)
        return (*foreign, *(one.preference for one in self.others))


def jump_arrays(node: Node) -> frozenset[int]:
    """Ids of the program arrays that felix fills now: pinned, and not put aside by its start."""
    aside = f"/{OLD_JUMPS.rpartition('/')[2]}/"
    return frozenset(
        one.id
        for one in node.maps
        if one.owner.verdict is Verdict.CALICO and aside not in one.path and _is_array(one.path)
    )


def _is_array(path: str) -> bool:
    roles = {part for row in rows_named(path.rpartition("/")[2]) for part in row.role.split("_")}
    return bool(roles & {"jump", "progs"})


def hooks_of(
    interface: Interface, arrays: frozenset[int], others: Iterable[Other] = ()
) -> dict[str, Hook]:
    """Both hooks of an interface, as they are."""
    every = tuple(others)
    return {hook: _hook(interface, hook, arrays, every) for hook in HOOKS}


def _hook(
    interface: Interface, hook: str, arrays: frozenset[int], others: tuple[Other, ...]
) -> Hook:
    here = [one for one in interface.attachments if one.hook == hook]
    own = sorted((one for one in here if one.calico), key=lambda one: rank(one, arrays))
    rest = own[:-1]
    return Hook(
        own[-1] if own else None,
        tuple(one for one in rest if one.kind == "tc"),
        tuple(one for one in rest if one.kind in LINKS),
        tuple(one for one in here if not one.calico),
        tuple(one for one in others if one.hook == hook),
        not arrays and len({one.prog_id for one in own}) > 1,
    )


def rank(one: Attachment, arrays: frozenset[int]) -> tuple[bool, bool, int, int]:
    """Of several programs of Calico's at one hook the highest is the live one.

    It calls into the arrays that felix fills, and finds a program there. Of equals it is the one
    that was loaded last: felix up to 3.28.4 attaches the new filter before it deletes the old one,
    and later releases replace one of two and know nothing of the other (programs 1.2, 2.3).
    Program ids rise. Filters with one program are what an interrupted repair leaves.
    """
    program = one.program
    mains = program.constants.main if program and program.constants else ()
    return (
        bool(program and arrays.intersection(program.map_ids)),
        not mains or any(slot.filled for slot in mains),
        one.prog_id or 0,
        one.preference or 0,
    )


def place_of(one: Attachment) -> Place:
    """Where a tc filter stands."""
    return Place(one.preference or 0, one.handle or 0)


def filter_at(interface: Interface, one: Attachment) -> FilterAt:
    """A tc filter as executors find it again."""
    place = place_of(one)
    return FilterAt(
        interface.name,
        interface.ifindex,
        one.hook,
        place.preference,
        place.handle,
        one.name,
        one.prog_id,
    )


def shown(hooks: Mapping[str, Hook]) -> dict[str, list[str]]:
    """Calico's programs at the hooks, for results."""
    return {name: [described(one) for one in _own(hook)] for name, hook in hooks.items()}


def _own(hook: Hook) -> list[Attachment]:
    live = [hook.live] if hook.live else []
    every = (*live, *hook.stale, *hook.links)
    return sorted(every, key=lambda one: (one.kind == "tc", place_of(one)))


def described(one: Attachment) -> str:
    """One program and how it is attached."""
    if one.kind == "tc":
        return f"program {one.prog_id} at {place_of(one)}"
    return f"program {one.prog_id} by {one.kind} link {one.link_id}"


def unproven(where: str, attachments: Iterable[Attachment]) -> Iterator[str]:
    """Warnings about programs that have the name of Calico's and not all other evidence."""
    for one in attachments:
        if not one.calico and one.name.partition(":")[0] in entry_names("tc"):
            why = [reason for reason in one.owner.reasons if _LACKING.search(reason)]
            yield " ".join(
                (f"{where}: {one.name} is not proven Calico's and was left alone.", *why)
            )

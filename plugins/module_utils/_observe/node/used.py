# SPDX-License-Identifier: GPL-3.0-or-later
"""The maps that attached programs use: their own, and those of the main programs they call."""

from __future__ import annotations

from typing import Iterable, Iterator

from ..._plan.findings_input import Attachment, Interface, Loaded, UsedMap
from .notes import Notes
from .programs import Programs


def used_maps(
    interfaces: Iterable[Interface], programs: Programs, notes: Notes
) -> tuple[UsedMap, ...]:
    """All maps by the programs that are proven Calico's, in the order of their ids."""
    users: dict[int, dict[str, None]] = {}
    for interface in interfaces:
        for one in interface.attachments:
            for map_id in _reached(one, programs, notes) if one.calico else ():
                users.setdefault(map_id, {})[f"{interface.name} {one.hook}"] = None
    found = ((map_id, programs.spec(map_id)) for map_id in sorted(users))
    return tuple(UsedMap(map_id, spec, tuple(users[map_id])) for map_id, spec in found if spec)


def _reached(one: Attachment, programs: Programs, notes: Notes) -> Iterator[int]:
    if one.program is None:
        return
    yield from one.program.map_ids
    for slot in one.program.constants.main if one.program.constants else ():
        if slot.program is not None:
            called = _loaded(slot.program, programs, notes)
            yield from called.map_ids if called else ()


def _loaded(prog_id: int, programs: Programs, notes: Notes) -> Loaded | None:
    with notes.reading(f"Program {prog_id}"):
        return programs.loaded(prog_id)
    return None

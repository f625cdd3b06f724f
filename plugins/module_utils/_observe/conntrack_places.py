# SPDX-License-Identifier: GPL-3.0-or-later
"""Where programs that use a map are attached, in words for a message."""

from __future__ import annotations

from .node.interfaces import Walk
from .node.notes import Notes
from .node.programs import Programs

_SHOWN = 10


def places_of(map_id: int) -> str:
    """Interfaces and hooks of programs that refer to the map; empty where none is known.

    Programs in program arrays and on cgroups have no interface; without pyroute2 only TCX links
    are seen.
    """
    places = [
        f"{interface.name} {one.hook} ({one.kind})"
        for interface in Walk((), Programs(), {}, Notes()).all().interfaces
        for one in interface.attachments
        if one.program and map_id in one.program.map_ids
    ]
    more = ", ..." if len(places) > _SHOWN else ""
    return f" on {', '.join(places[:_SHOWN])}{more}" if places else ""

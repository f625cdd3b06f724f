# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to leave no pin of a newer release than the one that a node went back to."""

from __future__ import annotations

from typing import Iterator

from .._calico.evidence import Verdict
from .._calico.maps import rows_named
from .._calico.versions import VersionSet
from .._errors import RefusedError
from .._uapi.bpf import MapType
from . import dataplane
from .dataplane_task import Desired, Observed
from .findings_input import PinnedMap
from .findings_release import own_maps, pin_name
from .removal import LeftAlone

Plan = dataplane.Plan


def plan(wanted: Desired, seen: Observed) -> Plan:
    """The steps of the task: those of ``newer_than``, where it is given.

    Raises RefusedError as dataplane.plan does, and when programs still call into a program array
    of a newer release, which would then drop every packet.
    """
    if wanted.newer_than is None:
        return dataplane.plan(wanted, seen)
    dataplane.require_bpffs(seen.node)
    newer = [one for one in own_maps(seen.node) if _is_newer(one, wanted.newer_than)]
    _require_unused(wanted, seen, newer)
    steps = tuple(dataplane.pin_steps(newer))
    left = tuple(
        LeftAlone("pin", one.path, one.owner.reasons)
        for one in newer
        if one.owner.verdict is Verdict.UNPROVEN
    )
    return Plan(steps, steps, left)


def _is_newer(one: PinnedMap, release: VersionSet) -> bool:
    """Whether only later releases make it; conntrack maps are conntrack_map's."""
    rows = rows_named(pin_name(one))
    if not rows or rows[0].role == "conntrack":
        return False
    return min(row.releases.spans[0].low for row in rows) >= release.spans[-1].high


def _require_unused(wanted: Desired, seen: Observed, newer: list[PinnedMap]) -> None:
    arrays = {one.id: one.path for one in newer if one.spec.type == MapType.PROG_ARRAY}
    for where, number, held in _callers(seen, arrays):
        raise RefusedError(
            f"newer_than: program {number} on {where} calls into {held}, so a newer release than "
            f"{wanted.newer_than} still works on this node."
        )


def _callers(seen: Observed, arrays: dict[int, str]) -> Iterator[tuple[str, int, str]]:
    nothing = Desired((), {}, False)
    for where, program in dataplane.staying(nothing, seen):
        for number in program.map_ids:
            if number in arrays:
                yield where, program.id, arrays[number]

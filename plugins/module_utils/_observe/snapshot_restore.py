# SPDX-License-Identifier: GPL-3.0-or-later
"""The node, and what of a snapshot it lacks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, NamedTuple

from .._calico.conntrack_expiry import expiry_of
from .._kernel import proc
from .._plan.snapshot_facts import Sound, snapshot_facts
from .._plan.snapshot_restore import (
    Staged,
    clock_of,
    keeps_first_words,
    pairs_of,
    plan_restore,
    require_memory,
    restored_facts,
)
from .._plan.snapshot_task import SnapshotTask
from .bpf_map import pin_state
from .conntrack_pins import detected, family_of, pinned_maps
from .conntrack_report import unclear
from .snapshot_file import here, opened
from .snapshot_stage import Judgement, Stage, stage


class RestorePlan(NamedTuple):
    """Sentences for the operator, and the entries that they speak of."""

    actions: tuple[str, ...]
    stages: tuple[Stage, ...]


class RestoreSeen(NamedTuple):
    """The snapshot, and its restorable entries by map."""

    sound: Sound
    stages: tuple[Stage, ...]
    warnings: tuple[str, ...]

    @property
    def counts(self) -> list[Staged]:
        """Counts of each map before anything is restored."""
        return [one.counts for one in self.stages]

    def facts(self) -> dict[str, Any]:
        """What results say."""
        return {
            "snapshot": snapshot_facts(self.sound, here()),
            "restored": restored_facts(self.counts),
        }

    def plan(self) -> RestorePlan:
        """What is to be restored. Raises RefusedError."""
        return RestorePlan(plan_restore(self.counts), self.stages)


def observe_restore(task: SnapshotTask, held: ExitStack, read_only: bool) -> RestoreSeen:
    """Compare a snapshot with the node; ``held`` closes what stays open.

    Raises BadInputError for a file that cannot be used, RefusedError for one that must not,
    SyscallError.
    """
    found = held.enter_context(opened(task.path))
    header = found.reader.header
    pinned = pinned_maps(task.pin_dir)
    told = detected(pinned, task.release)
    release = task.release or told.releases
    expiry = expiry_of(release, task.timeouts, proc.netfilter_seconds)
    clock = clock_of(task, header.origin, here())
    tables = {path: spec for path, spec in pinned.items() if family_of(path)}
    pairs = pairs_of(task, header, tables, release)
    judgement = Judgement(expiry, clock, keeps_first_words(header, release))
    stages = []
    for pair in pairs:
        entries = sum(found.reader.entries[number] for number in pair.tables)
        require_memory(pair, entries, proc.memory().available)
        stages.append(stage(held, found.reader, pair, judgement, read_only))
    warnings = (*told.contradictions, *unclear(release, expiry), *_left_out(found.sound, stages))
    return RestoreSeen(found.sound, tuple(stages), warnings)


def _left_out(sound: Sound, stages: list[Stage]) -> tuple[str, ...]:
    """A warning for tables of the families at hand that have another layout than the map."""
    families = {one.counts.pair.family for one in stages}
    taken = {number for one in stages for number in one.counts.pair.tables}
    return tuple(
        f"{table.name} in {sound.path} has another layout than the map in use and is left out."
        for number, table in enumerate(sound.header.tables)
        if number not in taken and family_of(table.name) in families
    )


def replaced_pins(plan: RestorePlan) -> list[str]:
    """Maps that are no longer the ones at their pins; felix may start at any time."""
    return [
        f"another map at {one.counts.pair.path}, so its entries are in the one before"
        for one in plan.stages
        if pin_state(one.counts.pair.path).info != one.target.map.info()
    ]

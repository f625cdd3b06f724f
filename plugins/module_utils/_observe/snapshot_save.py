# SPDX-License-Identifier: GPL-3.0-or-later
"""The node before its conntrack tables are saved."""

from __future__ import annotations

from .._kernel.maps import Map
from .._kernel.readers import count_entries
from .._plan.snapshot_save import Held, SavePlan, SaveSeen
from .._plan.snapshot_task import SnapshotTask
from .conntrack_pins import detected, family_of, pinned_maps
from .snapshot_file import facts_at, free_bytes, here, saved_file


def observe_save(task: SnapshotTask) -> SaveSeen:
    """What is at the path, and the conntrack maps with their entries.

    Raises BadInputError for a path that cannot be used, RefusedError, SyscallError.
    """
    free, file = free_bytes(task.path), saved_file(task.path)
    pinned = pinned_maps(task.pin_dir)
    release = task.release or detected(pinned, None).releases
    held = []
    for path in sorted(pinned):
        if family_of(path) in task.families:
            with Map.open(path, read_only=True) as opened:
                held.append(Held(path, pinned[path], count_entries(opened, pinned[path])))
    return SaveSeen(file, tuple(held), here(release.written()), free)


def unsaved(task: SnapshotTask, plan: SavePlan) -> list[str]:
    """What is not as planned after saving: the file is read through once more."""
    if not plan.tables:
        return []
    facts = facts_at(task.path)
    if facts is None:
        return [f"no sound snapshot at {task.path}"]
    names = [table["name"] for table in facts["tables"]]
    return [
        f"no {one.table.name} in {task.path}" for one in plan.tables if one.table.name not in names
    ]

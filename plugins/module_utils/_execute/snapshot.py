# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a snapshot, and restores from one."""

from __future__ import annotations

import os
from typing import Any

from .._kernel import files
from .._kernel.maps import Map
from .._kernel.readers import chunks, open_reader
from .._kernel.user_passes import carry
from .._observe.snapshot_file import here, unusable
from .._observe.snapshot_restore import RestorePlan
from .._observe.snapshot_stage import MISSING_ONLY
from .._plan.snapshot_save import BLOCK_ENTRIES, Held, SavePlan
from .._plan.snapshot_task import SnapshotTask
from .._snapshot.header import Header
from .._snapshot.stream import SnapshotWriter


def save(task: SnapshotTask, plan: SavePlan) -> dict[str, Any]:
    """Carry the plan out. Raises BadInputError when the file cannot be written, SyscallError."""
    try:
        if plan.leftover:
            os.unlink(plan.leftover)
        if plan.tables:
            _write(task.path, plan)
    except OSError as error:
        raise unusable(task.path, "written", error) from error
    return {}


def _write(path: str, plan: SavePlan) -> None:
    """Stream the maps into the file; a chunk is in memory, however large they are."""
    header = Header(here(plan.release), tuple(held.table for held in plan.tables))
    with files.replaced(path) as file:
        writer = SnapshotWriter(file, header)
        for number, held in enumerate(plan.tables):
            _write_table(writer, number, held)
        writer.finish()


def _write_table(writer: SnapshotWriter, number: int, held: Held) -> None:
    with Map.open(held.path, read_only=True) as source:
        for chunk in chunks(open_reader(source, held.spec, BLOCK_ENTRIES), held.spec):
            writer.add(number, chunk.key_view, chunk.value_view, chunk.count)


def restore(plan: RestorePlan) -> dict[str, Any]:
    """Insert what is missing; nothing that a map has is overwritten. Raises SyscallError."""
    passes = [carry(one.source, one.target, MISSING_ONLY) for one in plan.stages]
    return {"inserted": sum(each.inserted for each in passes)}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a snapshot is to be written, and what stands in its way."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, NamedTuple

from .._errors import BadInputError, RefusedError
from .._snapshot.header import Origin, Table, file_size
from .._uapi.maps import MapSpec
from .snapshot_facts import Sound, shown, shown_as
from .snapshot_task import SnapshotTask

BLOCK_ENTRIES = 256
"""Entries of a block in the file, as many as one call reads from the map."""


class Held(NamedTuple):
    """A conntrack map pinned on the node, and its number of entries now."""

    path: str
    spec: MapSpec
    entries: int

    @property
    def table(self) -> Table:
        """Its description in a snapshot; the pin's name counts, not the map's."""
        spec = self.spec
        sizes = spec.key_size, spec.value_size, spec.max_entries, spec.flags
        return Table(PurePosixPath(self.path).name, spec.type, *sizes)


class SavedFile(NamedTuple):
    """What is at the path.

    ``kind`` is None for nothing. ``fault`` says what is wrong with a file that is no sound
    snapshot; ``foreign``: it does not even begin like one. ``leftover`` is the file that an
    interrupted run left beside it.
    """

    kind: str | None = None
    sound: Sound | None = None
    fault: str = ""
    foreign: bool = False
    leftover: str | None = None


class SaveSeen(NamedTuple):
    """The node before the task; ``free`` in bytes."""

    file: SavedFile
    tables: tuple[Held, ...]
    here: Origin
    free: int


class SavePlan(NamedTuple):
    """What is to be done: sentences for the operator, and the steps that they stand for.

    ``leftover`` is to be removed, ``tables`` to be written as those of ``release``.
    """

    actions: tuple[str, ...]
    leftover: str | None
    tables: tuple[Held, ...]
    release: str
    warnings: tuple[str, ...] = ()


def plan_save(task: SnapshotTask, seen: SaveSeen) -> SavePlan:
    """The steps; none when a snapshot of this boot and these maps is there and shall stay.

    Raises RefusedError, and nothing has changed.
    """
    file = seen.file
    if not seen.tables:
        names = " or ".join(task.families)
        raise RefusedError(f"pin_dir: no conntrack map of {names} is pinned in {task.pin_dir}.")
    if file.kind not in (None, "file"):
        raise BadInputError("path", task.path, f"is a {file.kind}, and a snapshot is a file")
    if file.foreign:
        raise BadInputError("path", task.path, f"{file.fault} and is left alone; name another")
    write = file.kind is None or task.overwrite
    if write:
        _require_room(task, seen)
    else:
        _require_kept(task, seen)
    actions = []
    if file.leftover:
        actions.append(f"Remove {file.leftover}, which an interrupted run has left")
    if write:
        what = " and ".join(f"{one.entries} entries of {one.table.name}" for one in seen.tables)
        actions.append(f"Save {what} to {task.path}")
    tables = seen.tables if write else ()
    warnings = () if write else _kept_warning(task, seen)
    return SavePlan(tuple(actions), file.leftover, tables, seen.here.release, warnings)


def _require_room(task: SnapshotTask, seen: SaveSeen) -> None:
    size = file_size({one.table: one.entries for one in seen.tables}, BLOCK_ENTRIES)
    if size > seen.free:
        raise RefusedError(
            f"path: {task.path} needs {size} bytes, and {seen.free} are free in its file system."
        )


def _require_kept(task: SnapshotTask, seen: SaveSeen) -> None:
    """Refuse to take what is there for the snapshot that the task wants."""
    header = seen.file.sound and seen.file.sound.header
    if header is None:
        fault = seen.file.fault
    elif header.origin.boot_id != seen.here.boot_id:
        fault = f"is a snapshot of another boot, saved on {header.origin.node}"
    else:
        held = {table.name for table in header.tables}
        missing = [one.table.name for one in seen.tables if one.table.name not in held]
        fault = f"is a snapshot without {' and '.join(missing)}" if missing else ""
    if fault:
        raise BadInputError("path", task.path, f"{fault}; overwrite=true replaces it")


def _kept_warning(task: SnapshotTask, seen: SaveSeen) -> tuple[str, ...]:
    sound = seen.file.sound
    age = seen.here.monotonic - sound.header.origin.monotonic if sound else 0
    return (
        f"{task.path} was saved {age // 10**9} s ago and is kept; overwrite=true takes a new one.",
    )


def shown_after(task: SnapshotTask, seen: SaveSeen, plan: SavePlan) -> dict[str, Any]:
    """The file after the task, as a diff shows it."""
    if not plan.tables:
        return shown(seen.file.sound)
    entries = {one.table.name: one.entries for one in plan.tables}
    return shown_as(task.path, "in this run", entries)

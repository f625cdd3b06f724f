# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletes conntrack entries, each group after one more look at it.

Between that look and the deletion lie some microseconds: no system call compares and deletes.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Iterator, NamedTuple, Sequence

from .._errors import RefusedError
from .._kernel.chunks import Chunk
from .._kernel.maps import Map
from .._kernel.writers import Lookup, delete_keys
from .._observe.conntrack_entry import Finder, finder_for
from .._observe.conntrack_search import Packed
from .._plan.conntrack_entry import Group, Plan, Seen, Table, Task

_TOGETHER = 128
"""Entries that are looked at, and then deleted, at a time."""


class Outcome(NamedTuple):
    """By map: what was deleted, and what was gone or no longer meant when it came to that."""

    removed: tuple[Table, ...] = ()
    spared: tuple[Table, ...] = ()


def execute(plan: Plan, wanted: Task, seen: Seen) -> Outcome:
    """Delete what is planned and still meant.

    Raises RefusedError, before anything is deleted, when another map is at a pin than was seen.
    """
    tables = [one.table for one in plan.removals]
    with ExitStack() as stack:
        opened = [stack.enter_context(_open(table)) for table in tables]
        finders = [finder_for(wanted, seen.release, one, stack) for one in opened]
        done = [_delete(table, finder) for table, finder in zip(tables, finders)]
    return Outcome(tuple(removed for removed, _ in done), tuple(spared for _, spared in done))


def _open(table: Table) -> Map:
    opened = Map.open(table.path)
    if opened.info().id != table.map_id:
        opened.close()
        raise RefusedError(
            f"{table.path} names another map than a moment ago, as while felix resizes; nothing "
            "was deleted, run it again."
        )
    return opened


def _delete(table: Table, finder: Finder) -> tuple[Table, Table]:
    removed: list[Group] = []
    spared: list[Group] = []
    for groups in _batches(table.groups):
        going: list[Group] = []
        for group, now in zip(groups, _looked_at(groups, finder)):
            if now is None:
                spared.append(group)
            else:
                going.append(now)
        delete_keys(finder.search.table, [one.key for group in going for one in group])
        removed += going
    return table._replace(groups=tuple(removed)), table._replace(groups=tuple(spared))


def _batches(groups: Sequence[Group]) -> Iterator[list[Group]]:
    batch: list[Group] = []
    for group in groups:
        batch.append(group)
        if sum(map(len, batch)) >= _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def _looked_at(groups: Sequence[Group], finder: Finder) -> Iterator[Group | None]:
    """Each group as it is now; None when nothing of it is meant any more."""
    changed = _changed(groups, finder)
    for group in groups:
        if changed.isdisjoint(one.key for one in group):
            yield group
        else:
            yield _judged_again(group, finder)


def _changed(groups: Sequence[Group], finder: Finder) -> frozenset[bytes]:
    """Keys of entries that are gone or not as they were seen."""
    members = [one for group in groups for one in group]
    key_size, slot = len(members[0].key), len(members[0].value)
    chunk, lookup = Chunk(key_size, slot, len(members)), Lookup(finder.search.table, slot)
    chunk.key_view[:] = b"".join(one.key for one in members)
    chunk.value_view[:] = b"".join(one.value for one in members)
    chunk.count = len(members)
    missing = lookup.missing(chunk, range(len(members)))
    there = sorted(set(range(len(members))).difference(missing))
    return frozenset(members[at].key for at in (*missing, *lookup.differing(chunk, there)))


def _judged_again(group: Group, finder: Finder) -> Group | None:
    found = {}
    for one in group:
        raw = finder.search.lookup(one.key) if one.matched else None
        if raw is not None and finder.search.means(Packed(one.key, raw)):
            found[one.key] = raw
    again = finder.groups(found, [one.key for one in group])
    return tuple(member for part in again for member in part) or None

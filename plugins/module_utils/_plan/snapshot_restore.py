# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries of a snapshot may go into which map, and what stands in the way."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Mapping, NamedTuple, Sequence

from .._calico.codecs.conntrack_layout import FirstWord
from .._calico.conntrack_timeouts import conntrack_rules_of
from .._calico.maps import maps_of_role, rows_named
from .._calico.versions import VersionSet, parse_range
from .._errors import BadInputError, RefusedError
from .._snapshot.header import Header, Origin, Table
from .._uapi.maps import MapSpec
from .map_memory import hash_memory
from .migration import capacity
from .snapshot_task import SnapshotTask


class Pair(NamedTuple):
    """A map, and the numbers of the tables in the file that go into it, the newest last."""

    family: str
    path: str
    spec: MapSpec
    tables: tuple[int, ...]


class Clock(NamedTuple):
    """``now`` is this instant on the clock of the snapshot's boot, in ns."""

    now: int
    other_boot: bool


class Staged(NamedTuple):
    """Counts of entries for one map.

    ``expired`` and ``without_partner`` (NAT_FWD without its NAT_REV) stay out; ``present`` are in
    the map already, ``missing`` are not; ``held`` is what the map has now.
    """

    pair: Pair
    in_file: int
    expired: int
    without_partner: int
    present: int
    missing: int
    held: int


def clock_of(task: SnapshotTask, saved: Origin, here: Origin) -> Clock:
    """The clock by which the snapshot's entries are judged.

    Between two boots only the clock of day tells how long it was; it is at least as long as this
    boot has run. Raises RefusedError for a snapshot of another boot without consent, and of
    another node.
    """
    if saved.boot_id == here.boot_id:
        return Clock(here.monotonic, other_boot=False)
    if not task.rebase_other_boot:
        raise RefusedError(
            f"path: {task.path} was saved in another boot ({saved.boot_id} on {saved.node}), whose "
            "times and interfaces mean nothing in this one; rebase_other_boot=true restores it "
            "all the same."
        )
    if saved.node != here.node:
        raise RefusedError(f"path: {task.path} was saved on {saved.node}, and this is {here.node}.")
    elapsed = max(here.wall - saved.wall, here.monotonic)
    return Clock(saved.monotonic + elapsed, other_boot=True)


def pairs_of(
    task: SnapshotTask, header: Header, pinned: Mapping[str, MapSpec], release: VersionSet
) -> tuple[Pair, ...]:
    """The maps to restore into; ``pinned`` are the node's conntrack maps by path.

    Each family's tables go into the map that ``release`` uses, whatever version they were saved
    from. Raises RefusedError.
    """
    names = {family: _tables_of(header, family) for family in task.families}
    pairs = [
        _pair(task, header, found, _target(task, pinned, release, family))
        for family, found in names.items()
        if found
    ]
    if not pairs:
        wanted = " or ".join(task.families)
        raise RefusedError(f"path: {task.path} holds no entries of {wanted}; see families.")
    return tuple(pairs)


def _tables_of(header: Header, family: str) -> list[int]:
    """Numbers of the family's tables, in rising map version."""
    prefix = f"cali_v{family[-1]}_ct"
    found = [n for n, table in enumerate(header.tables) if table.name.startswith(prefix)]
    return sorted(found, key=lambda number: header.tables[number].name)


def _target(
    task: SnapshotTask, pinned: Mapping[str, MapSpec], release: VersionSet, family: str
) -> tuple[str, str, MapSpec]:
    names = {row.name for row in maps_of_role(release, "conntrack")}
    prefix = f"cali_v{family[-1]}_"
    paths = [
        path
        for path in sorted(pinned)
        if PurePosixPath(path).name in names and PurePosixPath(path).name.startswith(prefix)
    ]
    if not paths:
        raise RefusedError(
            f"pin_dir: no {family} conntrack map of Calico {release} is pinned in {task.pin_dir}, "
            f"to which {task.path} could be restored."
        )
    return family, paths[-1], pinned[paths[-1]]


def _pair(
    task: SnapshotTask, header: Header, numbers: Sequence[int], target: tuple[str, str, MapSpec]
) -> Pair:
    family, path, spec = target
    for number in numbers:
        if not rows_named(header.tables[number].name):
            raise RefusedError(
                f"path: {header.tables[number].name} in {task.path} is of a version that is not "
                "known here."
            )
    fitting = tuple(n for n in numbers if _same_layout(header.tables[n], spec))
    if not fitting:
        table = header.tables[numbers[-1]]
        raise RefusedError(
            f"path: {table.name} in {task.path} has entries of {table.key_size} and "
            f"{table.value_size} bytes, and {path} has {spec.key_size} and {spec.value_size}."
        )
    return Pair(family, path, spec, fitting)


def _same_layout(table: Table, spec: MapSpec) -> bool:
    return (table.key_size, table.value_size) == (spec.key_size, spec.value_size)


def require_memory(pair: Pair, entries: int, available: int) -> None:
    """Raise RefusedError unless the node has memory for a second copy of the entries."""
    needed = hash_memory(max(1, entries), pair.spec.key_size, pair.spec.value_size, entries)
    if needed > available:
        raise RefusedError(
            f"path: its {entries} {pair.family} entries take {needed} bytes of memory until they "
            f"are restored, and {available} are available."
        )


def plan_restore(staged: Sequence[Staged]) -> tuple[str, ...]:
    """Sentences for the operator, one for each map that misses entries.

    Raises RefusedError when a map has no room for what it misses.
    """
    for one in staged:
        room = capacity(one.pair.spec)
        if one.missing and one.held + one.missing > room:
            raise RefusedError(
                f"path: {one.missing} missing entries do not fit into {one.pair.path}, which has "
                f"{one.held} and takes {room}; give it more max_entries first."
            )
    return tuple(
        f"Restore {one.missing} missing entries to {one.pair.path}" for one in staged if one.missing
    )


def first_word_of(release: VersionSet) -> FirstWord | None:
    """What bytes 0 to 7 of a value mean in all of ``release``; None when it has both meanings."""
    found = {rule.value for rule in conntrack_rules_of(release) if rule.name == "first_word"}
    return FirstWord(found.pop()) if len(found) == 1 else None


def saved_release(header: Header) -> VersionSet | None:
    """The releases that the snapshot was saved under; None when it does not say."""
    try:
        return parse_range(header.origin.release)
    except BadInputError:
        return None


def keeps_first_words(header: Header, release: VersionSet) -> bool:
    """Whether bytes 0 to 7 mean the same now as they did when they were saved."""
    saved = saved_release(header)
    try:
        meaning = saved and first_word_of(saved)
    except BadInputError:  # a release that only a later version of the collection knows
        return False
    return meaning is not None and meaning is first_word_of(release)


def restored_facts(staged: Sequence[Staged]) -> list[dict[str, Any]]:
    """What results say of each map."""
    return [
        {
            "path": one.pair.path,
            "family": one.pair.family,
            "in_file": one.in_file,
            "expired": one.expired,
            "without_partner": one.without_partner,
            "present": one.present,
            "missing": one.missing,
        }
        for one in staged
    ]


def shown_entries(staged: Sequence[Staged], restored: bool) -> dict[str, Any]:
    """The entries of each map as a diff shows them, before or after they are restored."""
    return {one.pair.path: one.held + (one.missing if restored else 0) for one in staged}

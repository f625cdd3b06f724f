# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to give a node's conntrack maps their size and layout, and to settle them."""

from __future__ import annotations

from typing import Iterator, Sequence

from .._calico.rows import since
from .._calico.tables.map_row import CalicoMap
from .._errors import RefusedError
from .._uapi.maps import MapSpec, describe
from . import conntrack_map_settle
from .conntrack_map_state import (
    Action,
    Kept,
    Pinned,
    Plan,
    Seen,
    Source,
    Verb,
    kept_path,
)
from .conntrack_map_target import (
    asked_size,
    effective_size,
    families_of,
    path_of,
    reads_file,
    refused,
    release_of,
    require_layout,
    require_loadable,
    require_memory,
    row_of,
    wanted_spec,
    words_differ,
)
from .conntrack_map_task import KEEP, LOWER, Task
from .findings_input import Finding
from .map_spec import differences
from .migration import capacity

_WITH_FIRST_WORD = 3
"""The first map version whose first word felix carries over."""

_RECORDING = since("3.26")
"""The releases that leave a program attached when its record fits it (maps 5.9)."""

SETTLE_FIRST = "run this module with state=settled first, which carries the newer entries over"


def plan(task: Task, seen: Seen) -> Plan:
    """The steps to the wanted state; none when all is as wanted.

    Raises RefusedError when it cannot be done safely, and nothing has changed.
    """
    if task.state == "settled":
        return conntrack_map_settle.plan(task, seen)
    actions = [
        action for family in families_of(task, seen) for action in _sized(task, seen, family)
    ]
    actions += _forget(task, seen, actions)
    every = [*actions, *conntrack_map_settle.clean(seen), *_autoscale(task, seen)]
    return Plan(conntrack_map_settle.in_order(every), _warnings(task, seen))


def counted(task: Task, seen: Seen) -> tuple[Pinned, ...]:
    """The maps whose number of entries a plan needs: those that are to be replaced."""
    if task.state == "settled":
        targets = {target for target, source in conntrack_map_settle.merges(task, seen)}
        return tuple(one for one in seen.pins if one.id in targets)
    return tuple(
        origin
        for family in families_of(task, seen)
        for origin, row in [_origin(task, seen, family)]
        if _changes(task, seen, origin, row)
    )


def _sized(task: Task, seen: Seen, family: int) -> Iterator[Action]:
    origin, row = _origin(task, seen, family)
    conntrack_map_settle.require_room(seen, origin, seen.strays_of(family))
    yield from conntrack_map_settle.adopt(task, seen, family, origin.path)
    yield from _asides(task, seen, family, _version(row))
    changes = _changes(task, seen, origin, row)
    if not changes:
        return
    wanted = _wanted(task, seen, origin, row)
    path, changed = path_of(task, row), ", ".join(changes)
    before = _earlier(task, seen, origin)
    if before is not None and _goes_back(before, origin, wanted):
        yield Action(
            Verb.RESTORE,
            f"Put map id {before.id} back at {path} with what has changed since, and keep map id "
            f"{origin.id} at {before.path} ({changed})",
            path=path,
            family=family,
            spec=before.spec,
            source=Source(before.id, (before.path,), before.note.since if before.note else 0),
            keep=before.path,
        )
        return
    if before is not None and before.id != origin.id:
        raise RefusedError(
            f"{before.path} keeps map id {before.id} of an earlier resize; {SETTLE_FIRST}."
        )
    _require_room(seen, origin, wanted)
    keep = kept_path(task.own_dir, _name(origin))
    yield Action(
        Verb.REPLACE,
        f"Carry the entries of map id {origin.id} at {origin.path} over to a new map at {path} "
        f"({changed}) and keep the old one at {keep}",
        path=path,
        family=family,
        spec=wanted,
        source=Source(origin.id, (origin.path,), clear=_clears(task, seen, origin)),
        keep=keep,
    )


def _origin(task: Task, seen: Seen, family: int) -> tuple[Pinned, CalicoMap]:
    """The map whose entries count, and the one that is wanted. Raises RefusedError."""
    row, pins = row_of(task, seen, family), seen.of(family)
    for one in pins:
        require_layout(one)
    version = _version(row)
    _require_no_leftover(task, seen, family, version)
    current = [one for one in pins if one.name.version <= version and not one.name.old]
    if task.downgrade:
        current = current or [one for one in pins if not one.name.old]
    if not current:
        raise RefusedError(f"families: no conntrack map of ipv{family} is in {task.pin_dir}.")
    origin = max(current, key=lambda one: one.name.version)
    return origin, row


def _asides(task: Task, seen: Seen, family: int, version: int) -> Iterator[Action]:
    """felix of an older release starts as soon as it sees no pin of a newer one (maps 5.4)."""
    for one in seen.of(family):
        if one.name.version > version:
            keep = kept_path(task.own_dir, _name(one))
            sentence = (
                f"Move {one.path}, the map of a newer release, to {keep} where felix does not look"
            )
            source = Source(one.id, (one.path,))
            yield Action(Verb.SET_ASIDE, sentence, family=family, source=source, keep=keep)


def _version(row: CalicoMap) -> int:
    return int(row.name.rpartition("_ct")[2])


def _require_no_leftover(task: Task, seen: Seen, family: int, version: int) -> None:
    pins = seen.of(family)
    versions = [one.name.version for one in pins]
    newest = max((each for each in versions if each <= version), default=version)
    ours = {one.id for one in seen.kept_of(family)}
    for one in pins:
        if one.name.old:
            raise refused(
                "CT_OLD_PIN",
                f"{one.path} is left from a resize, and felix would put it back in place of the "
                f"live map at its next start; {SETTLE_FIRST} and removes it",
            )
        if one.name.version > version and not task.downgrade:
            raise refused(
                "CT_NEWER",
                f"{one.path} is the map of a newer release than {release_of(task, seen)}, which "
                f"would not start; {SETTLE_FIRST} and removes it",
            )
        if one.name.version < newest and one.id not in ours:
            raise refused(
                "CT_SUPERSEDED",
                f"{one.path} is the map of an older release than the one beside it, and "
                f"resizing beside it ends with several maps in use; {SETTLE_FIRST} and removes it",
            )


def _name(one: Pinned) -> str:
    return one.path.rpartition("/")[2]


def _wanted(task: Task, seen: Seen, origin: Pinned, row: CalicoMap) -> MapSpec:
    size = effective_size(task, seen, asked_size(task, seen, origin.spec.max_entries))
    require_loadable(task, seen, row, size, origin.spec.max_entries)
    return wanted_spec(row, origin if _name(origin) == row.name else None, size)


def _changes(task: Task, seen: Seen, origin: Pinned, row: CalicoMap) -> list[str]:
    """Why the map at the pin has to be another one; nothing when it is as wanted."""
    wanted = _wanted(task, seen, origin, row)
    if _name(origin) != row.name:
        return [f"{_name(origin)} -> {describe(wanted)}"]
    changes = differences(origin.spec, wanted)
    if _clears(task, seen, origin):
        changes.append(f"the first field of entries as Calico {task.release} reads it")
    return changes


def _clears(task: Task, seen: Seen, origin: Pinned) -> bool:
    """Whether first words of the origin mean something else in the wanted map."""
    if origin.name.version < _WITH_FIRST_WORD:
        return True
    return words_differ(task, seen, _name(origin)) and not any(
        one.note and one.note.clear and one.id != origin.id
        for one in seen.kept_of(origin.name.family)
    )


def _earlier(task: Task, seen: Seen, origin: Pinned) -> Kept | None:
    path = kept_path(task.own_dir, _name(origin))
    return next((one for one in seen.kept if one.path == path), None)


def _goes_back(before: Kept, origin: Pinned, wanted: MapSpec) -> bool:
    """Whether the map that was replaced last is the wanted one, as in a roll-back."""
    clear = before.note is not None and before.note.clear
    return before.id != origin.id and not clear and not differences(before.spec, wanted)


def _require_room(seen: Seen, origin: Pinned, wanted: MapSpec) -> None:
    strays = seen.strays_of(origin.name.family)
    entries = (origin.entries or 0) + conntrack_map_settle.coming(seen, strays)
    if entries > capacity(wanted):
        raise refused(
            "CT_SHRINK",
            f"max_entries: {wanted.max_entries} is too small for the {entries} live entries of "
            f"{origin.path}, of which it takes {capacity(wanted)}",
        )
    require_memory(wanted, entries, seen.available)


def _autoscale(task: Task, seen: Seen) -> Iterator[Action]:
    size = _file_above(task, seen)
    if size is None or task.autoscale == KEEP:
        return
    before = f"{task.autoscale_path}, which says {seen.autoscale}"
    if task.autoscale == LOWER:
        sentence = f"Write {size} to {before}"
        yield Action(Verb.AUTOSCALE, sentence, path=task.autoscale_path, size=size)
    else:
        yield Action(Verb.AUTOSCALE, f"Remove {before}", path=task.autoscale_path)


def _forget(task: Task, seen: Seen, actions: Sequence[Action]) -> list[Action]:
    """felix 3.26 attaches no program anew of which it has a record, whatever map it uses."""
    moves = any(action.verb in (Verb.REPLACE, Verb.RESTORE) for action in actions)
    waits = any(seen.users.get(one.id) for one in seen.kept)
    if not seen.records or not (moves or waits) or not release_of(task, seen).overlaps(_RECORDING):
        return []
    sentence = (
        f"Remove {seen.records} records of attached programs in {task.records_dir}, so that felix "
        "3.26 attaches them again"
    )
    return [Action(Verb.FORGET, sentence, path=task.records_dir)]


def _file_above(task: Task, seen: Seen) -> int | None:
    """The size that is asked for, where the auto-scale file asks for more."""
    if seen.autoscale is None or not reads_file(release_of(task, seen)):
        return None
    sizes = [
        asked_size(task, seen, _origin(task, seen, family)[0].spec.max_entries)
        for family in families_of(task, seen)
    ]
    return max(sizes) if seen.autoscale > max(sizes) else None


def _warnings(task: Task, seen: Seen) -> tuple[str, ...]:
    size = _file_above(task, seen)
    if size is None or task.autoscale != KEEP:
        return ()
    return (
        f"{task.autoscale_path} says {seen.autoscale}, so felix makes maps of that size and not of "
        f"{size}; autoscale_file=lower or remove changes that.",
    )


def findings(seen: Seen) -> tuple[Finding, ...]:
    """What is wrong with the maps as they were seen."""
    found = []
    for one in seen.pins:
        evidence = f"It is map id {one.id}, a {describe(one.spec)}."
        if one.name.old:
            found.append(Finding("CT_OLD_PIN", one.path, (evidence,)))
    for stray in seen.strays:
        users = ", ".join(seen.users.get(stray.id, ()))
        found.append(Finding("CT_SPLIT", f"map id {stray.id}", (f"Programs use it: {users}.",)))
    return tuple(found)

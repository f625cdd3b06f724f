# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes until one conntrack map of each family is left, with all that others know better.

Sources are the maps that earlier runs keep, felix's own ``_old`` pins, maps of other releases, and
maps that programs use although no pin names them.
"""

from __future__ import annotations

from typing import Iterator, Sequence

from .._calico.tables.map_row import CalicoMap
from .._errors import RefusedError
from .conntrack_map_state import (
    Action,
    Note,
    Pending,
    Pinned,
    Plan,
    Seen,
    Source,
    Stray,
    Verb,
    kept_path,
)
from .conntrack_map_target import families_of, path_of, refused, release_of, require_layout, row_of
from .conntrack_map_task import Task
from .migration import capacity


def plan(task: Task, seen: Seen) -> Plan:
    """The steps; none when nothing is left to settle. Raises RefusedError."""
    actions = [
        action for family in families_of(task, seen) for action in _settled(task, seen, family)
    ]
    return Plan(in_order([*actions, *clean(seen)]))


def in_order(actions: Sequence[Action]) -> tuple[Action, ...]:
    """The actions in the order of their verbs."""
    order = list(Verb)
    return tuple(sorted(actions, key=lambda one: order.index(one.verb)))


def clean(seen: Seen) -> Iterator[Action]:
    """Remove what a killed run has left and no later step would."""
    for path in seen.leftovers:
        yield Action(Verb.CLEAN, f"Remove {path}, left by an interrupted run", path=path)


def adopt(task: Task, seen: Seen, family: int, into: str = "") -> Iterator[Action]:
    """Give maps that only programs refer to a pin, so that they outlive them.

    Their entries are carried over at once to the pin ``into``, where one is named.
    """
    for stray in seen.strays_of(family):
        keep = kept_path(task.own_dir, stray.spec.name, stray.id)
        users = ", ".join(seen.users.get(stray.id, ()))
        yield Action(
            Verb.ADOPT,
            f"Keep map id {stray.id}, which no pin names and programs use ({users}), at {keep}"
            + (f", and carry its entries over to {into}" if into else ""),
            path=into,
            family=family,
            spec=stray.spec,
            source=Source(stray.id, ()),
            keep=keep,
        )


def merges(task: Task, seen: Seen) -> tuple[tuple[int, Source], ...]:
    """Which sources would be carried over into which map, by id."""
    found = []
    for family in families_of(task, seen):
        live = _live(seen, row_of(task, seen, family))
        if live is None:
            continue
        sources = _sources(task, seen, family, live.id)
        if task.state == "sized":
            strays = {stray.id for stray in seen.strays}
            sources = [source for source in sources if source.id in strays]
        found += [(live.id, source) for source in sources]
    return tuple(found)


def _settled(task: Task, seen: Seen, family: int) -> Iterator[Action]:
    row = row_of(task, seen, family)
    for one in seen.of(family):
        require_layout(one)
    live, path = _live(seen, row), path_of(task, row)
    if live is None:
        raise RefusedError(
            f"families: {path} is not there; state=sized with calico_version makes it from the map "
            "of another release."
        )
    _require_no_preparation(task, seen, family, live)
    if live.name.old:
        yield Action(
            Verb.PUT_BACK,
            f"Rename {live.path}, the only {row.name} that is left, to {path}",
            path=path,
            family=family,
            source=Source(live.id, (live.path,)),
        )
    yield from adopt(task, seen, family)
    twice = [kept.path for kept in seen.kept_of(family) if kept.id == live.id]
    for second in twice:
        sentence = f"Remove {second}, a second pin of the map at {path}"
        yield Action(Verb.CLEAN, sentence, path=second, family=family)
    sources = _sources(task, seen, family, live.id)
    require_room(seen, live, sources)
    for source in sources:
        yield _settle(seen, source, path, family)


def _live(seen: Seen, row: CalicoMap) -> Pinned | None:
    """The map at the release's pin, or the one that felix moved away and did not replace."""
    version = int(row.name.rpartition("_ct")[2])
    found = [one for one in seen.of(row.family) if one.name.version == version]
    return min(found, key=lambda one: one.name.old, default=None)


def _require_no_preparation(task: Task, seen: Seen, family: int, live: Pinned) -> None:
    prepared = [one for one in seen.of(family) if one.name.version > live.name.version]
    if prepared and any(one.id == live.id for one in seen.kept_of(family)):
        raise RefusedError(
            f"calico_version: {prepared[0].path} was made for a coming release, and the node still "
            f"shows Calico {release_of(task, seen)}; name the coming release, or remove that pin."
        )


def _sources(task: Task, seen: Seen, family: int, live_id: int) -> list[Source]:
    """Every other map of the family, each once with all its pins."""
    found: dict[int, Source] = {}
    version = next(one.name.version for one in seen.pins if one.id == live_id)
    for kept in seen.kept_of(family):
        other = not kept.of.endswith(f"_ct{version}")
        note = kept.note or Note(0, clear=other)
        source = Source(kept.id, (kept.path,), note.since, note.clear, note.unwritten)
        found[kept.id] = _with_pin(found.get(kept.id), source)
    for one in seen.of(family):
        other = one.name.version != version
        found[one.id] = _with_pin(found.get(one.id), Source(one.id, (one.path,), clear=other))
    for stray in seen.strays_of(family):
        keep = kept_path(task.own_dir, stray.spec.name, stray.id)
        found[stray.id] = Source(stray.id, (keep,))
    found.pop(live_id, None)
    if len(found) > 1:  # what one does not have may have come from another
        return [source._replace(unwritten=0) for source in found.values()]
    return list(found.values())


def _with_pin(known: Source | None, source: Source) -> Source:
    """What a note says of a map holds for its other pins too."""
    return known._replace(paths=known.paths + source.paths) if known else source


def coming(seen: Seen, sources: Sequence[Source | Stray]) -> int:
    """Entries that sources would add."""
    return sum(seen.pending.get(source.id, Pending()).inserted for source in sources)


def require_room(seen: Seen, live: Pinned, sources: Sequence[Source | Stray]) -> None:
    """Raise RefusedError unless what is carried over fits beside what is there."""
    together = (live.entries or 0) + coming(seen, sources)
    if sources and together > capacity(live.spec):
        raise refused(
            "CT_SHRINK",
            f"{live.path} of {live.spec.max_entries} entries takes {capacity(live.spec)}, and has "
            f"to hold {together} with what is carried over; make it larger with bpf_map first",
        )


def _settle(seen: Seen, source: Source, path: str, family: int) -> Action:
    pending = seen.pending.get(source.id, Pending())
    users = seen.users.get(source.id, ())
    pins = " and ".join(source.paths)
    now, waiting = "", ""
    if users:
        now, waiting = "now ", f", once {len(users)} programs have let go of it"
    return Action(
        Verb.SETTLE,
        f"Carry what {path} misses over from map id {source.id} ({now}insert {pending.inserted} "
        f"entries, replace {pending.updated} older ones, leave out {pending.expired} expired and "
        f"{pending.deleted} deleted ones) and remove {pins}{waiting}",
        path=path,
        family=family,
        source=source,
    )

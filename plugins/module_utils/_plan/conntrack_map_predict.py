# SPDX-License-Identifier: GPL-3.0-or-later
"""The node after a plan, as far as it can be told before: for the diff, and for planning again."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Callable

from .conntrack_map_state import (
    Action,
    Kept,
    Note,
    PinName,
    Pinned,
    Plan,
    Seen,
    Verb,
    parse_kept,
    parse_pin,
)
from .map_spec import spec_facts

NEW_ID = 0
"""Stands for the id of a map that is not there yet; each further one counts down from it."""


def predicted(seen: Seen, plan: Plan) -> Seen:
    """``seen`` with the plan carried out."""
    for action in plan.actions:
        seen = _AFTER[action.verb](seen, action)
    return seen


def shown(seen: Seen) -> dict[str, Any]:
    """One side of the diff."""
    pins = {one.path: spec_facts(one.spec) for one in seen.pins}
    kept = {one.path: spec_facts(one.spec) for one in seen.kept}
    return {"pins": pins, "kept": kept, "autoscale_file": seen.autoscale, "records": seen.records}


def _adopt(seen: Seen, action: Action) -> Seen:
    stray = next(one for one in seen.strays if action.source and one.id == action.source.id)
    return seen._replace(
        strays=tuple(one for one in seen.strays if one != stray),
        kept=(*seen.kept, Kept(action.keep, stray.spec.name, stray.id, stray.spec)),
    )


def _put_back(seen: Seen, action: Action) -> Seen:
    (old,) = [one for one in seen.pins if action.source and one.path == action.source.paths[0]]
    return _at(seen, action.path, old.id, old)


def _at(seen: Seen, path: str, map_id: int, like: Pinned) -> Seen:
    """The map of that id at the path, and nothing where it was before."""
    name = parse_pin(PurePosixPath(path).name) or PinName(0, 0, False)
    others = tuple(one for one in seen.pins if one.path not in (path, like.path))
    return seen._replace(pins=(*others, like._replace(path=path, name=name, id=map_id)))


def _replace(seen: Seen, action: Action) -> Seen:
    """A new map at the path; the old one stays at its own pin if that is another, and is kept."""
    (old,) = [one for one in seen.pins if action.source and one.id == action.source.id]
    of = parse_kept(PurePosixPath(action.keep).name) or ""
    note = Note(0, bool(action.source and action.source.clear))
    kept = tuple(one for one in seen.kept if one.path != action.keep)
    new_id = min(NEW_ID, min(one.id for one in seen.pins) - 1)
    name = parse_pin(PurePosixPath(action.path).name) or old.name
    new = Pinned(action.path, name, new_id, action.spec or old.spec, old.entries)
    return seen._replace(
        pins=(*(one for one in seen.pins if one.path != action.path), new),
        kept=(*kept, Kept(action.keep, of, old.id, old.spec, note)),
    )


def _restore(seen: Seen, action: Action) -> Seen:
    (now,) = [one for one in seen.pins if one.path == action.path]
    (before,) = [one for one in seen.kept if one.path == action.keep]
    pins = tuple(one for one in seen.pins if one != now)
    kept = tuple(one for one in seen.kept if one != before)
    return seen._replace(
        pins=(*pins, now._replace(id=before.id, spec=before.spec)),
        kept=(*kept, before._replace(id=now.id, spec=now.spec)),
    )


def _set_aside(seen: Seen, action: Action) -> Seen:
    (newer,) = [one for one in seen.pins if action.source and one.path == action.source.paths[0]]
    of = PurePosixPath(newer.path).name
    return seen._replace(
        pins=tuple(one for one in seen.pins if one != newer),
        kept=(
            *(one for one in seen.kept if one.path != action.keep),
            Kept(action.keep, of, newer.id, newer.spec),
        ),
    )


def _settle(seen: Seen, action: Action) -> Seen:
    gone = action.source.id if action.source else None
    return seen._replace(
        pins=tuple(one for one in seen.pins if one.id != gone),
        kept=tuple(one for one in seen.kept if one.id != gone),
    )


def _clean(seen: Seen, action: Action) -> Seen:
    return seen._replace(
        kept=tuple(one for one in seen.kept if one.path != action.path),
        leftovers=tuple(path for path in seen.leftovers if path != action.path),
    )


def _forget(seen: Seen, action: Action) -> Seen:
    return seen._replace(records=0)


def _autoscale(seen: Seen, action: Action) -> Seen:
    return seen._replace(autoscale=action.size)


_AFTER: dict[Verb, Callable[[Seen, Action], Seen]] = {
    Verb.ADOPT: _adopt,
    Verb.PUT_BACK: _put_back,
    Verb.REPLACE: _replace,
    Verb.RESTORE: _restore,
    Verb.SET_ASIDE: _set_aside,
    Verb.SETTLE: _settle,
    Verb.CLEAN: _clean,
    Verb.AUTOSCALE: _autoscale,
    Verb.FORGET: _forget,
}

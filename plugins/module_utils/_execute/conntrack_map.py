# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the plan for a node's conntrack maps.

A map is replaced in the order of migrate.py. Between the second pin of the old map and the swap a
note is pinned beside it, which says up to what time its changes were carried over.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

from .._calico.codecs.conntrack_layout import LAST_SEEN
from .._kernel import bpffs
from .._kernel.copy import copy_entries
from .._kernel.maps import Map
from .._kernel.objects import BpfObject
from .._kernel.programs import loaded_programs
from .._kernel.readers import Side, count_entries
from .._kernel.rules import Pass
from .._observe.conntrack_carry import TOLERANCE, carry_alive, newer, readable
from .._observe.conntrack_map import NOTE_KEY, users_of
from .._plan.conntrack_map_state import NOTE_SPEC, Action, Note, Pending, Plan, Verb, note_path
from .._uapi.bpf import LRU_TYPES
from .conntrack_settle import Following, settle
from .migrate import TIME_MARGIN, Options, Progress, converge, finish


class Work(NamedTuple):
    """What the steps need besides the plan."""

    options: Options
    following: Following


def execute(plan: Plan, work: Work) -> dict[str, Any]:
    """Carry the actions out in their order; the facts they report.

    Raises SyscallError, and UnverifiedError when an LRU map evicts entries during the copy or
    programs do not let go of an old map in time.
    """
    carried = []
    settling = [action for action in plan.actions if action.verb is Verb.SETTLE]
    for action in plan.actions:
        if action.verb in _STEPS:
            done = _STEPS[action.verb](action, work)
            if done:
                carried.append(done)
        elif settling:
            carried += settle(settling, work.following)
            settling = []
    return {"carried": carried}


def _adopt(action: Action, work: Work) -> dict[str, Any] | None:
    """Carry a map that only programs refer to over, where that is asked, and pin it.

    In this order, as a run that finds it pinned leaves the rest to the next state.
    """
    bpffs.make_directory(os.path.dirname(action.keep))
    source, began, done = action.source.id if action.source else 0, time.monotonic_ns(), Pending()
    with Map.from_id(source) as stray:
        if action.path:
            with Map.open(action.path) as live:
                sides = Side(stray, stray.info().spec), Side(live, live.info().spec)
                done = carry_alive(*sides, newer(0), work.following.expiry)
        stray.pin(action.keep)
    return _told(action, source, done.inserted, began, done._asdict()) if action.path else None


def _put_back(action: Action, work: Work) -> None:
    if action.source:
        Path(action.source.paths[0]).rename(action.path)


def _replace(action: Action, work: Work) -> dict[str, Any]:
    began = time.monotonic_ns()
    source, spec = action.source, action.spec
    if source is None or spec is None:
        raise ValueError(action)
    options = work.options._replace(timestamp_offset=LAST_SEEN, clear_word=source.clear)
    with Map.from_id(source.id) as real, readable(real) as old, Map.create(spec) as new_map:
        new = Side(new_map, spec)
        entries = copy_entries(old, new, options.batch_size, options.threads, source.clear)
        held = count_entries(*new) if spec.type in LRU_TYPES else entries
        passes, since = converge(old, new, Progress(held, began), options)
        staged = old.map is not real
        _keep(real, action.keep, Note(_margin(began if staged else since), source.clear, began))
        swapped = time.monotonic_ns()
        bpffs.replace(new_map, action.path)
        passes += finish(old, new, since, options)
        unwritten = time.monotonic_ns()
        if not staged and new_map.info().id not in users_of(list(loaded_programs())):
            _write_note(action.keep, Note(_margin(swapped), source.clear, unwritten - TOLERANCE))
    return _told(action, source.id, entries, began, _sums(passes))


def _restore(action: Action, work: Work) -> dict[str, Any]:
    """Swap the map at the pin with the one that was replaced last, which some programs still use.

    Both change places as whole maps, so that a kill leaves either order; the one that no pin
    names for an instant is found by its programs.
    """
    began = time.monotonic_ns()
    source = action.source
    if source is None:
        raise ValueError(action)
    with Map.from_id(source.id) as before, Map.open(action.path) as now:
        sides = Side(now, now.info().spec), Side(before, before.info().spec)
        done = carry_alive(*sides, newer(0), work.following.expiry)
        swapped = time.monotonic_ns()
        bpffs.replace(before, action.path)
        bpffs.replace(now, action.keep)
        late = carry_alive(*sides, newer(_margin(began)), work.following.expiry)
        _write_note(action.keep, Note(_margin(swapped)))
    inserted = done.inserted + late.inserted
    return _told(action, source.id, inserted, began, done._asdict())


def _set_aside(action: Action, work: Work) -> None:
    """From one directory to the other by rename(2), over a second pin of the same map."""
    if action.source:
        bpffs.make_directory(os.path.dirname(action.keep))
        Path(action.source.paths[0]).rename(action.keep)


def _clean(action: Action, work: Work) -> None:
    Path(action.path).unlink(missing_ok=True)
    Path(note_path(action.path)).unlink(missing_ok=True)


def _autoscale(action: Action, work: Work) -> None:
    """Whoever reads the file sees the old number or the new one."""
    if action.size is None:
        Path(action.path).unlink(missing_ok=True)
        return
    beside = Path(f"{action.path}.bpfops")
    beside.write_text(str(action.size), "ascii")
    beside.replace(action.path)


def _forget(action: Action, work: Work) -> None:
    for record in Path(action.path).glob("*.json"):
        record.unlink(missing_ok=True)


_STEPS: dict[Verb, Callable[[Action, Work], dict[str, Any] | None]] = {
    Verb.ADOPT: _adopt,
    Verb.PUT_BACK: _put_back,
    Verb.REPLACE: _replace,
    Verb.RESTORE: _restore,
    Verb.SET_ASIDE: _set_aside,
    Verb.CLEAN: _clean,
    Verb.AUTOSCALE: _autoscale,
    Verb.FORGET: _forget,
}


def _margin(time_ns: int) -> int:
    """Programs store a time that they read a moment ago."""
    return max(0, time_ns - TIME_MARGIN)


def _keep(old: BpfObject, path: str, note: Note) -> None:
    if not bpffs.kind_at(path):
        bpffs.make_directory(os.path.dirname(path))
        old.pin(path)
    _write_note(path, note)


def _write_note(kept: str, note: Note) -> None:
    """From one instant to the next: a note is never half written."""
    with Map.create(NOTE_SPEC) as held:
        held.update(NOTE_KEY, note.pack())
        bpffs.replace(held, note_path(kept))


def _sums(passes: list[Pass]) -> dict[str, int]:
    return {
        "passes": len(passes),
        "inserted": sum(one.inserted for one in passes),
        "updated": sum(one.updated for one in passes),
        "pruned": sum(one.deleted for one in passes),
    }


def _told(
    action: Action, source: int, entries: int, began: int, counts: dict[str, int]
) -> dict[str, Any]:
    return {
        "family": f"ipv{action.family}",
        "path": action.path,
        "from_id": source,
        "entries": entries,
        "duration_ms": (time.monotonic_ns() - began) // 1_000_000,
        **counts,
    }

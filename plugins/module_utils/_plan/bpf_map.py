# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to bring a pinned map to the wanted parameters."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from .._errors import BadInputError, RefusedError
from .._uapi.bpf import MapType
from .._uapi.maps import MapInfo, MapSpec, describe, type_name
from .map_spec import COMPARED, default_name, differences, effective_spec
from .map_task import Desired
from .migration import capacity, require_mergeable, require_migratable, require_timestamp, too_small

CREATABLE_TYPES = frozenset(MapType) - {
    MapType.ARRAY_OF_MAPS,
    MapType.HASH_OF_MAPS,
    MapType.CGROUP_STORAGE,
    MapType.PERCPU_CGROUP_STORAGE,
    MapType.STRUCT_OPS,
    MapType.SK_STORAGE,
    MapType.INODE_STORAGE,
    MapType.TASK_STORAGE,
    MapType.CGRP_STORAGE,
    MapType.ARENA,
}
"""Types that a handful of numbers describes; the others need an inner map, BTF or a program."""


class PinState(NamedTuple):
    """What is at a path: kind is map, program, link, directory, other, or None for nothing."""

    on_bpffs: bool
    kind: str | None = None
    info: MapInfo | None = None


class Pending(NamedTuple):
    """Entries that a merge would insert and replace now."""

    inserted: int
    updated: int = 0


class Observed(NamedTuple):
    """The node before the task.

    ``entries`` is what the map would have to hold (for arrays: up to the last one that is not
    zero); it is None where no decision needs it.
    """

    pin: PinState
    possible_cpus: int
    bpffs_mounted: bool = True
    entries: int | None = None
    kept: PinState | None = None
    source: PinState | None = None
    pending: Pending | None = None


class Verb(Enum):
    """Kinds of actions, in the order in which they are carried out."""

    UNPIN = "unpin"
    CREATE = "create"
    RECREATE = "recreate"
    MIGRATE = "migrate"
    MERGE = "merge"


class Action(NamedTuple):
    """One step and the sentence that tells the operator of it."""

    verb: Verb
    sentence: str


class Plan(NamedTuple):
    """Steps in order, and the parameters of the map afterwards (None: no map)."""

    actions: tuple[Action, ...]
    wanted: MapSpec | None


def plan(wanted: Desired, seen: Observed) -> Plan:
    """The steps from ``seen`` to ``wanted``; none when all is as wanted.

    Raises RefusedError when it cannot be done safely, and nothing has changed.
    """
    _require_place(wanted, seen)
    if wanted.state == "absent":
        return _plan_absent(wanted, seen.pin.info)
    if seen.pin.info is None:
        spec = _new_spec(wanted, seen.possible_cpus)
        steps = [Action(Verb.CREATE, f"Create {describe(spec)} and pin it at {wanted.path}")]
    else:
        spec = effective_spec(wanted, seen.pin.info.spec, seen.possible_cpus)
        require_timestamp(spec, wanted.timestamp_offset)
        steps = _plan_mismatch(wanted, seen, seen.pin.info, spec)
    return Plan((*steps, *_plan_merge(wanted, seen, spec)), spec)


def _require_place(wanted: Desired, seen: Observed) -> None:
    if not seen.bpffs_mounted:
        raise RefusedError(
            f"path: no bpffs is mounted on this node, so nothing can be pinned at {wanted.path}; "
            "mount one, for example at /sys/fs/bpf."
        )
    places = (
        ("path", wanted.path, seen.pin),
        ("keep_old_pin", wanted.keep_old_pin, seen.kept),
        ("merge_from", wanted.merge_from, seen.source),
    )
    for parameter, path, state in places:
        if path is None or state is None:
            continue
        if not state.on_bpffs:
            raise BadInputError(parameter, path, "is not on a bpffs, where pins live")
        if state.kind not in (None, "map"):
            raise BadInputError(parameter, path, f"is a {state.kind} and not a pinned map")


def _plan_absent(wanted: Desired, info: MapInfo | None) -> Plan:
    if info is None:
        return Plan((), None)
    sentence = f"Unpin {wanted.path}, map id {info.id}"
    return Plan((Action(Verb.UNPIN, sentence),), None)


def _new_spec(wanted: Desired, possible_cpus: int) -> MapSpec:
    numbers = (wanted.type, wanted.key_size, wanted.value_size, wanted.max_entries)
    missing = [name for name, value in zip(COMPARED, numbers) if value is None]
    if missing:
        raise RefusedError(
            f"{', '.join(missing)}: needed to create {wanted.path}, where nothing is pinned yet."
        )
    if wanted.type not in CREATABLE_TYPES:
        raise BadInputError(
            "type", type_name(wanted.type or 0), "needs more than sizes and cannot be created here"
        )
    blank = MapSpec(0, 0, 0, 0, name=wanted.name or default_name(wanted.path))
    return effective_spec(wanted, blank, possible_cpus)


def _plan_mismatch(wanted: Desired, seen: Observed, info: MapInfo, spec: MapSpec) -> list[Action]:
    found = differences(info.spec, spec)
    if not found:
        return []
    changes = ", ".join(found)
    if wanted.on_mismatch == "fail":
        raise RefusedError(f"{wanted.path} differs from the task ({changes}); on_mismatch is fail.")
    _require_free_keep(wanted, seen, info)
    if wanted.on_mismatch == "recreate":
        text = f"Replace map id {info.id} at {wanted.path} by an empty one ({changes})"
        return [Action(Verb.RECREATE, text + _kept_text(wanted))]
    require_migratable(info.spec, spec, seen.entries)
    text = f"Migrate the entries of map id {info.id} at {wanted.path} to a new map ({changes})"
    return [Action(Verb.MIGRATE, text + _kept_text(wanted))]


def _kept_text(wanted: Desired) -> str:
    return f" and keep the old one at {wanted.keep_old_pin}" if wanted.keep_old_pin else ""


def _require_free_keep(wanted: Desired, seen: Observed, info: MapInfo) -> None:
    kept = seen.kept.info if seen.kept else None
    if kept is not None and kept.id != info.id:
        raise RefusedError(
            f"keep_old_pin: {wanted.keep_old_pin} holds map id {kept.id} of an earlier migration; "
            "merge or remove it first."
        )


def _plan_merge(wanted: Desired, seen: Observed, spec: MapSpec) -> list[Action]:
    source = seen.source.info if seen.source else None
    if source is None:
        return []
    require_mergeable(source.spec, spec)
    inserted, updated = seen.pending or Pending(0)
    if not inserted + updated:
        return []
    together = (seen.entries or 0) + inserted
    if together > capacity(spec):
        raise too_small(spec, together)
    sentence = (
        f"Merge from {wanted.merge_from}, map id {source.id}: insert {inserted} entries that are "
        f"missing at {wanted.path} and replace {updated} older ones"
    )
    return [Action(Verb.MERGE, sentence)]


def unfinished(wanted: Desired, planned: Plan, pin: PinState) -> list[str]:
    """What is not as planned at the task's path, for messages; empty when all is well."""
    if planned.wanted is None or pin.info is None:
        as_planned = (planned.wanted is None) == (pin.kind is None)
        return [] if as_planned else [f"{pin.kind or 'nothing'} at {wanted.path}"]
    return differences(planned.wanted, pin.info.spec)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node's conntrack maps that their planner needs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Mapping

from .._calico.conntrack_expiry import Expiry, expiry_of
from .._calico.detect import Detection, Sightings, detect
from .._calico.maps import rows_named
from .._errors import RefusedError, SyscallError
from .._kernel import bpffs, proc
from .._kernel.maps import Map
from .._kernel.passes import carry
from .._kernel.programs import ProgInfo
from .._kernel.readers import Side, count_entries
from .._plan import conntrack_map as planner
from .._plan.conntrack_map_settle import merges
from .._plan.conntrack_map_state import (
    NOTE_SPEC,
    Kept,
    Note,
    Pending,
    Pinned,
    Seen,
    Source,
    Stray,
    following_path,
    note_path,
    parse_kept,
    parse_pin,
)
from .._plan.conntrack_map_target import release_of
from .._plan.conntrack_map_task import Task
from .._plan.map_spec import spec_facts
from .._uapi.maps import MapInfo
from .conntrack_carry import carry_alive, newer, readable
from .conntrack_pins import maps_in
from .program_users import running_programs, standing_programs

NOTE_KEY = bytes(4)


def observe(task: Task) -> Seen:
    """Look at pins, programs and files; count and compare only what a decision needs.

    Raises BadInputError for a directory that is not on a bpffs, RefusedError for a map of a
    version that is not known, SyscallError.
    """
    pinned = maps_in(task.pin_dir, "pin_dir")
    own = maps_in(task.own_dir, "bpffs") if Path(task.own_dir).is_dir() else {}
    programs = running_programs(task.pin_dir)
    ids = {info.id for info in pinned.values()}
    seen = Seen(
        detection=_detection(pinned, programs),
        cpus=proc.possible_cpus(),
        available=proc.memory().available,
        pins=_pins(task, pinned),
        kept=_kept(own),
        strays=_strays(
            _of_node(task.pin_dir, programs, ids), ids | {info.id for info in own.values()}
        ),
        leftovers=(*_orphans(own), *_unfinished(task, pinned, own)),
        users=users_of(programs),
        autoscale=_autoscale(task.autoscale_path),
        records=len(list(Path(task.records_dir).glob("*.json"))),
    )
    return _compared(task, _counted(task, seen))


def _pins(task: Task, pinned: Mapping[str, MapInfo]) -> tuple[Pinned, ...]:
    found = []
    for path, info in pinned.items():
        place = PurePosixPath(path)
        name = parse_pin(place.name)
        if name is not None and str(place.parent) == task.pin_dir:
            found.append(Pinned(path, name, info.id, info.spec))
    return tuple(found)


def _kept(own: Mapping[str, MapInfo]) -> tuple[Kept, ...]:
    found = []
    for path, info in own.items():
        of = parse_kept(PurePosixPath(path).name)
        if of is not None:
            found.append(Kept(path, of, info.id, info.spec, _note(note_path(path))))
    return tuple(found)


def _note(path: str) -> Note | None:
    if bpffs.kind_at(path) != "map":
        return None
    with Map.open(path, read_only=True) as opened:
        raw = opened.lookup(NOTE_KEY, NOTE_SPEC.value_size)
    return None if raw is None else Note.unpack(raw)


def _orphans(own: Mapping[str, MapInfo]) -> tuple[str, ...]:
    """Notes without their map."""
    notes = {note_path(path) for path in own if parse_kept(PurePosixPath(path).name)}
    return tuple(
        path for path in own if PurePosixPath(path).name.startswith("note_") and path not in notes
    )


def _unfinished(task: Task, *places: Mapping[str, MapInfo]) -> tuple[str, ...]:
    """Pins that a killed run had not yet renamed to their place."""
    names = [(path, PurePosixPath(path)) for place in places for path in place]
    return tuple(
        path
        for path, place in names
        if path == following_path(task.own_dir)
        or (
            place.name.startswith(bpffs.OWN_PREFIX)
            and (
                str(place.parent) == task.own_dir or parse_pin(place.name[len(bpffs.OWN_PREFIX) :])
            )
        )
    )


def _detection(pinned: Mapping[str, MapInfo], programs: list[ProgInfo]) -> Detection:
    """The release by its pinned maps, above all by those that programs use."""
    used = {map_id for program in programs for map_id in program.map_ids}
    named = {
        path: info.spec._replace(name=PurePosixPath(path).name) for path, info in pinned.items()
    }
    return detect(
        Sightings(
            used_maps=tuple(named[path] for path, info in pinned.items() if info.id in used),
            pinned_maps=tuple(named.values()),
        )
    )


def _of_node(pin_dir: str, programs: list[ProgInfo], pinned: set[int]) -> list[ProgInfo]:
    """Programs that use a map pinned on this node, or stand in such a program array.

    Ids are global to the kernel: others may be another node's.
    """
    standing = standing_programs(pin_dir)
    return [one for one in programs if one.id in standing or pinned.intersection(one.map_ids)]


def _strays(programs: list[ProgInfo], known: set[int]) -> tuple[Stray, ...]:
    """Conntrack maps that programs of this node use and no pin names."""
    suspects = {map_id for program in programs for map_id in program.map_ids if map_id not in known}
    found = []
    for map_id in sorted(suspects):
        try:
            with Map.from_id(map_id) as opened:
                info = opened.info()
        except SyscallError:  # gone
            continue
        rows = [row for row in rows_named(info.spec.name) if row.role == "conntrack"]
        if any((row.key_size, row.value_size) == info.spec[1:3] for row in rows):
            found.append(Stray(info.id, info.spec))
    return tuple(found)


def users_of(programs: list[ProgInfo]) -> dict[int, tuple[str, ...]]:
    """By map id the programs that refer to it, in words."""
    found: dict[int, tuple[str, ...]] = {}
    for program in programs:
        for map_id in program.map_ids:
            found[map_id] = (*found.get(map_id, ()), f"{program.name} (id {program.id})")
    return found


def _autoscale(path: str) -> int | None:
    try:
        text = Path(path).read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def _counted(task: Task, seen: Seen) -> Seen:
    wanted = {one.id for one in planner.counted(task, seen)}
    pins = []
    for one in seen.pins:
        if one.id in wanted:
            with Map.open(one.path, read_only=True) as opened:
                one = one._replace(entries=count_entries(opened, one.spec))  # noqa: PLW2901
        pins.append(one)
    return seen._replace(pins=tuple(pins))


def _compared(task: Task, seen: Seen) -> Seen:
    pairs = merges(task, seen)
    if not pairs:
        return seen
    expiry = expiry_for(task, seen)
    pending = {
        source.id: _pending(task, target, source, None if seen.users.get(source.id) else expiry)
        for target, source in pairs
    }
    return seen._replace(pending=pending)


def expiry_for(task: Task, seen: Seen) -> Expiry:
    """What decides whether an entry is expired, by the release that the maps are for."""
    return expiry_of(release_of(task, seen), task.timeouts, proc.netfilter_seconds)


def _pending(task: Task, target_id: int, source: Source, expiry: Expiry | None) -> Pending:
    """What is to be carried over; fast without ``expiry``, for a map that is still written."""
    calls = (task.batch_size, task.kernel_step)
    with Map.from_id(source.id) as old, Map.from_id(target_id) as live, readable(old) as side:
        rule = newer(source.since, source.clear, source.unwritten, dry_run=True)
        target = Side(live, live.info().spec)
        if expiry is None:
            found = carry(side, target, rule, *calls)
            return Pending(found.inserted, found.updated)
        return carry_alive(side, target, rule, expiry, *calls)


def map_facts(task: Task) -> list[dict[str, Any]]:
    """The node's conntrack maps as results show them, those that are kept too."""
    if not bpffs.on_bpffs(task.pin_dir):
        raise RefusedError(f"pin_dir: {task.pin_dir} is not on a bpffs any more.")
    found = []
    own = maps_in(task.own_dir, "bpffs") if Path(task.own_dir).is_dir() else {}
    users = users_of(running_programs(task.pin_dir))
    for path, info in {**maps_in(task.pin_dir, "pin_dir"), **own}.items():
        name = PurePosixPath(path).name
        kept = parse_kept(name)
        parsed = parse_pin(kept or name)
        if parsed is None:
            continue
        found.append(
            {
                "family": f"ipv{parsed.family}",
                "path": path,
                "id": info.id,
                "kept": kept is not None,
                **spec_facts(info.spec),
                "users": list(users.get(info.id, ())),
            }
        )
    return found

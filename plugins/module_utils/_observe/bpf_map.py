# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a pinned map that its planner needs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from .._kernel import bpffs, proc
from .._kernel.maps import Map
from .._kernel.passes import carry
from .._kernel.readers import Side, chunks, count_entries, open_reader
from .._kernel.rules import merge_rule
from .._plan.bpf_map import Observed, Pending, PinState
from .._plan.map_spec import effective_spec, spec_facts
from .._plan.map_task import Desired
from .._plan.migration import COPYABLE_TYPES, layout_matches, timestamp_fits
from .._uapi.bpf import ARRAY_TYPES, LRU_TYPES
from .._uapi.maps import MapInfo, MapSpec


def observe(wanted: Desired) -> Observed:
    """Look at the pins that the task names; counts entries only where a decision needs them.

    Raises SyscallError when a pin cannot be opened.
    """
    pin = pin_state(wanted.path)
    source = pin_state(wanted.merge_from) if wanted.merge_from else None
    cpus = proc.possible_cpus()
    return Observed(
        pin=pin,
        possible_cpus=cpus,
        bpffs_mounted=pin.on_bpffs or bpffs.any_mounted(),
        entries=_entries_to_hold(wanted, pin.info, source, cpus),
        kept=pin_state(wanted.keep_old_pin) if wanted.keep_old_pin else None,
        source=source,
        pending=_pending(wanted, pin.info, source),
    )


def pin_state(path: str) -> PinState:
    """What is at ``path``, with its parameters where it is a map. Raises SyscallError."""
    if not bpffs.on_bpffs(path):
        return PinState(False)
    kind = bpffs.kind_at(path)
    if kind != "map":
        return PinState(True, kind)
    with Map.open(path, read_only=True) as opened:
        return PinState(True, kind, opened.info())


def _entries_to_hold(
    wanted: Desired, info: MapInfo | None, source: PinState | None, cpus: int
) -> int | None:
    if info is None or info.spec.type not in COPYABLE_TYPES or wanted.state == "absent":
        return None
    spec = effective_spec(wanted, info.spec, cpus)
    shrinks = spec.max_entries < info.spec.max_entries
    merges = source is not None and source.info is not None
    if not (shrinks or merges or (spec.type in LRU_TYPES and spec != info.spec)):
        return None
    with Map.open(wanted.path, read_only=True) as opened:
        if spec.type in ARRAY_TYPES:
            return used_elements(opened, info.spec)
        return count_entries(opened, info.spec)


def used_elements(source: Map, spec: MapSpec) -> int:
    """The number of elements of an array up to the last one that is not all zero."""
    used = position = 0
    for chunk in chunks(open_reader(source, spec), spec):
        filled = bytes(chunk.value_view[: chunk.count * chunk.slot]).rstrip(b"\0")
        if filled:
            used = position + -(-len(filled) // chunk.slot)
        position += chunk.count
    return used


def _pending(wanted: Desired, info: MapInfo | None, source: PinState | None) -> Pending | None:
    if source is None or source.info is None or wanted.merge_from is None:
        return None
    spec = info.spec if info else source.info.spec
    comparable = layout_matches(source.info.spec, spec) and timestamp_fits(
        spec, wanted.timestamp_offset
    )
    if not comparable:  # the planner refuses it
        return None
    with ExitStack() as stack:
        origin = _side(stack, wanted.merge_from, source.info.spec)
        if info is None:
            return Pending(inserted=count_entries(*origin))
        target = _side(stack, wanted.path, info.spec)
        found = carry(origin, target, merge_rule(wanted.timestamp_offset, dry_run=True))
        return Pending(found.inserted, found.updated)


def _side(stack: ExitStack, path: str, spec: MapSpec) -> Side:
    return Side(stack.enter_context(Map.open(path, read_only=True)), spec)


def map_facts(path: str) -> dict[str, Any] | None:
    """What results say of the map at ``path``; None when there is none."""
    if pin_state(path).info is None:
        return None
    with Map.open(path, read_only=True) as opened:
        return open_facts(path, opened, opened.info())


def open_facts(path: str, opened: Map, info: MapInfo) -> dict[str, Any]:
    """What results say of an open map."""
    return {
        "path": path,
        "id": info.id,
        "name": info.spec.name,
        **spec_facts(info.spec),
        "memory_bytes": opened.memory(),
        "frozen": opened.frozen(),
    }

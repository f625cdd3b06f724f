# SPDX-License-Identifier: GPL-3.0-or-later
"""Which maps can take over each other's entries."""

from __future__ import annotations

from .._errors import BadInputError, RefusedError
from .._uapi.bpf import ARRAY_TYPES, LRU_TYPES, PER_CPU_TYPES, MapType
from .._uapi.maps import MapSpec, type_name

COPYABLE_TYPES = frozenset(
    {
        MapType.HASH,
        MapType.ARRAY,
        MapType.PERCPU_HASH,
        MapType.PERCPU_ARRAY,
        MapType.LRU_HASH,
        MapType.LRU_PERCPU_HASH,
        MapType.LPM_TRIE,
    }
)
"""Types whose entries are plain keys and values that user space can read and write."""


def require_migratable(have: MapSpec, want: MapSpec, entries: int | None) -> None:
    """Raise RefusedError unless all entries of ``have`` fit into a map like ``want``.

    ``entries`` is needed only when the new map is smaller, or of an LRU type.
    """
    _require_copyable("path", have)
    _require_same(have, want)
    if entries is not None and entries > capacity(want):
        raise too_small(want, entries)


def layout_matches(source: MapSpec, target: MapSpec) -> bool:
    """Whether an entry of one map means the same bytes in the other."""
    return {source.type, target.type} <= COPYABLE_TYPES and _layout(source) == _layout(target)


def _layout(spec: MapSpec) -> tuple[int, int, bool, bool]:
    per_cpu, array = spec.type in PER_CPU_TYPES, spec.type in ARRAY_TYPES
    return spec.key_size, spec.value_size, per_cpu, array


def require_mergeable(source: MapSpec, target: MapSpec) -> None:
    """Raise RefusedError unless the entries of ``source`` can stand beside those of ``target``."""
    _require_copyable("merge_from", source)
    _require_copyable("path", target)
    if not layout_matches(source, target):
        raise RefusedError(
            "merge_from: its keys and values have another layout than those of the map at path."
        )


def timestamp_fits(spec: MapSpec, offset: int | None) -> bool:
    """Whether the value has 8 bytes at ``offset``; a value of many CPUs has no single time."""
    return offset is None or (spec.type not in PER_CPU_TYPES and offset + 8 <= spec.value_size)


def require_timestamp(spec: MapSpec, offset: int | None) -> None:
    """Raise BadInputError unless a time stands at ``offset`` of the map's values."""
    if not timestamp_fits(spec, offset):
        raise BadInputError(
            "timestamp_offset",
            offset,
            f"leaves no room for 8 bytes in a value of {spec.value_size} bytes, or the map is per "
            "CPU, where a value has no single time",
        )


def capacity(spec: MapSpec) -> int:
    """Entries that a map takes in without losing one.

    An LRU map evicts before it is full, as CPUs hold free entries back; with 1 % of room to
    spare, copies lost none.
    """
    return (
        spec.max_entries - spec.max_entries // 100 if spec.type in LRU_TYPES else spec.max_entries
    )


def too_small(spec: MapSpec, entries: int) -> RefusedError:
    """The refusal of a map that its content does not fit in."""
    what = "elements up to the last one in use" if spec.type in ARRAY_TYPES else "entries"
    room = f"takes {capacity(spec)}" if spec.type in LRU_TYPES else "is too small"
    return RefusedError(f"max_entries: {spec.max_entries} {room} for the {entries} {what}.")


def _require_copyable(parameter: str, spec: MapSpec) -> None:
    if spec.type not in COPYABLE_TYPES:
        raise RefusedError(
            f"{parameter}: a {type_name(spec.type)} map holds what user space cannot copy, so its "
            "entries cannot be carried over; use on_mismatch=recreate to start with an empty one."
        )


def _require_same(have: MapSpec, want: MapSpec) -> None:
    for field in ("type", "key_size", "value_size"):
        before, after = getattr(have, field), getattr(want, field)
        if field == "type":
            before, after = type_name(before), type_name(after)
        if before != after:
            raise BadInputError(
                field,
                after,
                f"differs from {before!r} of the pinned map, whose entries would not fit; only "
                "on_mismatch=recreate changes it",
            )

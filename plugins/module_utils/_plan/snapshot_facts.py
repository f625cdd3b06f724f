# SPDX-License-Identifier: GPL-3.0-or-later
"""What results say of a snapshot."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Mapping, NamedTuple

from .._snapshot.header import Header, Origin
from .._uapi.maps import flag_names, type_name


class Sound(NamedTuple):
    """A snapshot whose checksum holds; ``entries`` by table, ``size`` in bytes."""

    path: str
    header: Header
    entries: tuple[int, ...]
    checksum: str
    size: int


def snapshot_facts(sound: Sound, here: Origin) -> dict[str, Any]:
    """The file's header and counts. ``age_seconds`` is None for another boot."""
    origin = sound.header.origin
    same = origin.boot_id == here.boot_id
    return {
        "path": sound.path,
        "bytes": sound.size,
        "checksum": sound.checksum,
        "saved_at": _saved_at(origin),
        "age_seconds": (here.monotonic - origin.monotonic) // 10**9 if same else None,
        "boot_id": origin.boot_id,
        "same_boot": same,
        "node": origin.node,
        "release": origin.release,
        "entries": sum(sound.entries),
        "tables": [
            {
                "name": table.name,
                "type": type_name(table.type),
                "key_size": table.key_size,
                "value_size": table.value_size,
                "max_entries": table.max_entries,
                "flags": flag_names(table.flags),
                "entries": entries,
            }
            for table, entries in zip(sound.header.tables, sound.entries)
        ],
    }


def shown(sound: Sound | None) -> dict[str, Any]:
    """A snapshot as a diff shows it."""
    if sound is None:
        return {"snapshot": None}
    names = [table.name for table in sound.header.tables]
    return shown_as(sound.path, _saved_at(sound.header.origin), dict(zip(names, sound.entries)))


def shown_as(path: str, saved_at: str, entries: Mapping[str, int]) -> dict[str, Any]:
    """The same for one that is still to be written."""
    return {"snapshot": {"path": path, "saved_at": saved_at, "entries": dict(entries)}}


def _saved_at(origin: Origin) -> str:
    return datetime.fromtimestamp(origin.wall // 10**9, timezone.utc).isoformat()

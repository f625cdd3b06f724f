# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces felix manages, as its own map of them says."""

from __future__ import annotations

from typing import Iterable

from ..._calico.codecs.ifstate import decode_ifindex, decode_ifstate
from ..._calico.evidence import Verdict
from ..._calico.maps import rows_named
from ..._kernel.maps import Map
from ..._kernel.readers import chunks, open_reader
from ..._plan.findings_input import PinnedMap
from .notes import Notes

_BATCH = 256


def managed(maps: Iterable[PinnedMap], pin_dir: str, notes: Notes) -> dict[int, int] | None:
    """Flags by ifindex of the newest interface state map; None when there is none to read."""
    own = [one for one in maps if one.owner.verdict is Verdict.CALICO and _is_state(one, pin_dir)]
    if not own:
        return None
    newest = max(own, key=lambda one: one.path)
    with notes.reading(f"The interfaces in {newest.path}"):
        return _flags(newest)
    return None


def _is_state(one: PinnedMap, pin_dir: str) -> bool:
    directory, _, name = one.path.rpartition("/")
    return directory == pin_dir.rstrip("/") and any(
        row.role == "ifstate" for row in rows_named(name)
    )


def _flags(one: PinnedMap) -> dict[int, int]:
    found = {}
    with Map.open(one.path, read_only=True) as opened:
        for chunk in chunks(open_reader(opened, one.spec, _BATCH), one.spec):
            for at in range(chunk.count):
                key = bytes(chunk.key_view[at * 4 : at * 4 + 4])
                size = one.spec.value_size
                raw = bytes(chunk.value_view[at * chunk.slot : at * chunk.slot + size])
                found[decode_ifindex(key)] = decode_ifstate(raw).flags
    return found

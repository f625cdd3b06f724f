# SPDX-License-Identifier: GPL-3.0-or-later
"""felix's state of the interfaces, entry by entry (1000 at most by default)."""

from __future__ import annotations

from typing import Iterable, Mapping, NamedTuple

from .._calico.codecs.ifstate import IfState, decode_ifindex, decode_ifstate
from .._calico.evidence import Verdict
from .._calico.ifstate import LAYOUTS, layout_of_map
from .._kernel.maps import Map
from .._plan.findings_input import Node, PinnedMap


class IfstateMap(NamedTuple):
    """The map that is pinned at ``path``, and its entries by ifindex; sizes in bytes."""

    path: str
    id: int
    value_size: int
    entries: Mapping[int, IfState]


def ifstate_map(node: Node, names: Iterable[str] | None = None) -> IfstateMap | None:
    """The newest map in the pin directory, of those names; None when there is none.

    Raises SyscallError.
    """
    wanted = {row.map_name for row in LAYOUTS} if names is None else set(names)
    own = [one for one in node.maps if _is_state(one, node.pin_dir, wanted)]
    if not own:
        return None
    newest = max(own, key=lambda one: one.path)
    size = newest.spec.value_size
    with Map.open(newest.path, read_only=True) as opened:
        raw = {key: opened.lookup(key, size) for key in list(opened.keys(4))}
    entries = {decode_ifindex(key): decode_ifstate(value) for key, value in raw.items() if value}
    return IfstateMap(newest.path, newest.id, size, entries)


def _is_state(one: PinnedMap, pin_dir: str, names: set[str]) -> bool:
    directory, _, name = one.path.rpartition("/")
    known = layout_of_map(name, one.spec.value_size) is not None
    calico = one.owner.verdict is Verdict.CALICO
    return calico and known and name in names and directory == pin_dir.rstrip("/")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about the maps that attached programs use, against those that are pinned."""

from __future__ import annotations

from typing import Iterator

from .._calico.maps import rows_fitting, rows_named
from .._calico.places import OLD_SUFFIX
from .._calico.tables.map_row import UNPINNED, CalicoMap
from .._uapi.maps import describe
from .ebpf_mode import programs_alone
from .findings_input import Finding, Node, PinnedMap, UsedMap
from .findings_release import own_maps, pin_name
from .wording import several

_USERS = 3


def split_conntrack(node: Node) -> Iterator[Finding]:
    """Programs that track connections in another map than the one that is pinned."""
    used: dict[int, list[UsedMap]] = {}
    for one in node.used_maps:
        row = _row(one)
        if row and row.role == "conntrack":
            used.setdefault(row.family, []).append(one)
    for maps in used.values():
        live = _pinned(node, maps)
        if live and any(one.id != live.id for one in maps):
            yield Finding("CT_SPLIT", live.path, (_pinned_sentence(live), *map(_sentence, maps)))


def _row(one: UsedMap) -> CalicoMap | None:
    return next((row for row in rows_fitting(one.spec) if row.place != UNPINNED), None)


def _pinned(node: Node, used: list[UsedMap]) -> PinnedMap | None:
    """The newest of the pins with the names of the used maps."""
    names = {one.spec.name for one in used}
    return max(
        (one for one in own_maps(node) if pin_name(one) in names), key=pin_name, default=None
    )


def _pinned_sentence(live: PinnedMap) -> str:
    return f"Map {live.id} is pinned, a {describe(live.spec)}."


def _sentence(one: UsedMap) -> str:
    users = several(one.users, _USERS)
    return f"Map {one.id}, a {describe(one.spec)}, is used by {users}."


def unpinned(node: Node) -> Iterator[Finding]:
    """Maps that go with the programs that use them."""
    if not node.bpffs_there or programs_alone(node):
        return
    pinned = {one.id for one in node.maps}
    live = {pin_name(one) for one in own_maps(node)}
    evidence = []
    for one in node.used_maps:
        row = _row(one)
        split = row and row.role == "conntrack" and one.spec.name in live
        if row and not split and one.id not in pinned:
            users = several(one.users, _USERS)
            evidence.append(f"{one.spec.name}, map {one.id}, is used by {users} and not pinned.")
    if evidence:
        yield Finding("MAP_UNPINNED", node.pin_dir, tuple(evidence))


def no_map(node: Node) -> Iterator[Finding]:
    """Pins of something else where felix looks for a map."""
    place = node.pin_dir.rstrip("/")
    for one in node.pins:
        directory, _, name = one.path.rpartition("/")
        base = name[: -len(OLD_SUFFIX)] if name.endswith(OLD_SUFFIX) else name
        if one.kind != "map" and directory == place and rows_named(base):
            yield Finding("PIN_NO_MAP", one.path, (f"It is a pin of a {one.kind}.",))


def stale_udp(node: Node) -> Iterator[Finding]:
    """Flows to a Service that are tracked as if it were none."""
    for one in node.stale_udp:
        flows = f"{one.flows} live UDP flows to {one.service} bypass the Service"
        evidence = f"{flows} in {one.map_path}: {'; '.join(one.examples)}."
        yield Finding("UDP_STALE", one.service, (evidence,))


USE_RULES = (split_conntrack, unpinned, no_map, stale_udp)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the detected release says about the pinned maps of a node."""

from __future__ import annotations

from pathlib import PurePosixPath

from .._calico.maps import maps_of, rows_fitting, superseded_by
from .._calico.places import OLD_SUFFIX
from .findings_input import Node, PinnedMap


def own_maps(node: Node) -> tuple[PinnedMap, ...]:
    """The maps pinned in the pin directory itself that have a map name of Calico's."""
    place = node.pin_dir.rstrip("/")
    return tuple(one for one in node.maps if str(PurePosixPath(one.path).parent) == place)


def pin_name(one: PinnedMap) -> str:
    """The name of the pin, which is the map's."""
    return PurePosixPath(one.path).name


def is_old(one: PinnedMap) -> bool:
    """Whether it is one that a resize left beside."""
    return pin_name(one).endswith(OLD_SUFFIX)


def superseded(node: Node) -> tuple[PinnedMap, ...]:
    """Maps that none of the node's releases makes, and of one role and family all but the newest.

    The second is for a release that is not known well enough: two conntrack versions beside each
    other cannot both be in use.
    """
    release = node.release.releases
    foreign = {row.name for row in superseded_by(release)}
    seen = [one for one in own_maps(node) if rows_fitting(one.spec._replace(name=pin_name(one)))]
    stale = [one for one in seen if pin_name(one) in foreign]
    current: dict[tuple[str, int], list[PinnedMap]] = {}
    slots = {row.name: (row.role, row.family) for row in maps_of(release)}
    for one in seen:
        if pin_name(one) in slots:
            current.setdefault(slots[pin_name(one)], []).append(one)
    for versions in current.values():
        stale += sorted(versions, key=pin_name)[:-1]
    return tuple(stale)

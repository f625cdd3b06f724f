# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface state map: layouts by release, and what its ingress and egress mean."""

from __future__ import annotations

from typing import Collection, NamedTuple

from .codecs.ifstate import NONE, IfState
from .preamble import JUMP_MAPS
from .rows import Table, since
from .versions import VersionSet

NO_INDEX = 0xFFFFFFFF
"""-1 as the unsigned value that means: no index."""

WORKLOAD = 0x1
"""The flag of a workload's interface, in all releases (programs 3.1)."""
WORKLOAD_PREFIX = "cali"
"""How names of workloads' interfaces begin by default (programs 1.1, InterfacePrefix)."""


class IfstateLayout(NamedTuple):
    """Value layout of a map name: ``fields`` are name, offset, size in bytes.

    The key is the ifindex, 4 bytes little endian. ``ready`` are the flag bits that say that an
    interface is programmed, for each family in use.
    """

    map_name: str
    releases: VersionSet
    value_size: int
    fields: tuple[tuple[str, int, int], ...]
    ready: tuple[int, ...]
    source: str
    certain: bool = True


class Direction(NamedTuple):
    """What ingress and egress in the field names mean for a workload's interface.

    ``policy``: the direction of the policy, so ``ingress`` fields belong to the tc egress hook.
    ``hook``: the tc hook. Host interfaces are the same in both. ``none``: no such fields.
    """

    releases: VersionSet
    meaning: str
    source: str


_HEAD = (("flags", 0, 4), ("name", 4, 16))
_SOURCE = "programs 3.1; maps 4.6"

_LAYOUTS: tuple[IfstateLayout, ...] = (
    IfstateLayout("cali_iface2", since("3.26"), 20, _HEAD, (0x2,), _SOURCE),
    IfstateLayout(
        "cali_iface3",
        since("3.27"),
        40,
        (
            *_HEAD,
            ("xdp_policy", 20, 4),
            ("ingress_policy", 24, 4),
            ("egress_policy", 28, 4),
            ("tc_filter_ingress", 32, 4),
            ("tc_filter_egress", 36, 4),
        ),
        (0x2,),
        _SOURCE,
    ),
    IfstateLayout(
        "cali_iface4",
        since(">=3.28"),
        52,
        (
            *_HEAD,
            ("xdp_policy_v4", 20, 4),
            ("ingress_policy_v4", 24, 4),
            ("egress_policy_v4", 28, 4),
            ("xdp_policy_v6", 32, 4),
            ("ingress_policy_v6", 36, 4),
            ("egress_policy_v6", 40, 4),
            ("tc_filter_ingress", 44, 4),
            ("tc_filter_egress", 48, 4),
        ),
        (0x2, 0x4),
        _SOURCE,
    ),
)

_DIRECTIONS: tuple[Direction, ...] = (
    Direction(since("3.26"), "none", _SOURCE),
    Direction(since(">=3.27,<3.31.3"), "policy", "programs 3.1; log lines of #9760"),
    Direction(since(">=3.31.3"), "hook", "programs 3.1; #11443/#11488"),
)

LAYOUTS = Table(_LAYOUTS, lambda row: "layout")
DIRECTIONS = Table(_DIRECTIONS, lambda row: "direction")


def layout_of(release: VersionSet) -> IfstateLayout:
    """The layout of a release. Raises RefusedError: not the same in all of ``release``."""
    return LAYOUTS.one_of(release, "The ifstate layout")


def layout_of_map(map_name: str, value_size: int) -> IfstateLayout | None:
    """The layout of a map, None when its name or value size is not known."""
    for row in LAYOUTS:
        if (row.map_name, row.value_size) == (map_name, value_size):
            return row
    return None


def direction_of(release: VersionSet) -> str:
    """policy, hook or none. Raises RefusedError: not the same in all of ``release``."""
    return DIRECTIONS.one_of(release, "The meaning of ingress in the ifstate map").meaning


def filter_field(meaning: str, hook: str, workload: bool) -> str:
    """The field with the log filter's index for a tc hook, ``ingress`` or ``egress``."""
    swapped = workload and meaning == "policy"
    if swapped:
        hook = {"ingress": "egress", "egress": "ingress"}[hook]
    return f"tc_filter_{hook}"


def is_workload(name: str, flags: int | None) -> bool:
    """Whether an interface is a workload's: by felix's ``flags``, without them by its name."""
    return name.startswith(WORKLOAD_PREFIX) if flags is None else bool(flags & WORKLOAD)


def hook_of_policy(
    maps: Collection[str], slots: Collection[int], entry: IfState | None
) -> str | None:
    """The tc hook of a workload's entry program; None when that cannot be told.

    From 3.31.3 on the jump map among its ``maps`` names the hook. Before, the slots of the policy
    in its constants are those of one direction in the interface's ``entry``.
    """
    hooks = {row.hook for row in JUMP_MAPS if row.jump in maps} & {"ingress", "egress"}
    if len(hooks) == 1:
        return hooks.pop()
    if entry is None:
        return None
    inward = {entry.ingress_v4, entry.ingress_v6} - {None, NONE}
    outward = {entry.egress_v4, entry.egress_v6} - {None, NONE}
    policies = {"egress": inward, "ingress": outward}
    found = [hook for hook, indices in policies.items() if indices.intersection(slots)]
    return found[0] if len(found) == 1 else None

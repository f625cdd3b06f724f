# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a task on tc filters, and the interfaces that it means."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from .._calico.ifstate import is_workload
from .._calico.rows import require_known
from .._calico.tc_attach import FIRST_PREF, LAST_PREF
from .._calico.versions import VersionSet, parse_release
from .._errors import BadInputError, RefusedError
from . import inputs
from .findings_input import Interface, Node

WORKLOADS = ("cali*",)
"""Interfaces of workloads with felix's default prefix."""

_SHOWN = 5


class Desired(NamedTuple):
    """The task's parameters.

    ``lowest_preference``: a pair of filters below it is renumbered although both are alike.
    """

    state: str
    interfaces: tuple[str, ...]
    allow_host_traffic_loss: bool
    lowest_preference: int
    bpffs: str
    pin_dir: str
    release: VersionSet | None


def desired(params: Mapping[str, Any]) -> Desired:
    """The parameters as a value. Raises BadInputError, RefusedError."""
    given = params["interfaces"]
    if params["state"] == "absent" and not given:
        raise RefusedError("interfaces: needed with state=absent, by name or by pattern.")
    if given is not None and (not given or "" in given):
        raise BadInputError("interfaces", given, "has to name interfaces, or patterns like cali*")
    lowest = params["lowest_preference"]
    inputs.in_range("lowest_preference", lowest, LAST_PREF + 1, FIRST_PREF)
    bpffs = params["bpffs"]
    pin_dir = params["pin_dir"] or f"{bpffs.rstrip('/')}/tc/globals"
    for name, path in (("bpffs", bpffs), ("pin_dir", pin_dir)):
        inputs.directory_path(name, path)
    return Desired(
        params["state"],
        tuple(dict.fromkeys(given or WORKLOADS)),
        params["allow_host_traffic_loss"],
        lowest,
        bpffs,
        pin_dir,
        stated_release(params["calico_version"]),
    )


def stated_release(version: str | None) -> VersionSet | None:
    """The release that the task names. Raises BadInputError."""
    if version is None:
        return None
    release = parse_release(version)
    require_known(release)
    return release


def selected(wanted: Desired, node: Node) -> tuple[Interface, ...]:
    """The interfaces that the task means.

    Raises RefusedError for one that is no workload's, unless it is named and consent is given.
    """
    flags = node.ifstate or {}
    found = tuple(one for one in node.interfaces if one.workload)
    host = [one.name for one in found if not is_workload(one.name, flags.get(one.ifindex))]
    by_pattern = [name for name in host if name not in wanted.interfaces]
    if by_pattern or (host and not wanted.allow_host_traffic_loss):
        names = by_pattern or host
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise RefusedError(
            f"interfaces: {', '.join(names[:_SHOWN])}{more} "
            f"{'are' if len(names) > 1 else 'is'} not of workloads, and the node's own traffic "
            "goes through such interfaces; name each of them in full and set "
            "allow_host_traffic_loss, or choose patterns that match none."
        )
    return found


def unknown_names(wanted: Desired, node: Node) -> tuple[str, ...]:
    """Names in the task, not patterns, that no interface has."""
    there = {one.name for one in node.interfaces}
    plain = (name for name in wanted.interfaces if not set(name) & set("*?["))
    return tuple(name for name in plain if name not in there)

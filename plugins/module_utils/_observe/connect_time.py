# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroups of a node as the planner of connect-time programs needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

from .._errors import BadInputError
from .._kernel.bpffs import filesystem_magic
from .._plan.connect_time import Observed
from .._uapi.bpf import CGROUP2_MAGIC
from .agents import agents
from .link_pins import connect_pins
from .node.report import look
from .node.task import Task, task


def where(params: Mapping[str, Any]) -> Task:
    """Where to look, from the options of modules that remove. Raises BadInputError."""
    unused = {"interfaces": (), "count_entries": False, "conntrack_max_entries": None}
    found = task({"pin_dir": None, "connect_time_load_balancing": None, **unused, **params})
    subpath = params["cgroup_subpath"] or ""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise BadInputError("cgroup_subpath", subpath, "is not a path below the cgroup root")
    _require_cgroup(found.cgroup_root)
    return found._replace(cgroup_subpath=subpath)


def _require_cgroup(path: str | None) -> None:
    """Raise BadInputError when a directory was named that cannot have programs."""
    if path is None:
        return
    if not Path(path).is_dir():
        raise BadInputError("cgroup_root", path, "is no directory on this node")
    if filesystem_magic(path) != CGROUP2_MAGIC:
        raise BadInputError("cgroup_root", path, "is not on a cgroup2 file system")


def observe(place: Task) -> tuple[Observed, tuple[str, ...]]:
    """What the planner needs, and sentences about what could not be read."""
    node, warnings = look(place)
    return Observed(node, connect_pins(node), agents(node)), (
        *warnings,
        *missing_below(place, node.cgroups),
    )


def missing_below(place: Task, cgroups: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence when the directory below the roots is at none of them."""
    if not place.cgroup_subpath or any(one.endswith(place.cgroup_subpath) for one in cgroups):
        return ()
    return (f"cgroup_subpath: there is no {place.cgroup_subpath} below {' or '.join(cgroups)}.",)

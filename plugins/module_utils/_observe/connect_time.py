# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroups of a node as the planner of connect-time programs needs them."""

from __future__ import annotations

from pathlib import Path

from .._errors import BadInputError
from .._kernel.bpffs import filesystem_magic
from .._plan.connect_time import Observed
from .._uapi.bpf import CGROUP2_MAGIC
from .agents import agents
from .link_pins import connect_pins
from .node.report import look
from .node.task import Task


def require_cgroup(path: str | None) -> None:
    """Raise BadInputError when a directory was named that cannot have programs."""
    if path is None:
        return
    if not Path(path).is_dir():
        raise BadInputError("cgroup_root", path, "is no directory on this node")
    if filesystem_magic(path) != CGROUP2_MAGIC:
        raise BadInputError("cgroup_root", path, "is not on a cgroup2 file system")


def observe(task: Task) -> tuple[Observed, tuple[str, ...]]:
    """What the planner needs, and sentences about what could not be read."""
    node, warnings = look(task)
    return Observed(node, connect_pins(node), agents(node)), (
        *warnings,
        *missing_below(task, node.cgroups),
    )


def missing_below(task: Task, cgroups: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence when the directory below the roots is at none of them."""
    if not task.cgroup_subpath or any(one.endswith(task.cgroup_subpath) for one in cgroups):
        return ()
    return (f"cgroup_subpath: there is no {task.cgroup_subpath} below {' or '.join(cgroups)}.",)

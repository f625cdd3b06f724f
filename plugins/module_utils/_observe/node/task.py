# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module is asked for, checked before the node is looked at."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from ..._calico.rows import require_known
from ..._calico.versions import VersionSet, parse_release
from ..._errors import BadInputError
from ..._plan.inputs import directory_path, in_range
from ..._plan.map_task import MAX_U32


class Task(NamedTuple):
    """Where to look. ``cgroup_root`` None: every cgroup2 mount. Paths are absolute.

    ``cgroup_subpath`` is a directory below each root that is looked at too (DebugBPFCgroupV2).
    """

    bpffs: str
    pin_dir: str
    cgroup_root: str | None
    interfaces: tuple[str, ...]
    count_entries: bool
    release: VersionSet | None
    conntrack_size: int | None
    cgroup_subpath: str = ""
    connect_setting: str | None = None


def task(params: Mapping[str, Any]) -> Task:
    """The module's parameters. Raises BadInputError."""
    pin_dir = params["pin_dir"] or f"{params['bpffs'].rstrip('/')}/tc/globals"
    release = None
    if params["calico_version"] is not None:
        release = parse_release(params["calico_version"])
        require_known(release)
    for name, value in (("bpffs", params["bpffs"]), ("pin_dir", pin_dir)):
        directory_path(name, value)
    if params["cgroup_root"]:
        directory_path("cgroup_root", params["cgroup_root"])
    if "" in params["interfaces"]:
        raise BadInputError("interfaces", "", "is not a pattern of interface names such as cali*")
    size = params["conntrack_max_entries"]
    if size is not None:
        in_range("conntrack_max_entries", size, 1, MAX_U32)
    return Task(
        params["bpffs"],
        pin_dir,
        params["cgroup_root"],
        tuple(params["interfaces"]),
        params["count_entries"],
        release,
        size,
        connect_setting=params.get("connect_time_load_balancing"),
    )

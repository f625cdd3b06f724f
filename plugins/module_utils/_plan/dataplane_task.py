# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters of a task that removes eBPF mode, and what was seen of the node."""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple

from .._calico.places import RESIDUES, Residue
from .._calico.rows import require_known
from .._calico.versions import VersionSet, parse_release
from .._errors import BadInputError
from .connect_removal import LinkPin
from .felix_mode import Agent
from .findings_input import Node
from .tc_hooks import Other

KINDS = ("tc", "tcx", "xdp", "cgroup", "pin", "directory", "device", "record")
"""What can be chosen, in the order in which it is removed.

Programs go before the program arrays that they call into, for a program array loses its elements
with its last pin, and a program that finds none drops every packet (programs 2.3). Links of
connect-time programs go with their pins. Devices go when nothing is attached to them any more,
records last, since felix of 3.26 attaches nothing that they say is attached.
"""

_INTERFACE = "<interface>"
_UNLOCKED = "kernel.unprivileged_bpf_disabled"


class Desired(NamedTuple):
    """The task's parameters. ``sysctls`` are values by name.

    ``newer_than``: only pins of later releases than this one, which felix runs.
    """

    kinds: tuple[str, ...]
    sysctls: Mapping[str, str]
    disrupt_running_felix: bool
    newer_than: VersionSet | None = None


class Directory(NamedTuple):
    """A directory that only Calico makes, and the paths of what is in it."""

    path: str
    entries: tuple[str, ...]


class Setting(NamedTuple):
    """A kernel setting; ``felix`` is the value that eBPF mode gives it, empty for any other."""

    name: str
    value: str
    felix: str


class Observed(NamedTuple):
    """The node and all beside its programs and maps that eBPF mode makes.

    ``others`` are filters that are no BPF filters by ifindex. ``link_pins`` are pinned links that
    no hook shows, by kind. ``strays`` are pins elsewhere on the bpffs with names like Calico's.
    ``directories`` come with the innermost first. ``settings`` hold the values that felix gives
    and those that the task names.
    """

    node: Node
    others: Mapping[int, tuple[Other, ...]] = {}
    link_pins: Mapping[str, tuple[LinkPin, ...]] = {}
    strays: tuple[str, ...] = ()
    directories: tuple[Directory, ...] = ()
    records: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    agents: tuple[Agent, ...] = ()


def desired(params: Mapping[str, Any]) -> Desired:
    """The parameters as a value. Raises BadInputError for one that can never work."""
    include, exclude = params["include"] or list(KINDS), params["exclude"]
    for name, value in params["sysctls"].items():
        residue_of(name)
        if not re.fullmatch(r"\d{1,10}", str(value)):
            raise BadInputError("sysctls", f"{name}={value}", "is not a whole number")
    if params.get("newer_than"):
        return _newer_than(params)
    return Desired(
        tuple(kind for kind in KINDS if kind in include and kind not in exclude),
        {name: str(value) for name, value in params["sysctls"].items()},
        params["disrupt_running_felix"],
    )


def _newer_than(params: Mapping[str, Any]) -> Desired:
    """felix of that release knows nothing of what goes, and may run."""
    release = parse_release(params["newer_than"], "newer_than")
    require_known(release)
    for name in ("include", "exclude", "sysctls"):
        if params[name]:
            raise BadInputError(name, params[name], "is not for newer_than, which removes pins")
    return Desired(("pin",), {}, True, release)


def residue_of(name: str) -> Residue:
    """The row of a kernel setting. Raises BadInputError: eBPF mode does not change it."""
    for row in RESIDUES:
        if re.fullmatch(re.escape(row.sysctl).replace(_INTERFACE, r"[^.]+"), name):
            return row
    known = ", ".join(row.sysctl for row in RESIDUES)
    raise BadInputError("sysctls", name, f"is none of the settings that felix changes: {known}")


def is_final(setting: Setting) -> bool:
    """Whether the kernel takes no other value for it until it restarts (ops 3.3)."""
    return (setting.name, setting.value) == (_UNLOCKED, "1")

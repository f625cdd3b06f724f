# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of the tables of gates.

A gate's code is that of the defect it keeps away; severity, upstream numbers and advice stand in
the table of defects.
"""

from __future__ import annotations

from typing import NamedTuple

from ..versions import VersionSet

RESIZE = "resize_conntrack"
UPGRADE = "upgrade"
SWITCH = "switch_dataplane"
LOG_LEVEL = "set_log_level"
REPAIR_TC = "repair_tc"
REPAIR_UDP = "repair_udp"

RESTARTS = (RESIZE, UPGRADE, SWITCH, LOG_LEVEL)
"""Operations after which felix starts anew: every setting of eBPF mode needs that (ops 0.1)."""

ALL = (*RESTARTS, REPAIR_TC, REPAIR_UDP)


class Gate(NamedTuple):
    """A gate.

    ``asks`` is what has to hold, ``rule`` the function of the planner that looks, ``override``
    the option of the role preflight that opens a closed gate, empty where nothing may.
    """

    code: str
    operations: tuple[str, ...]
    rule: str
    asks: str
    override: str
    source: str


class Path(NamedTuple):
    """A way from one release to another that breaks by the defect ``code``."""

    code: str
    running: VersionSet
    target: VersionSet
    source: str
    certain: bool = True

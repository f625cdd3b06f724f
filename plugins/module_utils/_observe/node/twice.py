# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, with a second look at what felix may be mending at this moment."""

from __future__ import annotations

import time
from typing import NamedTuple

from ..._plan.findings import confirmed, findings, is_transient
from ..._plan.findings_input import Finding, Node
from .report import look
from .task import Task

MOMENT = 1.0
"""Seconds between the looks: felix attaches to an interface within milliseconds."""


class Judged(NamedTuple):
    """The node as the first look had it, what could not be read, and the findings."""

    node: Node
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]


def judge(task: Task) -> Judged:
    """Look once, and again where something found may pass by itself; tables are read once."""
    sight = look(task)
    found = findings(sight.node)
    if any(is_transient(one) for one in found):
        time.sleep(MOMENT)
        again = look(task._replace(count_entries=False))
        found = confirmed(found, findings(again.node))
    return Judged(sight.node, sight.warnings, found)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The gates of each operation, and the ways between releases that are known to break."""

from __future__ import annotations

from .tables import gates_conntrack, gates_node
from .tables.gate_row import ALL, Gate, Path
from .tables.path_rows import PATHS
from .versions import VersionSet

OPERATIONS = ALL

GATES: tuple[Gate, ...] = gates_node.ROWS + gates_conntrack.ROWS

OVERRIDES: tuple[str, ...] = tuple(sorted({row.override for row in GATES if row.override}))
"""Options of the role preflight that open a closed gate."""


def gates_of(operation: str) -> tuple[Gate, ...]:
    """The gates of an operation, in the order in which they are told."""
    return tuple(row for row in GATES if operation in row.operations)


def paths_of(code: str, running: VersionSet, target: VersionSet) -> tuple[Path, ...]:
    """The ways with the defect ``code`` that some of ``running`` takes to ``target``."""
    return tuple(
        row
        for row in PATHS
        if row.code == code and row.running.overlaps(running) and row.target.overlaps(target)
    )

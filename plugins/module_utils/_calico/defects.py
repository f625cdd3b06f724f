# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a node: codes, upstream numbers, releases and remedies."""

from __future__ import annotations

from . import releases
from .rows import Table
from .tables import (
    defects_attach,
    defects_connect,
    defects_conntrack,
    defects_gates,
    defects_node,
)
from .tables.defect_row import Defect
from .versions import Version, VersionSet

DEFECTS = Table(
    defects_conntrack.ROWS
    + defects_attach.ROWS
    + defects_connect.ROWS
    + defects_node.ROWS
    + defects_gates.ROWS,
    lambda row: row.code,
)

NOT_AFFECTED = "not affected"
NEVER = "never"


def defect(code: str) -> Defect:
    """The row of a code. Raises KeyError: no such code."""
    return {row.code: row for row in DEFECTS}[code]


def defects_of(release: VersionSet) -> tuple[Defect, ...]:
    """What some of ``release`` has; ``row.affected.covers(release)`` tells whether all has it."""
    return DEFECTS.of(release)


def fixed_in(row: Defect) -> dict[str, str]:
    """For each release line the first release without the defect, ``never`` or ``not affected``."""
    return {
        line.releases.spans[0].low.line: _fixed_in_line(row, line.releases)
        for line in releases.LINES
        if line.released
    }


def _fixed_in_line(row: Defect, line: VersionSet) -> str:
    affected = row.affected.intersection(line)
    if not affected.spans:
        return NOT_AFFECTED
    first_good: Version = affected.spans[-1].high
    return str(first_good) if line.has(first_good) else NEVER

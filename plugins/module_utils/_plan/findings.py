# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node: each rule looks at what was seen and names defects by their code.

What a defect is, how bad, whose number upstream and what repairs it stands in the defect tables.
"""

from __future__ import annotations

from typing import Any, Iterable

from .._calico.defects import defect
from .findings_attach import ATTACH_RULES
from .findings_input import Finding, Node
from .findings_maps import MAP_RULES
from .findings_modes import MODE_RULES

RULES = (*MAP_RULES, *ATTACH_RULES, *MODE_RULES)

LOOKED_FOR = frozenset(
    {
        "BPFFS_MISSING",
        "CTLB_LEFTOVER",
        "CTLB_SEVERED",
        "CT_AUTOSCALE_FILE",
        "CT_FULL",
        "CT_LAYOUT",
        "CT_NEWER",
        "CT_OLD_PIN",
        "CT_SIZE",
        "CT_SUPERSEDED",
        "DEVICE_LEFTOVER",
        "IFSTATE_FULL",
        "JUMPS_EMPTY",
        "JUMPS_LINGERING",
        "LOG_FILTER_STALE",
        "MAP_SUPERSEDED",
        "MAP_UNKNOWN",
        "RELEASE_CONTRADICTION",
        "TCX_SEVERED",
        "TC_DUPLICATE",
        "TC_MISMATCH",
        "TC_MISSING",
        "TC_PREF_EXHAUSTED",
    }
)
"""The codes that the rules can name."""

_ORDER = ("critical", "warning", "info")


def findings(node: Node) -> tuple[Finding, ...]:
    """All findings, the severest first; none for a healthy node."""
    found = [one for rule in RULES for one in rule(node)]
    return tuple(sorted(found, key=lambda one: _ORDER.index(defect(one.code).severity)))


def finding_facts(found: Iterable[Finding]) -> tuple[dict[str, Any], ...]:
    """Findings as results show them, completed from the tables."""
    return tuple(_facts(one) for one in found)


def _facts(one: Finding) -> dict[str, Any]:
    row = defect(one.code)
    return {
        "code": one.code,
        "severity": row.severity,
        "title": row.title,
        "object": one.object,
        "evidence": list(one.evidence),
        "harm": row.harm,
        "upstream": list(row.upstream),
        "affected": str(row.affected),
        "remedy": list(row.remedy),
        "advice": row.advice,
    }

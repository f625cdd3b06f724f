# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node: each rule looks at what was seen and names defects by their code.

What a defect is, how bad, whose number upstream and what repairs it stands in the defect tables.
"""

from __future__ import annotations

from typing import Any, Iterable

from .._calico.defects import defect
from .findings_attach import ATTACH_RULES
from .findings_connect import CONNECT_RULES
from .findings_input import Finding, Node
from .findings_machine import MACHINE_RULES
from .findings_maps import MAP_RULES
from .findings_modes import MODE_RULES
from .findings_tc import TC_RULES
from .findings_use import USE_RULES

RULES = (
    *MAP_RULES,
    *USE_RULES,
    *ATTACH_RULES,
    *TC_RULES,
    *CONNECT_RULES,
    *MODE_RULES,
    *MACHINE_RULES,
)

LOOKED_FOR = frozenset(
    {
        "ATTACH_UNMATCHED",
        "BPFFS_MISSING",
        "CGROUP_MISSING",
        "CLSACT_FOREIGN",
        "CTLB_CGROUP",
        "CTLB_LEFTOVER",
        "CTLB_LEGACY_KEPT",
        "CTLB_SEVERED",
        "CTLB_UNEXPECTED",
        "CT_AUTOSCALE_FILE",
        "CT_FULL",
        "CT_LAYOUT",
        "CT_NEWER",
        "CT_OLD_PIN",
        "CT_SIZE",
        "CT_SPLIT",
        "CT_SUPERSEDED",
        "DEVICE_LEFTOVER",
        "IFSTATE_FULL",
        "JUMPS_EMPTY",
        "JUMPS_LINGERING",
        "KERNEL_PAIR",
        "KERNEL_TOO_OLD",
        "LOG_FILTER_STALE",
        "MAP_SUPERSEDED",
        "MAP_UNKNOWN",
        "MAP_UNPINNED",
        "PIN_LEFTOVER",
        "PIN_NO_MAP",
        "PROGRAM_LEFTOVER",
        "RELEASE_CONTRADICTION",
        "SETTINGS_LEFTOVER",
        "TCX_SEVERED",
        "TC_DRIFT",
        "TC_DUPLICATE",
        "TC_MISMATCH",
        "TC_MISSING",
        "TC_PREF_EXHAUSTED",
        "UDP_STALE",
    }
)
"""The codes that the rules can name."""

TRANSIENT = frozenset(
    {
        "CTLB_UNEXPECTED",
        "CT_SPLIT",
        "JUMPS_EMPTY",
        "JUMPS_LINGERING",
        "MAP_UNPINNED",
        "PIN_LEFTOVER",
        "PROGRAM_LEFTOVER",
        "TC_DUPLICATE",
        "TC_MISMATCH",
        "TC_MISSING",
    }
)
"""What felix makes and mends within moments while it attaches programs; a second look confirms."""

_ORDER = ("critical", "warning", "info")


def findings(node: Node) -> tuple[Finding, ...]:
    """All findings, the severest first; none for a healthy node."""
    found = [one for rule in RULES for one in rule(node)]
    return tuple(sorted(found, key=lambda one: _ORDER.index(defect(one.code).severity)))


def is_transient(one: Finding) -> bool:
    """Whether a finding counts only when a second look has it, too."""
    return one.code in TRANSIENT


def confirmed(first: Iterable[Finding], second: Iterable[Finding]) -> tuple[Finding, ...]:
    """The first look's findings, those that may pass only where the second look agrees.

    The evidence of these is that of the second.
    """
    again = {(one.code, one.object): one for one in second}
    found = (again.get((one.code, one.object)) if is_transient(one) else one for one in first)
    return tuple(one for one in found if one)


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

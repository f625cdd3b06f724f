# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as data: what its JSON file holds, and what its page is made from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .compare import changes
from .inputs import NOT_REACHED, checked

FORMAT = "bpfops.calico.report"
VERSION = 1
"""Grows when a key is renamed, removed or changes its meaning; not when one is added."""

SEVERITIES = ("critical", "warning", "info")
_SHARED = ("code", "severity", "title", "harm", "upstream", "affected", "remedy", "advice")
_DIGITS = re.compile(r"(\d+)")


def build(left: Mapping[str, Any], about: Mapping[str, str]) -> dict[str, Any]:
    """The whole report from the facts ``calico_report`` by node (plain values).

    ``about``: name, title, generated (UTC, ISO 8601) and command. The same input gives the same
    report. Raises AnsibleFilterError for a fact of another shape.
    """
    nodes = [_node(name, checked(name, left[name])) for name in sorted(left, key=natural)]
    return {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "summary": _summary(nodes),
        "findings": _grouped(nodes),
        "nodes": nodes,
    }


def natural(name: str) -> list[tuple[int, str]]:
    """A key to sort by that puts node2 before node10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


def rank(severity: str) -> int:
    """0 for the severest; a word that is not known comes last."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _node(name: str, left: dict[str, Any]) -> dict[str, Any]:
    look, before = left["snapshot"], left["before"]
    seen = look or {}
    counted = Counter(str(one.get("severity")) for one in seen.get("findings") or [])
    return {
        "name": name,
        **left,
        "release": seen.get("release"),
        "kernel": (seen.get("kernel") or {}).get("release"),
        "counts": {severity: counted[severity] for severity in SEVERITIES},
        "changes": changes(before, look) if before and look else None,
    }


def _summary(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    seen = [node for node in nodes if node["snapshot"]]
    return {
        "nodes": len(nodes),
        "reached": sum(node["result"] != NOT_REACHED for node in nodes),
        "healthy": sum(not any(node["counts"].values()) for node in seen),
        "results": dict(sorted(Counter(str(node["result"]) for node in nodes).items())),
        "releases": _counted(node["release"] for node in seen),
        "kernels": _counted(node["kernel"] for node in seen),
        "findings": {
            severity: sum(node["counts"][severity] for node in nodes) for severity in SEVERITIES
        },
        "refusals": [
            {"node": node["name"], **gate} for node in nodes for gate in closed(node["gates"])
        ],
    }


def closed(gates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The gates that stopped the node."""
    return [gate for gate in gates if not gate.get("passed")]


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    found = Counter(value or "unknown" for value in values)
    return {name: found[name] for name in sorted(found, key=natural)}


def _grouped(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings of all nodes by code, the severest first; each with where it was seen."""
    groups: dict[str, dict[str, Any]] = {}
    for node in nodes:
        for one in (node["snapshot"] or {}).get("findings") or []:
            code = str(one.get("code"))
            group = groups.setdefault(
                code, {**{key: one.get(key) for key in _SHARED}, "occurrences": []}
            )
            group["occurrences"].append(
                {"node": node["name"], "object": one.get("object"), "evidence": one.get("evidence")}
            )
    return sorted(groups.values(), key=lambda one: (rank(str(one["severity"])), str(one["code"])))

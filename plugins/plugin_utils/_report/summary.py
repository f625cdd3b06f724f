# SPDX-License-Identifier: GPL-3.0-or-later
"""A short summary of a run for the screen, from the report as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .model import SEVERITIES


def summary(report: Mapping[str, Any]) -> list[str]:
    """A line for each node, and below it one for each critical finding with what to do."""
    nodes = report["nodes"]
    width = max((len(node["name"]) for node in nodes), default=0)
    return [line for node in nodes for line in _lines(node, width)]


def _lines(node: Mapping[str, Any], width: int) -> Iterator[str]:
    name = node["name"].ljust(width)
    if not node["snapshot"]:
        yield f"{name}  {_why(node)}"
        return
    yield f"{name}  Calico {node['release']}: {_counts(node['counts'])}"
    if not node["snapshot"].get("interfaces_known", True):
        yield f"{' ' * width}  tc and XDP were not looked at: pyroute2 is not on the node"
    for one in node["snapshot"]["findings"]:
        if one["severity"] == SEVERITIES[0]:
            yield f"{' ' * width}  {one['code']} {one['object']}: {_remedy(one)}"


def _counts(counts: Mapping[str, int]) -> str:
    found = [f"{counts[severity]} {severity}" for severity in SEVERITIES if counts[severity]]
    return ", ".join(found) or "healthy"


def _why(node: Mapping[str, Any]) -> str:
    said = [step["says"] for step in node["steps"] if step.get("result") == "failed"]
    return f"failed: {said[-1]}" if said else "not reached"


def _remedy(one: Mapping[str, Any]) -> str:
    by = f" ({', '.join(one['remedy'])})" if one["remedy"] else ""
    numbers = f" {', '.join(one['upstream'])}" if one["upstream"] else ""
    return f"{one['advice']}{by}{numbers}"

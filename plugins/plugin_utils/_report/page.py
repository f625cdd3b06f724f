# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as its templates want it: everything worded, measured and in order."""

from __future__ import annotations

import re
from typing import Any

from . import text, timeline
from .gates import gate_view
from .inputs import NOT_STARTED, RESULTS
from .model import SEVERITIES, closed, natural, rank
from .page_node import fullest, node_view

SMALL = 12
"""A fleet of up to so many nodes is printed with everything unfolded."""

OBJECTS_SHOWN = 3
"""Objects that a finding names for each node; the node's own part has more."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def page(report: dict[str, Any]) -> dict[str, Any]:
    """What the templates are rendered with."""
    nodes = report["nodes"]
    on = timeline.scale(nodes)
    places = anchors([node["name"] for node in nodes])
    views = [node_view(node, places[node["name"]], on) for node in sorted(nodes, key=_urgency)]
    return {
        "title": report["title"],
        "generated": text.date(report["generated"]),
        "command": report["command"],
        "format": report["format"],
        "version": report["version"],
        "small": len(nodes) <= SMALL,
        "verdict": verdict(report["summary"]),
        "summary": report["summary"],
        "severities": [_severity(severity, report["findings"]) for severity in SEVERITIES],
        "results": _shares(_results(report["summary"]["results"])),
        "releases": _shares(report["summary"]["releases"]),
        "kernels": _shares(report["summary"]["kernels"]),
        "changes": _changes(nodes),
        "refusals": [_refusal(one, places) for one in report["summary"]["refusals"]],
        "findings": [_group(one, places) for one in report["findings"]],
        "ticks": timeline.ticks(on),
        "rows": [_row(node, places) for node in sorted(nodes, key=_urgency)],
        "lanes": _lanes(views, on),
        "nodes": views,
    }


def anchors(names: list[str]) -> dict[str, str]:
    """An id for each node: safe in a link, the same from run to run, and its own."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        wanted = base = "node-" + (_UNSAFE.sub("-", name).strip("-") or "x")
        count = 1
        while wanted in taken:
            count += 1
            wanted = f"{base}-{count}"
        taken.add(wanted)
        found[name] = wanted
    return found


def verdict(summary: dict[str, Any]) -> str:
    """The whole report in one or two sentences."""
    if not summary["nodes"]:
        return "No node was part of this run."
    found = summary["findings"]
    named = [text.of_severity(found[one], one) for one in SEVERITIES if found[one]]
    troubled = summary["nodes"] - summary["healthy"] - _missing(summary)
    if named:
        said = f"{text.counted(sum(found.values()), 'finding')} ({', '.join(named)})"
        sentence = f"{said} on {troubled} of {text.counted(summary['nodes'], 'node')}."
    else:
        sentence = f"Nothing is wrong on {text.counted(summary['healthy'], 'node')}."
    missing = _missing(summary)
    return (
        f"{sentence} {text.counted(missing, 'node')} could not be looked at."
        if missing
        else sentence
    )


def _missing(summary: dict[str, Any]) -> int:
    return int(summary["nodes"] - sum(summary["releases"].values()))


def _urgency(node: dict[str, Any]) -> tuple[Any, ...]:
    """Nodes that need someone come first; equal ones stay in the order of their names."""
    worst = tuple(-node["counts"][severity] for severity in SEVERITIES)
    stops = RESULTS[: RESULTS.index(NOT_STARTED) + 1]
    return (stops.index(node["result"]) if node["result"] in stops else len(stops), worst)


def _lanes(views: list[dict[str, Any]], on: timeline.Scale | None) -> list[dict[str, Any]]:
    """Nodes in the order in which they began; nothing when one step is all that any node did."""
    if on is None or all(len(view["steps"]) < 2 for view in views):
        return []
    return sorted((view for view in views if view["steps"]), key=_first_step)


def _first_step(view: dict[str, Any]) -> tuple[float, list[tuple[int, str]]]:
    return view["steps"][0]["x"], natural(view["name"])


def _severity(severity: str, groups: list[dict[str, Any]]) -> dict[str, Any]:
    places = [
        place for one in groups if one["severity"] == severity for place in one["occurrences"]
    ]
    return {
        "severity": severity,
        "word": text.severity_word(len(places), severity),
        "count": len(places),
        "nodes": len({place["node"] for place in places}),
    }


def _results(results: dict[str, int]) -> dict[str, int]:
    known = {result: results[result] for result in reversed(RESULTS) if result in results}
    return {**known, **{key: count for key, count in results.items() if key not in known}}


def _shares(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Counts with their place on a bar of 100 that they fill together."""
    total, x, found = sum(counts.values()), 0.0, []
    for name, count in counts.items():
        width = count / total * 100
        found.append({"name": name, "count": count, "x": round(x, 2), "width": round(width, 2)})
        x += width
    return found


def _changes(nodes: list[dict[str, Any]]) -> dict[str, int] | None:
    compared = [node["changes"] for node in nodes if node["changes"]]
    if not compared:
        return None
    sums = {key: sum(len(one[key]) for one in compared) for key in _COUNTED}
    return {"nodes": len(compared), **sums}


_COUNTED = ("findings_gone", "findings_new", "maps", "pins_gone", "pins_new")


def _refusal(gate: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    return {**gate_view(gate), "node": gate["node"], "anchor": places[gate["node"]]}


def _group(group: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    nodes: dict[str, list[dict[str, Any]]] = {}
    for one in group["occurrences"]:
        seen = {"object": text.value(one["object"]), "evidence": text.texts(one["evidence"])}
        nodes.setdefault(one["node"], []).append(seen)
    return {
        **{key: text.value(group[key]) for key in ("code", "severity", "title", "harm", "advice")},
        "affected": text.value(group["affected"]),
        "rank": rank(str(group["severity"])),
        "remedy": text.texts(group["remedy"]),
        "upstream": [text.upstream(one) for one in text.texts(group["upstream"])],
        "count": len(group["occurrences"]),
        "nodes": [
            {
                "name": name,
                "anchor": places[name],
                "objects": objects[:OBJECTS_SHOWN],
                "more": max(0, len(objects) - OBJECTS_SHOWN),
            }
            for name, objects in nodes.items()
        ],
    }


def _row(node: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    look = node["snapshot"] or {}
    return {
        "name": node["name"],
        "anchor": places[node["name"]],
        "result": node["result"],
        "release": text.value(node["release"]),
        "kernel": text.value(node["kernel"]),
        "counts": [(severity, node["counts"][severity]) for severity in SEVERITIES],
        "closed": len(closed(node["gates"])),
        "seen": bool(look),
        "fullest": fullest(look.get("maps") or []),
        "memory": sum(one.get("memory_bytes") or 0 for one in look.get("maps") or []),
    }

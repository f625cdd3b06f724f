# SPDX-License-Identifier: GPL-3.0-or-later
"""One node of the report as its template wants it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...module_utils._plan.findings_maps import FULL
from . import attachments, conntrack, details, text, timeline
from .gates import gate_view
from .model import rank

OBJECTS_SHOWN = 40
"""Findings of one code that a node lists; the JSON file has them all."""

_LEFT = (
    ("old_pins", "Map that a resize left beside"),
    ("superseded_maps", "Map of another release"),
    ("old_jumps", "Program array of felix's previous start"),
)


def node_view(node: dict[str, Any], anchor: str, on: timeline.Scale | None) -> dict[str, Any]:
    """Everything that the page says of a node."""
    look = node["snapshot"] or {}
    findings, more = _findings(look.get("findings") or [])
    return {
        "name": node["name"],
        "anchor": anchor,
        "result": node["result"],
        "release": text.value(node["release"]),
        "kernel": text.value(node["kernel"]),
        "seen": bool(look),
        "counts": [(severity, count) for severity, count in node["counts"].items() if count],
        "facts": _facts(look) if look else [],
        "findings": findings,
        "findings_more": more,
        "gates": sorted((gate_view(one) for one in node["gates"]), key=_closed_first),
        "steps": timeline.steps(node, on),
        "waits": timeline.waits(node),
        "changes": _changes(node["changes"]),
        "maps": [_map(one) for one in sorted(look.get("maps") or [], key=_path)],
        "memory": sum(one.get("memory_bytes") or 0 for one in look.get("maps") or []),
        "interfaces": len(look.get("interfaces") or []),
        "interfaces_known": look.get("interfaces_known", True),
        "patterns": attachments.patterns(look.get("interfaces") or []),
        "connect_time": [_connect(one) for one in look.get("connect_time") or []],
        "left": _left(look),
        "conntrack": conntrack.tables(node["conntrack"] or {}),
        "details": details.tables(node["details"]),
        "warnings": text.texts(look.get("warnings")),
    }


def fullest(maps: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The map with the highest fill level."""
    filled = [one for one in maps if one.get("fill") is not None]
    if not filled:
        return None
    return _fill(max(sorted(filled, key=_path), key=lambda one: float(one["fill"])))


def _path(one: dict[str, Any]) -> str:
    return str(one.get("path"))


def _closed_first(gate: dict[str, Any]) -> tuple[bool, int, str]:
    return gate["passed"], rank(gate["severity"]), gate["code"]


def _fill(one: dict[str, Any]) -> dict[str, Any]:
    fill = one.get("fill")
    return {
        "name": text.pin(_path(one)),
        "fill": fill,
        "percent": text.NOTHING if fill is None else text.percent(fill),
        "width": 0 if fill is None else round(min(float(fill), 1.0) * 100, 1),
        "full": fill is not None and fill >= FULL,
    }


def _map(one: dict[str, Any]) -> dict[str, Any]:
    notes = ["of another release"] if one.get("superseded") else []
    notes += [str(one["owner"])] if one.get("owner") not in (None, "calico") else []
    return {
        **_fill(one),
        "path": _path(one),
        "type": text.value(one.get("type")),
        "sizes": f"{text.number(one.get('key_size'))} / {text.number(one.get('value_size'))}",
        "max_entries": text.number(one.get("max_entries")),
        "entries": text.number(one.get("entries")),
        "memory": text.size(one.get("memory_bytes")),
        "notes": notes,
    }


def _facts(look: dict[str, Any]) -> list[dict[str, Any]]:
    """Terms with what there is to say of them; those without a value are left out."""
    kernel = look.get("kernel") or {}
    cpus = kernel.get("possible_cpus")
    said = [
        ("Calico release", [text.value(look.get("release"))], look.get("release_evidence")),
        ("Contradicted by", look.get("release_contradictions"), None),
        (
            "Kernel",
            [text.value(kernel.get("release"))],
            [text.counted(cpus, "possible CPU")] if cpus else None,
        ),
        ("Lockdown", kernel.get("lockdown"), None),
        ("bpffs", look.get("bpffs_mounts"), None),
        ("cgroup2", look.get("cgroup_roots"), None),
        ("Special devices", look.get("special_devices"), None),
        ("Auto-scale file", look.get("conntrack_size_file"), None),
    ]
    return [
        {"term": term, "values": text.texts(values), "evidence": text.texts(evidence)}
        for term, values, evidence in said
        if text.texts(values)
    ]


def _findings(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The findings to list, and how many are not listed."""
    listed: Counter[str] = Counter()
    shown = []
    for one in sorted(
        found, key=lambda one: (rank(str(one.get("severity"))), str(one.get("code")))
    ):
        code = str(one.get("code"))
        listed[code] += 1
        if listed[code] <= OBJECTS_SHOWN:
            shown.append(finding_view(one))
    return shown, len(found) - len(shown)


def finding_view(one: dict[str, Any]) -> dict[str, Any]:
    """What differs between findings of one code."""
    return {
        "code": text.value(one.get("code")),
        "severity": text.value(one.get("severity")),
        "object": text.value(one.get("object")),
        "evidence": text.texts(one.get("evidence")),
    }


def _changes(changes: dict[str, Any] | None) -> dict[str, Any] | None:
    if changes is None:
        return None
    return {
        "gone": [finding_view(one) for one in changes["findings_gone"]],
        "new": [finding_view(one) for one in changes["findings_new"]],
        "stayed": changes["findings_stayed"],
        "maps": [_changed_map(one) for one in changes["maps"]],
        "pins_gone": changes["pins_gone"],
        "pins_new": changes["pins_new"],
        "programs": changes["programs"],
        "release": {key: text.value(one) for key, one in changes["release"].items()},
    }


def _changed_map(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": text.pin(one["path"]),
        "path": one["path"],
        "change": one["change"],
        "before": _shape(one["before"]),
        "after": _shape(one["after"]),
    }


def _shape(one: dict[str, Any] | None) -> dict[str, str]:
    one = one or {}
    return {key: text.value(one.get(key)) for key in ("type", "max_entries", "entries")}


def _connect(one: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: text.value(one.get(key)) for key in ("hook", "name", "cgroup", "owner", "tag")},
        "id": str(one.get("program_id")),
        "attached": "by flags" if one.get("legacy") else "by link",
    }


def _left(look: dict[str, Any]) -> list[dict[str, str]]:
    found = [
        {"object": str(path), "says": says} for key, says in _LEFT for path in look.get(key) or []
    ]
    return found + [
        {"object": _path(pin), "says": "Link that is attached to nothing"}
        for pin in look.get("pins") or []
        if pin.get("severed")
    ]

# SPDX-License-Identifier: GPL-3.0-or-later
"""A report as short Markdown, to paste into a ticket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from . import text, timeline
from .gates import gate_view
from .inputs import RESULTS
from .page import verdict

NODES_SHOWN = 50
"""Nodes of the tables; the page and the data have all."""

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#|~!])")
_CONNECTIONS = "connections"
_NOTABLE = ("failed", "refused", "skipped")


def markdown(report: dict[str, Any]) -> str:
    """The text, with a newline at the end. What comes from nodes is neither markup nor a link."""
    parts = [_head(report), _table(report["nodes"]), _said(report), _refused(report)]
    parts += [_waits(report["nodes"]), _carried(report["nodes"]), _kept(report["nodes"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain_text(anything: Any) -> str:
    """In one line, with everything that Markdown would take for markup escaped."""
    return _MARKS.sub(r"\\\1", " ".join(text.value(anything).split()))


def _head(report: dict[str, Any]) -> str:
    results = report["summary"]["results"]
    known = [one for one in (*RESULTS[::-1], *results) if one in results]
    counts = ", ".join(f"{results[one]} {_words(one)}" for one in dict.fromkeys(known))
    lines = [
        f"## {plain_text(report['title'])}",
        "",
        f"{text.date(report['generated'])}. Nodes: {counts or 'none'}.",
        plain_text(verdict(report["summary"])),
    ]
    command = " ".join(str(report["command"]).split("\n"))
    return "\n".join([*lines, "", f"    {command}"] if command else lines)


def _words(result: str) -> str:
    return plain_text(result.replace("_", " "))


def _table(nodes: list[dict[str, Any]]) -> str:
    if not nodes:
        return ""
    rows = ["| node | result | took | findings before | after |", "|---|---|---|---|---|"]
    rows += [_row(node) for node in nodes[:NODES_SHOWN]]
    more = len(nodes) - NODES_SHOWN
    return "\n".join(rows + ([f"\nand {text.counted(more, 'more node')}"] if more > 0 else []))


def _row(node: dict[str, Any]) -> str:
    on = timeline.scale([node])
    cells = [
        plain_text(node["name"]),
        _words(str(node["result"])),
        text.span(on.seconds) if on else text.NOTHING,
        _count(node["before"]),
        _count(node["snapshot"]),
    ]
    return f"| {' | '.join(cells)} |"


def _count(look: dict[str, Any] | None) -> str:
    return str(len(look.get("findings") or [])) if look else text.NOTHING


def _said(report: dict[str, Any]) -> str:
    """What did not go as it should, in its own words."""
    return "\n".join(
        f"- {plain_text(node['name'])}, {plain_text(step.get('name'))} "
        f"({plain_text(step.get('result'))}): {plain_text(step['says'])}"
        for node in report["nodes"]
        for step in node["steps"]
        if step.get("result") in _NOTABLE and step.get("says")
    )


def _refused(report: dict[str, Any]) -> str:
    gates = [(one["node"], gate_view(one)) for one in report["summary"]["refusals"]]
    lines = [
        f"- {plain_text(node)}, gate {plain_text(gate['code'])}: {plain_text(gate['says'])}"
        for node, gate in gates
    ]
    return "\n".join(["Refused:", "", *lines]) if lines else ""


def _waits(nodes: list[dict[str, Any]]) -> str:
    rows = [
        f"| {plain_text(node['name'])} | {plain_text(wait['for'])} | {wait['took']} |"
        for node in nodes
        for wait in timeline.waits(node)
    ]
    head = ["| node | waited for | how long |", "|---|---|---|"]
    return "\n".join([*head, *rows]) if rows else ""


def _carried(nodes: list[dict[str, Any]]) -> str:
    """Entries that were copied from map to map, where a role tells."""
    found = [
        count
        for node in nodes
        for key, figures in node["details"].items()
        if key != _CONNECTIONS
        for count in _counts(figures, "entries")
    ]
    if not found:
        return ""
    return f"Conntrack entries carried over: {text.number(sum(found))}."


def _kept(nodes: list[dict[str, Any]]) -> str:
    """What became of the conntrack entries of before, where a role has compared the tables."""
    tables = [node["details"].get(_CONNECTIONS) for node in nodes]
    kept, gone, expired, alone = (
        sum(count for rows in tables for count in _counts(rows, key))
        for key in ("kept", "gone", "expired", "without_partner")
    )
    if not (kept or gone or expired or alone):
        return ""
    return (
        f"Conntrack entries of before: {text.number(kept)} of {text.number(kept + gone)} are "
        f"there, {text.number(gone)} were closed since then or got lost; "
        f"{text.number(expired + alone)} more would have expired without another packet."
    )


def _counts(figures: Any, key: str) -> Iterator[int]:
    """A figure of one dictionary, or of each in a list; whatever else there is tells nothing."""
    for row in figures if isinstance(figures, list) else [figures]:
        count = row.get(key) if isinstance(row, dict) else None
        if isinstance(count, int):
            yield count

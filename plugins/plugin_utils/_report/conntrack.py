# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack totals of a node as lists of bars."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from .text import number, percent

_SUMS = (("by_protocol", "Protocol"), ("by_type", "Type"), ("by_tcp_state", "TCP state"))
_AGES = (("idle", "Idle"), ("remaining_life", "Remaining life"))


def tables(found: dict[str, Any]) -> list[dict[str, Any]]:
    """One for each conntrack map."""
    return [_table(one) for one in found.get("tables") or []]


def _table(one: dict[str, Any]) -> dict[str, Any]:
    entries, room = one.get("entries") or 0, one.get("max_entries") or 0
    charts = [{"title": title, "bars": _sums(one.get(key) or {}, entries)} for key, title in _SUMS]
    charts += [{"title": title, "bars": _ages(one.get(key) or [], entries)} for key, title in _AGES]
    return {
        "path": str(one.get("path")),
        "family": {"ipv4": "IPv4", "ipv6": "IPv6"}.get(str(one.get("family")), ""),
        "entries": entries,
        "max_entries": room,
        "fill": entries / room if room else 0.0,
        "charts": [chart for chart in charts if chart["bars"]],
        "sources": one.get("top_sources") or [],
        "exact": one.get("top_sources_exact", True),
    }


def _bar(label: str, entries: int, total: int) -> dict[str, Any]:
    share = entries / total if total else 0.0
    return {"label": label, "entries": number(entries), "share": share, "percent": percent(share)}


def _sums(sums: dict[str, int], total: int) -> list[dict[str, Any]]:
    ordered = sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    return [_bar(label, entries, total) for label, entries in ordered]


def _ages(buckets: list[dict[str, Any]], total: int) -> list[dict[str, Any]]:
    """Nothing when all are empty: an empty table has no ages."""
    if not any(one.get("entries") for one in buckets):
        return []
    below = [0, *(one.get("below_seconds") for one in buckets)]
    labels = [_between(low, high) for low, high in pairwise(below)]
    return [_bar(label, one["entries"], total) for label, one in zip(labels, buckets, strict=True)]


def _between(low: int | None, high: int | None) -> str:
    if high is None:
        return f"{_age(low or 0)} and more"
    return f"below {_age(high)}" if not low else f"{_age(low)} to {_age(high)}"


def _age(seconds: int) -> str:
    for unit, word in ((3600, "h"), (60, "min")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit} {word}"
    return f"{seconds} s"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of all nodes on one scale of time."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from .text import NOTHING, clock, moment, span, value

_THINNEST = 0.4
"""Per cent of the scale that a step takes at least, to be seen."""


class Scale(NamedTuple):
    """From the first step's beginning to the last one's end."""

    began: datetime
    seconds: float


def scale(nodes: list[dict[str, Any]]) -> Scale | None:
    """None when no step says when it was."""
    times = [moment(step.get(key)) for node in nodes for step in node["steps"] for key in _ENDS]
    known = [one for one in times if one]
    if not known:
        return None
    return Scale(min(known), (max(known) - min(known)).total_seconds())


_ENDS = ("began", "ended")


def steps(node: dict[str, Any], on: Scale | None) -> list[dict[str, Any]]:
    """A node's steps in their order; ``x`` and ``width`` are per cent of the scale."""
    return [_step(one, on) for one in node["steps"]]


def _step(one: dict[str, Any], on: Scale | None) -> dict[str, Any]:
    began, ended = moment(one.get("began")), moment(one.get("ended"))
    took = (ended - began).total_seconds() if began and ended else None
    x, width = _place(began, took, on)
    return {
        "name": value(one.get("name")),
        "result": value(one.get("result")),
        "says": "" if one.get("says") is None else value(one.get("says")),
        "began": clock(began),
        "took": NOTHING if took is None else span(took),
        "x": x,
        "width": width,
    }


def _place(began: datetime | None, took: float | None, on: Scale | None) -> tuple[float, float]:
    if not (began and on and on.seconds):
        return 0.0, 0.0 if not began else 100.0
    width = max((took or 0) / on.seconds * 100, _THINNEST)
    x = (began - on.began).total_seconds() / on.seconds * 100
    return round(min(x, 100 - width), 2), round(width, 2)


def ticks(on: Scale | None) -> dict[str, str]:
    """What stands at both ends of the scale."""
    if on is None:
        return {}
    return {"began": clock(on.began), "took": span(on.seconds)}


def waits(node: dict[str, Any]) -> list[dict[str, str]]:
    """What a node has waited for, and how long."""
    return [{"for": value(one.get("for")), "took": _took(one)} for one in node["waits"]]


def _took(wait: dict[str, Any]) -> str:
    seconds = wait.get("seconds")
    return span(seconds) if isinstance(seconds, (int, float)) else NOTHING

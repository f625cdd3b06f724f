# SPDX-License-Identifier: GPL-3.0-or-later
"""Stale calls of log filters, and felix's indices, as results show them."""

from __future__ import annotations

from typing import Any

from .log_filter import Call, Desired, Observed, Plan

_FILLED = {False: "empty", True: "passed through"}


def stale_calls(wanted: Desired, seen: Observed) -> tuple[Call, ...]:
    """The calls that the task is about."""
    return tuple(one for one in seen.calls if one.stale and wanted.means(one.interface))


def calls_after(wanted: Desired, seen: Observed, done: Plan) -> list[dict[str, Any]]:
    """The stale calls, and whether a pass-through program answers them once the plan is done."""
    filled = {step.call.slot for step in done.passes}
    return [
        {
            "interface": one.interface,
            "hook": one.hook,
            "map": one.slot.map_name,
            "slot": one.slot.number,
            "passed_through": one.own or one.slot in filled,
        }
        for one in stale_calls(wanted, seen)
    ]


def states(wanted: Desired, seen: Observed, done: Plan | None = None) -> dict[str, Any]:
    """Slots and indices for the diff; with ``done`` as they are afterwards."""
    filled = {step.call.slot for step in done.passes} if done else set()
    cleared = {step.own.slot for step in done.clears} if done else set()
    reset = {step.ifindex for step in done.resets} if done else set()
    slots = {
        f"{one.interface} {one.hook} {one.slot}": _FILLED[one.own or one.slot in filled]
        for one in stale_calls(wanted, seen)
    }
    slots.update({str(one.slot): "passed through" for one in seen.own if one.slot not in cleared})
    indices = {}
    for one in filter(wanted.ends, seen.calls):
        known = seen.states.get(one.state_map)
        entry = known.entries.get(one.ifindex) if known else None
        if entry and entry.interface == one.interface:
            now = (-1, -1) if one.ifindex in reset else (entry.ingress, entry.egress)
            indices[one.interface] = list(now)
    return {"slots": slots, "indices": indices}

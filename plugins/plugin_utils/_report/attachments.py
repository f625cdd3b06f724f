# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces by what is attached to them: hundreds of pods mostly look alike."""

from __future__ import annotations

import re
from typing import Any

from .text import NOTHING, value

_PROGRAM_ID = re.compile(r":\[\d+\]$", re.ASCII)
_FIELDS = ("hook", "kind", "name", "preference", "handle", "constants", "log", "owner")


def patterns(interfaces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of interfaces with the same programs; workloads first, then the largest group."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for one in interfaces:
        rows = tuple(_row(program) for program in one.get("programs") or [])
        key = (not one.get("workload"), rows)
        groups.setdefault(key, []).append(str(one.get("name")))
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]), item[1]))
    return [
        {
            "workload": not key[0],
            "interfaces": names,
            "programs": [dict(zip(_FIELDS, row, strict=True)) for row in key[1]],
        }
        for key, names in ordered
    ]


def _row(program: dict[str, Any]) -> tuple[str, ...]:
    return (
        value(program.get("hook")),
        value(program.get("kind")),
        # The kernel adds the program's id to the name of a filter.
        _PROGRAM_ID.sub("", value(program.get("name"))),
        _plain(program.get("preference")),
        _plain(program.get("handle")),
        value(program.get("constants_bytes")),
        _log(program.get("log_filters") or []),
        value(program.get("owner")),
    )


def _plain(count: Any) -> str:
    """A number that is a name, so without separators."""
    return NOTHING if count is None else str(count)


def _log(slots: list[dict[str, Any]]) -> str:
    if not slots:
        return NOTHING
    return "in place" if all(one.get("filled") for one in slots) else "missing"

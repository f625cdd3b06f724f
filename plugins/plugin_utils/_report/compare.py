# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between two looks at one node."""

from __future__ import annotations

from typing import Any

_PARAMETERS = ("type", "key_size", "value_size", "max_entries", "flags", "id")
"""What makes a pinned map another one; the number of entries moves by itself."""

_SHOWN = (*_PARAMETERS, "entries")


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Findings and pins that are gone or new, maps that changed, programs and release of both."""
    gone, new, stayed = _findings(before, after)
    pins_before, pins_after = _paths(before, "pins"), _paths(after, "pins")
    return {
        "findings_gone": gone,
        "findings_new": new,
        "findings_stayed": stayed,
        "maps": _maps(before, after),
        "pins_gone": sorted(pins_before - pins_after),
        "pins_new": sorted(pins_after - pins_before),
        "programs": {"before": _programs(before), "after": _programs(after)},
        "release": {"before": before.get("release"), "after": after.get("release")},
    }


def _findings(
    before: dict[str, Any], after: dict[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    old = {_same(one): one for one in before.get("findings") or []}
    now = {_same(one): one for one in after.get("findings") or []}
    gone = [old[key] for key in sorted(old.keys() - now.keys())]
    new = [now[key] for key in sorted(now.keys() - old.keys())]
    return gone, new, len(old.keys() & now.keys())


def _same(finding: dict[str, Any]) -> tuple[str, str]:
    return str(finding.get("code")), str(finding.get("object"))


def _paths(look: dict[str, Any], key: str) -> set[str]:
    return {str(one.get("path")) for one in look.get(key) or []}


def _maps(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    old = {str(one.get("path")): one for one in before.get("maps") or []}
    now = {str(one.get("path")): one for one in after.get("maps") or []}
    compared = (_compared(path, old.get(path), now.get(path)) for path in sorted({*old, *now}))
    return [one for one in compared if one["change"]]


def _compared(path: str, old: dict[str, Any] | None, now: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "path": path,
        "change": _kind(old, now),
        "before": old and {key: old.get(key) for key in _SHOWN},
        "after": now and {key: now.get(key) for key in _SHOWN},
    }


def _kind(old: dict[str, Any] | None, now: dict[str, Any] | None) -> str:
    """gone, new, changed (in its parameters), replaced (by one that is the same), or nothing."""
    if old is None or now is None:
        return "new" if old is None else "gone"
    differing = [key for key in _PARAMETERS if old.get(key) != now.get(key)]
    if not differing:
        return ""
    return "replaced" if differing == ["id"] else "changed"


def _programs(look: dict[str, Any]) -> int:
    return sum(len(one.get("programs") or []) for one in look.get("interfaces") or [])

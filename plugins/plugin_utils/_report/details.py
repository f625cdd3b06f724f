# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role left in free form, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .text import NOTHING, value

_PAIR = ("before", "after")


def tables(details: dict[str, Any]) -> list[dict[str, Any]]:
    """A table for each group of values, each with ``title``, ``columns`` and ``rows``.

    The order is that of the names: JSON has lost any other.
    """
    single = {key: details[key] for key in _ordered(details) if not _nested(details[key])}
    found = [_values("", single)] if single else []
    for key in sorted(details.keys() - single.keys()):
        found += _group(key, details[key])
    return found


def _ordered(values: dict[str, Any]) -> list[str]:
    """Names first and figures after them; what was before stands in front of what was after."""
    return sorted(values, key=lambda key: (not isinstance(values[key], str), *_side(key)))


def _side(key: str) -> tuple[str, int]:
    for place, side in enumerate(_PAIR):
        if key.endswith(f"_{side}"):
            return key[: -len(side) - 1], place
    return key, 0


def _nested(item: Any) -> bool:
    return isinstance(item, dict) or _records(item)


def _records(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(one, dict) for one in item)


def _group(title: str, item: Any) -> Iterator[dict[str, Any]]:
    if isinstance(item, list):
        yield _list(title, item)
    elif set(_PAIR) <= item.keys():
        yield _pairs(title, *(item[key] for key in _PAIR))
        rest = {key: one for key, one in item.items() if key not in _PAIR}
        yield from _group(title, rest) if rest else ()
    else:
        for table in tables(item):
            inner = table["title"]
            yield {**table, "title": f"{title}: {inner}" if inner else title}


def _values(title: str, single: dict[str, Any]) -> dict[str, Any]:
    rows = [[key, value(item)] for key, item in single.items()]
    return {"title": title, "columns": [], "rows": rows}


def _pairs(title: str, before: Any, after: Any) -> dict[str, Any]:
    """Both side by side; values that are no dictionaries are one row."""
    old = before if isinstance(before, dict) else {title: before}
    new = after if isinstance(after, dict) else {title: after}
    rows = [
        [key, value(old.get(key, NOTHING)), value(new.get(key, NOTHING))]
        for key in _ordered({**old, **new})
    ]
    return {"title": title, "columns": ["", *_PAIR], "rows": rows}


def _list(title: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    columns = _ordered({key: item for one in records for key, item in one.items()})
    rows = [[value(one.get(key, NOTHING)) for key in columns] for one in records]
    return {"title": title, "columns": [key.replace("_", " ") for key in columns], "rows": rows}

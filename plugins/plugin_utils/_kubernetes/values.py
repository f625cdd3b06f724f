# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of FelixConfiguration as felix compares them, and as the API wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...module_utils._errors import BadInputError


def text(value: Any) -> str | None:
    """A value of the API as the text that felix gets, or None where felix skips it (ops 1.2).

    Lists and maps are joined by commas, maps as key=value in the order of their keys.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{key}={value[key]}" for key in sorted(value)) or None
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or None
    return str(value) or None


def same(one: str | None, other: str | None) -> bool:
    """Whether two texts mean one value: the order of a list and the case of a word do not count."""
    return _meaning(one) == _meaning(other)


def _meaning(value: str | None) -> frozenset[str]:
    parts = (part.strip() for part in (value or "").split(","))
    return frozenset(part if "=" in part else part.casefold() for part in parts if part)


def typed(field: str, value: Any, schema: Mapping[str, Any]) -> Any:
    """The value with the type that the CRD wants. Raises BadInputError."""
    kind = schema.get("type", "")
    if kind == "boolean":
        return _boolean(field, value)
    if kind == "integer":
        return _integer(field, value)
    if kind == "object":
        return _mapping(field, value)
    if kind == "array":
        return value if isinstance(value, list) else [one.strip() for one in str(value).split(",")]
    shown = text(value)
    allowed = schema.get("enum")
    if allowed and shown not in allowed:
        by_case = [one for one in allowed if str(one).casefold() == str(shown).casefold()]
        if not by_case:
            raise _wrong(field, value, f"one of {', '.join(map(str, allowed))}")
        return by_case[0]
    return shown


def _wrong(field: str, value: Any, wanted: str) -> BadInputError:
    return BadInputError(field, text(value), f"is not {wanted}")


def _boolean(field: str, value: Any) -> bool:
    shown = str(value).lower()
    if shown not in ("true", "false"):
        raise _wrong(field, value, "true or false")
    return shown == "true"


def _integer(field: str, value: Any) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise _wrong(field, value, "a whole number") from None


def _mapping(field: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [part.partition("=") for part in str(value).split(",") if part]
    if not all(name and sign for name, sign, _ in pairs):
        raise _wrong(field, value, "a map, or written as key=value,key=value")
    return {name: rest for name, _, rest in pairs}

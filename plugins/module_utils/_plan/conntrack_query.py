# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants to know of the conntrack table."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from .._calico.versions import VersionSet, parse_release
from . import inputs
from .conntrack_select import Select, select

MAX_LIMIT = 100_000


class Query(NamedTuple):
    """Which entries to decode, and how much of them."""

    families: tuple[str, ...]
    select: Select
    limit: int
    top: int
    release: VersionSet | None
    timeouts: dict[str, int]


def query(params: Mapping[str, Any]) -> Query:
    """The parameters as a value. Raises BadInputError."""
    inputs.in_range("limit", params["limit"], 0, MAX_LIMIT)
    inputs.in_range("top", params["top"], 0, 1000)
    version = params["calico_version"]
    return Query(
        families=tuple(params["families"]),
        select=select(params),
        limit=params["limit"],
        top=params["top"],
        release=None if version is None else parse_release(version, "calico_version"),
        timeouts=timeouts(params["timeouts"] or {}),
    )


def timeouts(given: Mapping[str, int | None]) -> dict[str, int]:
    """Calico's timers that a task sets, in seconds. Raises BadInputError."""
    found = {name: seconds for name, seconds in given.items() if seconds is not None}
    for name, seconds in found.items():
        inputs.in_range(f"timeouts.{name}", seconds, 0, 10**9)
    return found

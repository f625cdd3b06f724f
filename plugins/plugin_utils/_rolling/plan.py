# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user has said on a run over a fleet, checked and made definite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .order import batches, canaries, fail_percentage
from .window import window_end

GIVEN = ("canary", "serial", "max_fail_percentage", "window_end")


def plan(hosts: Sequence[str], given: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """``canary`` and ``serial`` for the keywords of a play, ``window_end`` in seconds since 1970.

    Canaries go one after another, then batches of the size that is ``given``. What cannot be meant
    is left out and named in ``problems``, a sentence each.
    """
    problems: list[str] = []
    first = _kept(problems, lambda: canaries(hosts, given.get("canary", [])), [])
    sizes = _kept(problems, lambda: batches(given.get("serial", 1)), [1])
    _kept(problems, lambda: fail_percentage(given.get("max_fail_percentage", 0)), 0)
    end = _kept(problems, lambda: window_end(given.get("window_end"), now), None)
    return {
        "canary": first,
        "serial": [1] * len(first) + sizes,
        "window_end": int(end.timestamp()) if end else 0,
        "problems": problems,
    }


def _kept(problems: list[str], make: Callable[[], Any], instead: Any) -> Any:
    try:
        return make()
    except ValueError as error:
        problems.append(str(error))
        return instead

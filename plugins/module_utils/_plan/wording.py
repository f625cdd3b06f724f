# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences of findings and reports."""

from __future__ import annotations

from typing import Iterable

SHOWN = 10


def several(names: Iterable[str], shown: int = SHOWN) -> str:
    """Names in a row, of many only the first and how many more there are."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return ", ".join(every[:shown]) + more

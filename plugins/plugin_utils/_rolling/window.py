# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a maintenance window."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)


def window_end(given: Any, now: datetime) -> datetime | None:
    """When the window ends: an instant, or the next time that the clock of ``now`` shows HH:MM.

    None when nothing is given. ``now`` knows its time zone, which is that of a text without one.
    Raises ValueError with one sentence for what is no time, or over.
    """
    if given in ("", None):
        return None
    if not isinstance(given, str):
        raise ValueError(
            f"calico_window_end: {given!r} is no text; put the time in quotes, as YAML makes a "
            "number of some."
        )
    clock = _CLOCK.fullmatch(given.strip())
    found = _next(int(clock[1]), int(clock[2]), now) if clock else _instant(given.strip(), now)
    if found is None:
        raise ValueError(
            f"calico_window_end: {given!r} is no time; give HH:MM on the controller's clock, or "
            "ISO 8601 such as 2026-01-31T04:00:00+01:00."
        )
    if found <= now:
        raise ValueError(
            f"calico_window_end: {given} is over; it is {now.isoformat(timespec='seconds')}."
        )
    return found


def _next(hour: int, minute: int, now: datetime) -> datetime | None:
    if hour > 23 or minute > 59:
        return None
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


def _instant(text: str, now: datetime) -> datetime | None:
    try:
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or now.tzinfo)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Values as a reader wants to see them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

NOTHING = "\N{EN DASH}"
"""Stands where there is no value."""

_ISSUE = re.compile(r"(?:([\w.-]+/[\w.-]+))?#(\d+)", re.ASCII)
_CALICO = "projectcalico/calico"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: Any) -> str:
    """A count with thousands apart; other values as they are."""
    if value is None:
        return NOTHING
    whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if whole else str(value)


def size(value: Any) -> str:
    """A number of bytes in the unit that leaves three digits."""
    if not isinstance(value, (int, float)):
        return NOTHING
    amount, unit = float(value), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return (
        f"{amount:.0f} {_UNITS[unit]}"
        if not unit or amount >= 100
        else (f"{amount:.1f} {_UNITS[unit]}")
    )


def percent(share: float) -> str:
    """A share of 1; what is there but rounds to nothing is said to be there."""
    if not share:
        return "0 %"
    return "< 0.1 %" if 0 < share < 0.001 else f"{share * 100:.1f} %"


def span(seconds: float) -> str:
    """A duration."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(text: Any) -> datetime | None:
    """A time in ISO 8601, taken for UTC unless it says otherwise; None when it is no time."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or timezone.utc)


def date(text: Any) -> str:
    """A time with its date; text that is no time stays as it is."""
    found = moment(text)
    return f"{found.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC" if found else str(text)


def clock(found: datetime | None) -> str:
    """The time of the day in UTC."""
    return f"{found.astimezone(timezone.utc):%H:%M:%S}" if found else NOTHING


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def of_severity(count: int, severity: str) -> str:
    """A count of findings: 1 critical, 2 warnings, 3 info."""
    return f"{number(count)} {severity_word(count, severity)}"


def severity_word(count: int, severity: str) -> str:
    """What so many findings are called."""
    return "warnings" if severity == "warning" and count != 1 else severity


def upstream(reference: Any) -> dict[str, str]:
    """An issue or pull request; ``href`` is empty for what is no number of one."""
    text = str(reference)
    match = _ISSUE.fullmatch(text)
    href = f"https://github.com/{match[1] or _CALICO}/issues/{match[2]}" if match else ""
    return {"text": text, "href": href}


def pin(path: str) -> str:
    """A pin's path as felix knows it: below its directory of pins."""
    return path.rpartition("/tc/globals/")[2]


def value(anything: Any) -> str:
    """Whatever a role left, in one line."""
    if isinstance(anything, bool):
        return "yes" if anything else "no"
    if isinstance(anything, list) and all(isinstance(one, (str, int)) for one in anything):
        return ", ".join(map(value, anything)) or NOTHING
    if isinstance(anything, (dict, list)):
        return json.dumps(anything, ensure_ascii=False, sort_keys=True)
    return number(anything)


def texts(anything: Any) -> list[str]:
    """A list of sentences from a list, one sentence or nothing."""
    if anything is None or anything == "":
        return []
    return [value(one) for one in anything] if isinstance(anything, list) else [value(anything)]

# SPDX-License-Identifier: GPL-3.0-or-later
"""What Calico's entry programs print when their log filter is not there (programs 2.4)."""

from __future__ import annotations

import re

MISSED = "*failed to call log filter*"
"""Glob pattern of the message."""

_MISSED = re.compile(r"iface (\S+) failed to call log filter (\d+)")


def missed_filter(line: str) -> tuple[str, int] | None:
    """Interface and slot that a line of the trace names; None for any other line.

    Constants hold the name filled up with dashes to 15 bytes (programs 2.1).
    """
    match = _MISSED.search(line)
    return (match[1].rstrip("-"), int(match[2])) if match else None

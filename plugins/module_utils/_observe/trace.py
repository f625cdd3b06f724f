# SPDX-License-Identifier: GPL-3.0-or-later
"""How often entry programs of this node say that their log filter is not there."""

from __future__ import annotations

from typing import Any, Callable

from .._calico.trace_lines import MISSED, missed_filter
from .._kernel import trace
from .._kernel.machine import interface_names


def missed_calls(means: Callable[[str], bool], seconds: float) -> list[dict[str, Any]]:
    """Lines of the kernel's trace by interface and slot, counted for that many seconds.

    The trace is that of all network namespaces: what is told of are interfaces of this one whose
    names are meant. Raises UnsupportedError, SyscallError.
    """
    here = {name for name in interface_names().values() if means(name)}
    counts: dict[tuple[str, int], int] = {}
    for line in trace.printed(MISSED, seconds):
        found = missed_filter(line)
        if found and found[0] in here:
            counts[found] = counts.get(found, 0) + 1
    return [
        {"interface": interface, "slot": slot, "lines": lines}
        for (interface, slot), lines in sorted(counts.items())
    ]

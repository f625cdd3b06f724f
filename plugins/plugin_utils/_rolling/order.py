# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order and how many at a time nodes are worked on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_SERIAL = re.compile(r"[1-9]\d*|(?:[1-9]\d?|100)%", re.ASCII)
_COUNT = re.compile(r"\d+", re.ASCII)


def canaries(hosts: Sequence[str], canary: Any) -> list[str]:
    """The ``hosts`` that go first: so many of them, or those that are named.

    Raises ValueError with one sentence for anything else.
    """
    if isinstance(canary, (int, str)) and _COUNT.fullmatch(str(canary).strip()):
        return _first(hosts, int(canary))
    names = re.split(r"[,\s]+", canary.strip()) if isinstance(canary, str) else canary
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"calico_canary: {canary!r} is neither a number nor a list of hosts of this run."
        )
    return _members(hosts, [name for name in dict.fromkeys(names) if name])


def _first(hosts: Sequence[str], count: int) -> list[str]:
    if count > len(hosts):
        raise ValueError(
            f"calico_canary: {count} is more than the {len(hosts)} hosts of this run; name fewer."
        )
    return list(hosts[:count])


def _members(hosts: Sequence[str], names: list[str]) -> list[str]:
    strangers = [name for name in names if name not in hosts]
    if strangers:
        raise ValueError(
            f"calico_canary: {', '.join(strangers)} is not among the hosts of this run; name hosts "
            "that are, or a number of them."
        )
    return names


def batches(serial: Any) -> list[int | str]:
    """What the keyword ``serial`` of a play takes. Raises ValueError with one sentence."""
    sizes = serial if isinstance(serial, list) else [serial]
    for size in sizes or [serial]:
        if not _SERIAL.fullmatch(str(size).strip()):
            raise ValueError(
                f"calico_serial: {size!r} is neither a number of hosts from 1 on nor a share from "
                "1% to 100%, or a list of these."
            )
    return list(sizes)


def fail_percentage(given: Any) -> float:
    """A share of a batch. Raises ValueError with one sentence."""
    try:
        share = float(str(given))
    except ValueError:
        share = -1
    if not 0 <= share <= 100:
        raise ValueError(f"calico_max_fail_percentage: {given!r} is not a number from 0 to 100.")
    return share

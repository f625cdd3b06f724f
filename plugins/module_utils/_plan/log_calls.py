# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the programs of a node call log filters as a log level and its filters ask for.

A pure function over the facts of node_info, so that the controller can decide for all nodes.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple

from .._calico.preamble import layouts_of_size, placed

WORKLOADS, HOSTS, EVERY = "weps", "heps", "all"
"""Keys of bpfLogFilters that name no interface; each is asked after the one before (ops 5a)."""

_NEEDED = ("interfaces", "interfaces_known")


class Calls(NamedTuple):
    """Sentences: what felix has yet to load, and calls of filters that are not there."""

    unsettled: tuple[str, ...]
    stale: tuple[str, ...]


def log_calls(facts: Mapping[str, Any], level: str, filters: Mapping[str, str]) -> Calls:
    """What is not as wanted; with a level other than Debug nothing may call a log filter.

    Raises KeyError for facts that are no result of node_info.
    """
    if any(name not in facts for name in _NEEDED):
        raise KeyError(", ".join(_NEEDED))
    debug = level.lower() == "debug"
    unsettled, stale = [], []
    for interface in facts["interfaces"]:
        wanted = debug and _is_logged(interface, filters)
        for one in _callers(interface):
            where = f"{interface['name']} {one['hook']}"
            empty = [_slot(slot) for slot in one["log_filters"] if not slot["filled"]]
            if one["log_filters"] and not debug:
                calls = ", ".join(_slot(slot) for slot in one["log_filters"])
                unsettled.append(f"{where} calls {calls}")
            elif wanted and (empty or not one["log_filters"]):
                unsettled.append(f"{where} calls no log filter that is there")
            elif empty:
                stale.append(f"{where} calls {', '.join(empty)}, which is empty")
    return Calls(tuple(unsettled), tuple(stale))


def _slot(slot: Mapping[str, Any]) -> str:
    return f"slot {slot['slot']} of {slot['map']}"


def _callers(interface: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Calico's programs whose constants have a place for a log filter; those of 3.26 have none."""
    for one in interface["programs"]:
        layouts = layouts_of_size("tc", one["constants_bytes"] or 0)
        if one["owner"] == "calico" and any(placed(row, "log_filter_jmp") for row in layouts):
            yield one


def _is_logged(interface: Mapping[str, Any], filters: Mapping[str, str]) -> bool:
    """Whether felix surely logs it; which interfaces are ``heps`` only felix knows."""
    names = {interface["name"], EVERY} | ({WORKLOADS} if interface["workload"] else set())
    return not filters or not names.isdisjoint(filters)

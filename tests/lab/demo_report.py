# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what the demonstration measured and prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.lab.agent import entries
from tests.lab.compare import Difference, between_pods
from tests.lab.play import Play


@dataclass
class Measured:
    """One node's figures."""

    node: str
    size_before: int
    size_after: int
    wanted: int
    result: dict[str, Any] | None
    alive_before: int
    alive_after: int
    retransmitted: int
    longest_stall_ms: int
    udp_sent: int
    udp_lost: int
    difference: Difference

    @property
    def maps(self) -> list[dict[str, Any]]:
        """What the playbook says of each map it resized."""
        return self.result["maps"] if self.result else []

    def unexplained(self) -> list[bytes]:
        """Keys whose entry is gone, made anew, older, or changed although no pod talks."""
        live = [*self.difference.forward, *self.difference.only_b]
        strange = [key for key in live if not between_pods(key)]
        return [
            *self.difference.only_a,
            *self.difference.recreated,
            *self.difference.backward,
            *self.difference.same_last_seen,
            *strange,
        ]


def problems(
    measured: list[Measured], second: Play, silent: list[str], final: dict[str, Any]
) -> list[str]:
    """Everything that must not be, one sentence each."""
    found = [problem for one in measured for problem in _of_node(one)]
    if silent:
        found.append(f"{len(silent)} flows had no echo after a run: {' '.join(silent)}")
    found += [f"flow {dead['flow']} ended: {dead['reason']}" for dead in final["dead"]]
    for one in measured:
        changed = second.changed.get(one.node)
        if changed != 0:
            found.append(f"{one.node}: the second run says changed={changed}")
    return found


def _of_node(one: Measured) -> list[str]:
    found = []
    if one.size_after != one.wanted:
        found.append(f"{one.node}: size is {one.size_after}, not {one.wanted}")
    if not one.maps:
        found.append(f"{one.node}: the playbook reports no map")
    if one.alive_after != one.alive_before:
        found.append(f"{one.node}: {one.alive_before - one.alive_after} connections lost")
    if one.udp_lost:
        found.append(f"{one.node}: {one.udp_lost} UDP datagrams lost")
    for key in one.unexplained()[:5]:
        found.append(f"{one.node}: unexplained change of {entries.describe(key)}")
    return found


def print_table(measured: list[Measured], total: dict[str, Any]) -> None:
    """One row per figure, one column per node."""
    rows = [
        ("size before", [f"{one.size_before:,}" for one in measured]),
        ("size after", [f"{one.size_after:,}" for one in measured]),
        ("entries carried", [_sum(one, "entries") for one in measured]),
        ("duration, ms", [_sum(one, "duration_ms") for one in measured]),
        ("entries missing", [f"{len(one.difference.only_a):,}" for one in measured]),
        ("entries unchanged", [f"{one.difference.equal:,}" for one in measured]),
        ("entries of live flows", [f"{len(one.difference.forward):,}" for one in measured]),
        ("entries made anew", [f"{len(one.difference.recreated):,}" for one in measured]),
        ("unexplained changes", [f"{len(one.unexplained()):,}" for one in measured]),
        ("connections before", [f"{one.alive_before}" for one in measured]),
        ("connections after", [f"{one.alive_after}" for one in measured]),
        ("segments sent again", [f"{one.retransmitted}" for one in measured]),
        ("longest stall, ms", [f"{one.longest_stall_ms}" for one in measured]),
        ("UDP datagrams", [f"{one.udp_sent:,}" for one in measured]),
        ("UDP datagrams lost", [f"{one.udp_lost}" for one in measured]),
    ]
    print("\n" + "".ljust(24) + "".join(one.node.rjust(12) for one in measured))
    for title, cells in rows:
        print(title.ljust(24) + "".join(cell.rjust(12) for cell in cells))
    messages = total["tcp"]["messages"]
    print(f"\n{messages:,} TCP messages were sent and echoed without a fault.\n")


def _sum(one: Measured, name: str) -> str:
    return f"{sum(entry[name] for entry in one.maps):,}" if one.maps else "-"

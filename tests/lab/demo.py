# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on three nodes: a conntrack table resized under live traffic."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.lab import conntrack, fleet, inventory
from tests.lab.compare import compare
from tests.lab.demo_report import Measured, print_table, problems
from tests.lab.node import Node
from tests.lab.play import Play, resize
from tests.lab.settings import REPOSITORY, Settings
from tests.lab.shell import run_json
from tests.lab.traffic import control

RELEASE = "3.29.7"
SIZE_BEFORE, SIZE_AFTER = 512_000, 1_000_000
ENTRIES = 200_000
TCP_FLOWS, UDP_FLOWS = 40, 20


@dataclass
class Snapshot:
    """State of the fleet at one moment."""

    traffic: dict[str, Any]
    maps: dict[str, dict[str, int]]
    dumps: dict[str, Path]


def demo(settings: Settings) -> int:
    """Run the demonstration; 0 when nothing was lost and the second run changed nothing."""
    keep = os.environ.get("KEEP") == "1"
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _demo(settings)
    except KeyboardInterrupt:
        print("\nInterrupted.")
        return 130
    finally:
        if keep:
            _print_logins(settings)
        else:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            fleet.down(settings)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _demo(settings: Settings) -> int:
    nodes = _prepare(settings)
    before = _snapshot(settings, nodes, "before")
    _say(f"Resizing the conntrack table, {SIZE_BEFORE:,} to {SIZE_AFTER:,}, traffic running")
    first = resize(settings, RELEASE, SIZE_AFTER, "first")
    silent = control.without_progress(settings)
    after = _snapshot(settings, nodes, "after")
    _say("The same once more: nothing is left to do")
    second = resize(settings, RELEASE, SIZE_AFTER, "second")
    silent += control.without_progress(settings)
    final = control.stop(settings)
    measured = [_measure(node, before, after, first, final) for node in nodes]
    print_table(measured, final["total"])
    again = {node.name: _parameters(node) for node in nodes}
    found = problems(measured, second, silent, final)
    found += [
        f"{name}: the second run replaced the map"
        for name in again
        if again[name] != after.maps[name]
    ]
    for problem in found:
        print(f"LOST OR WRONG: {problem}")
    print("Failed." if found else "No entry and no connection was lost; nothing changed twice.")
    return 1 if found else 0


def _prepare(settings: Settings) -> list[Node]:
    _say(f"Three nodes of Calico {RELEASE}, four pods each, conntrack size {SIZE_BEFORE:,}")
    shape = fleet.Shape(nodes=3, pods=4, conntrack_size=SIZE_BEFORE, releases=(RELEASE,))
    nodes = fleet.up(settings, shape)
    _say(f"{TCP_FLOWS} TCP connections and {UDP_FLOWS} UDP streams between pods")
    control.start(settings, control.Wish(TCP_FLOWS, UDP_FLOWS, 0.05))
    _say(f"{ENTRIES:,} more conntrack entries on each node")
    fleet.each(nodes, lambda node: conntrack.fill(conntrack.table(node), conntrack.Flows(ENTRIES)))
    return nodes


def _snapshot(settings: Settings, nodes: list[Node], name: str) -> Snapshot:
    dumps = {node.name: settings.state / f"{node.name}-{name}.dump" for node in nodes}
    for node in nodes:
        conntrack.dump(conntrack.table(node), dumps[node.name])
    maps = {node.name: _parameters(node) for node in nodes}
    return Snapshot(control.status(settings), maps, dumps)


def _parameters(node: Node) -> dict[str, int]:
    """Id and size of the pinned map, as bpftool sees it."""
    shown = run_json("bpftool", "-j", "map", "show", "pinned", str(conntrack.pin(node)))
    return {"id": shown["id"], "max_entries": shown["max_entries"]}


def _measure(
    node: Node, before: Snapshot, after: Snapshot, play: Play, final: dict[str, Any]
) -> Measured:
    name = node.name
    opened = before.traffic["nodes"][name]["tcp"]
    return Measured(
        node=name,
        size_before=before.maps[name]["max_entries"],
        size_after=after.maps[name]["max_entries"],
        wanted=SIZE_AFTER,
        result=play.results.get(name),
        alive_before=opened["alive"],
        alive_after=final["nodes"][name]["tcp"]["alive"],
        retransmitted=final["nodes"][name]["tcp"]["segments_retransmitted"],
        longest_stall_ms=final["nodes"][name]["tcp"]["longest_stall_ms"],
        udp_sent=final["nodes"][name]["udp"]["sent"],
        udp_lost=final["nodes"][name]["udp"]["lost"],
        difference=compare(before.dumps[name], after.dumps[name]),
    )


def _print_logins(settings: Settings) -> None:
    print("\nThe lab is still up. Log in with:")
    for node in fleet.existing(settings):
        print(f"  {inventory.ssh_command(node)}")
    variables = {"BPFOPS_LAB_NAME": settings.name, "BPFOPS_LAB_DIR": str(settings.base)}
    assigned = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    print("End it with:")
    print(f"  cd {shlex.quote(str(REPOSITORY))} && {assigned} python3 -m tests.lab down")


def _say(what: str) -> None:
    print(f"\n[{time.strftime('%H:%M:%S')}] {what}", flush=True)


if __name__ == "__main__":
    from tests.lab.cli import main

    sys.exit(main(["demo"]))

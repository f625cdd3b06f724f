# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling and dumping a node's conntrack maps, whatever their version and family."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import build
from tests.lab.agent.releases import RELEASES, Release
from tests.lab.errors import LabError
from tests.lab.node import Node
from tests.lab.shell import run

PINS = "sys/fs/bpf/tc/globals"
# Each client address has 32768 ports; above come the writer's flows.
MAX_FILL = 1 << 31


@dataclass(frozen=True)
class Table:
    """One conntrack map of a node; ``place`` is a path on the host or id:NUMBER."""

    node: Node
    place: str


@dataclass(frozen=True)
class Flows:
    """Made-up flows: how many, from which number on, how old (None: a mix), of services or not."""

    count: int
    first: int = 0
    age: float | None = None
    service: bool = False

    def check(self) -> None:
        """Raise LabError for a value that cannot work."""
        if min(self.count, self.first) < 0 or self.first + self.count > MAX_FILL:
            raise LabError(
                f"COUNT is {self.count} and --first {self.first}; use 0 or more, together"
                f" at most {MAX_FILL}."
            )
        if self.age is not None and not 0 <= self.age <= 1e6:
            raise LabError(f"--age is {self.age:g}; use 0 to 1000000 seconds.")


def release(node: Node) -> Release | None:
    """What the node's agent is told to play; None: its first form."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(node.root() / "etc/calico/lab-agent.cfg")
    return RELEASES.get(parser.get("lab", "release", fallback=""))


def default_map(node: Node, family: int | None = None) -> str:
    """Name of the conntrack map that the node's release uses, of IPv4 if it has both."""
    played = release(node)
    rows = played.family if played else ()
    name = next((row.name for row in rows if re.fullmatch(r"cali_%_ct\d", row.name)), "cali_%_ct3")
    names = [name.replace("%", f"v{one}") for one in ([family] if family else [4, 6])]
    pinned = [one for one in names if (node.root() / PINS / one).exists()]
    return (pinned or names)[0]


def table(node: Node, name: str | None = None, family: int | None = None) -> Table:
    """A map by the name of its pin, a path in the node, or id:NUMBER; default: the one in use."""
    name = name or default_map(node, family)
    if re.fullmatch(r"id:\d+", name):
        return Table(node, name)
    inside = name if name.startswith("/") else f"/{PINS}/{name}"
    return Table(node, f"{node.root()}{inside}")


def pin(node: Node) -> Path:
    """Pin of the map in use as the host reaches it."""
    return Path(table(node).place)


def fill(target: Table, flows: Flows) -> None:
    """Add entries of made-up flows (70 % TCP, 30 % UDP) outside the pods' networks."""
    flows.check()
    played = release(target.node)
    _ctmap(
        target,
        "fill",
        str(flows.count),
        str(flows.first),
        "-1" if flows.age is None else str(int(flows.age * 1e9)),
        "rst" if played and played.rst_seen else "created",
        "service" if flows.service else "plain",
    )


def count(target: Table) -> int:
    """Entries in a map."""
    return int(_ctmap(target, "count"))


def dump(target: Table, file: Path) -> dict[str, Any]:
    """Write key and value of every entry in no order, and FILE.json, which describes them."""
    command = [str(build.tool(target.node.settings, "ctmap")), "dump", target.place]
    with file.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise LabError(done.stderr.decode().strip())
    about: dict[str, Any] = json.loads(done.stderr)
    about |= circumstances(target.node)
    description(file).write_text(json.dumps(about) + "\n")
    return about


def circumstances(node: Node) -> dict[str, Any]:
    """What a node's entries mean: release, and the timeouts that it takes from the kernel."""
    played = release(node)
    sysctl = "cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait 2>/dev/null || :"
    text = node.run("sh", "-c", sysctl).strip()
    return {
        "node": node.name,
        "release": played.version if played else None,
        "tcp_time_wait": int(text) if text else None,
    }


def now_ns() -> int:
    """The clock of conntrack entries."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def description(file: Path) -> Path:
    """Where a dump's description is."""
    return file.with_name(f"{file.name}.json")


def _ctmap(target: Table, action: str, *arguments: str) -> str:
    tool = str(build.tool(target.node.settings, "ctmap"))
    shown = f"{action} {target.node.name}"
    return run(tool, action, target.place, *arguments, shown=shown)

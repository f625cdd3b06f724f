# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that changes a node's conntrack map at a given rate, and says what must be there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import build, conntrack, pods
from tests.lab.agent import entries
from tests.lab.errors import LabError
from tests.lab.node import SPAWN, Node
from tests.lab.shell import wait_for

MAX_FLOWS = 10_000_000
MAX_RATE = 10_000_000


@dataclass(frozen=True)
class Wish:
    """Updates per second, flows alive at a time, and which map: None follows the programs."""

    rate: int = 50_000
    flows: int = 20_000
    place: str | None = None

    def check(self) -> None:
        """Raise LabError for a value that cannot work."""
        if not 1 <= self.rate <= MAX_RATE or not 1 <= self.flows <= MAX_FLOWS:
            raise LabError(
                f"--rate is {self.rate} and --flows {self.flows}; use 1 to {MAX_RATE} updates"
                f" per second and 1 to {MAX_FLOWS} flows."
            )


@dataclass(frozen=True)
class Writer:
    """The writer of one family on one node."""

    node: Node
    family: int

    @property
    def directory(self) -> Path:
        """What it has written of itself."""
        return self.node.settings.state / f"writer-{self.node.name}-v{self.family}"

    def start(self, wish: Wish) -> None:
        """Return when all its flows have entries."""
        wish.check()
        if self._alive():
            raise LabError(f"{self.node.name} has a writer of this family; use `writer stop`.")
        first = self._next_flow()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        (self.directory / "first").write_text(str(first))
        log = self.directory / "log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                self._command(wish, first), stdout=stream, stderr=stream, start_new_session=True
            )
        status = self.directory / "status.json"
        wait_for(lambda: status.exists() or process.poll() is not None, 30, "the writer to begin")
        if not status.exists():
            raise LabError(f"The writer of {self.node.name} ended: {log.read_text().strip()}")

    def status(self) -> dict[str, Any]:
        """Its figures of a quarter of a second ago at most, or its last ones."""
        try:
            found: dict[str, Any] = json.loads((self.directory / "status.json").read_text())
        except FileNotFoundError:
            raise LabError(f"{self.node.name} has had no writer of this family.") from None
        return {"running": self._alive(), **found}

    def stop(self) -> dict[str, Any]:
        """End it; adds the paths of its dump of what must be there and its log of deletions."""
        pid = self.status()["pid"]
        if not self._alive():
            raise LabError(f"The writer of {self.node.name} does not run.")
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not self._alive(), 30, "the writer to end")
        expected = self.directory / "expected"
        self._describe(expected)
        deleted = self.directory / "deleted"
        done = self.status()
        moved = {name: done[name] for name in ("loaded_ns", "switched_ns", "ended_ns")}
        conntrack.description(deleted).write_text(json.dumps(moved) + "\n")
        return {**done, "expected": str(expected), "deleted_log": str(deleted)}

    def _next_flow(self) -> int:
        """After those of earlier writers, whose entries may still be there."""
        try:
            return int(self.status()["next_flow"])
        except LabError:
            return conntrack.MAX_FILL

    def _command(self, wish: Wish, first: int) -> list[str]:
        node = self.node
        place = f"interface:{pods.interface(node.index, 1)}"
        if wish.place:
            place = conntrack.table(node, wish.place).place
        played = conntrack.release(node)
        netns = f"--net=/run/netns/{node.settings.node_netns(node.index)}"
        tool = str(build.tool(node.settings, "writer"))
        numbers = [str(wish.rate), str(wish.flows), str(self.family)]
        field = "rst" if played and played.rst_seen else "created"
        work = [tool, place, *numbers, field, str(first), str(self.directory)]
        return ["sh", "-c", SPAWN, "sh", str(node.cgroup), "nsenter", netns, "--", *work]

    def _describe(self, expected: Path) -> None:
        layout = entries.V4 if self.family == 4 else entries.V6
        now = conntrack.now_ns()
        about = {
            "first_flow": int((self.directory / "first").read_text()),
            "map_id": self.status()["map_id"],
            "key_size": layout.key,
            "value_size": layout.value,
            "began_ns": now,
            "ended_ns": now,
            **conntrack.circumstances(self.node),
        }
        conntrack.description(expected).write_text(json.dumps(about) + "\n")

    def _alive(self) -> bool:
        try:
            pid = json.loads((self.directory / "status.json").read_text())["pid"]
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(self.directory) in command

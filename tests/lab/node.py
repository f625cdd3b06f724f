# SPDX-License-Identifier: GPL-3.0-or-later
"""One node: starting it, finding it, running commands in it.

A node is found through its cgroup alone, so that a lab whose ``up`` was
killed can be found too.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.lab import cgroup2
from tests.lab.errors import LabError
from tests.lab.settings import Settings
from tests.lab.shell import run, wait_for

INIT = Path(__file__).with_name("node_init.sh")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Joins the node's cgroup before anything else, so that `down` always finds it.
# Standard input is the lab's lock, held until then.
SPAWN = 'echo 0 >"$1/cgroup.procs" || exit 1; shift; exec "$@" </dev/null'
ENTER = 'echo 0 >"$1/cgroup.procs" || exit 1; shift; exec nsenter "$@"'


@dataclass(frozen=True)
class Node:
    """A node of a lab, running or not."""

    settings: Settings
    index: int

    @property
    def name(self) -> str:
        """Host name and inventory name."""
        return f"node{self.index}"

    @property
    def address(self) -> str:
        """Address to which ssh connects."""
        return str(self.settings.node_address(self.index))

    @property
    def cgroup(self) -> Path:
        """The cgroup that is the root of the node's cgroup namespace."""
        return cgroup2.root(self.settings) / self.settings.cgroup / self.name

    @property
    def log(self) -> Path:
        """What the node's sshd says."""
        return self.settings.state / f"{self.name}.log"

    def pid(self) -> int | None:
        """Host pid of the node's process 1, or None when the node does not run."""
        for pid in cgroup2.processes(self.cgroup):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                match = re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE)
                if match and "\nState:\tZ" not in status:
                    return pid
        return None

    def root(self) -> Path:
        """The node's root directory as the host reaches it."""
        return Path(f"/proc/{self._running()}/root")

    def spawn(
        self, lower: Path, lock: IO[str], *, systemd: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start the node's first process in the background: sshd, or systemd with sshd."""
        top = self.settings.state / self.name
        top.mkdir(parents=True, exist_ok=True)
        self.cgroup.mkdir(parents=True, exist_ok=True)
        netns = f"--net=/run/netns/{self.settings.node_netns(self.index)}"
        unshare = ["unshare", "-m", "-u", "-i", "-p", "-C", "--fork", "--kill-child"]
        places = [str(top), str(lower), str(self.settings.state / "keys")]
        init = ["sh", str(INIT), self.name, *places, "systemd" if systemd else "sshd"]
        with self.log.open("w") as log:
            return subprocess.Popen(
                ["sh", "-c", SPAWN, "sh", str(self.cgroup), "nsenter", netns, *unshare, *init],
                stdin=lock,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_up(self, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
        """Wait until sshd greets; LabError with the node's log when it ends or takes too long."""
        wait_for(
            lambda: process.poll() is not None or self._greets(),
            seconds,
            f"{self.name} to come up (its log is {self.log})",
        )
        if process.poll() is not None:
            reason = " / ".join(self.log.read_text().split("\n")).strip(" /")
            raise LabError(f"{self.name} ended before it came up: {reason}")

    def command(self, *argv: str) -> list[str]:
        """The command line that runs ``argv`` in all namespaces of the node."""
        target = ["-t", str(self._running()), "-m", "-u", "-i", "-n", "-p", "-C"]
        clean = ["env", "-i", PATH, "HOME=/root", "LANG=C.UTF-8"]
        return ["sh", "-c", ENTER, "sh", str(self.cgroup), *target, "--", *clean, *argv]

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a command in the node and return its output."""
        shown = f"{self.name}: {' '.join(argv)}"
        return run(*self.command(*argv), stdin=stdin, shown=shown)

    def _running(self) -> int:
        pid = self.pid()
        if pid is None:
            raise LabError(f"{self.name} of lab {self.settings.name!r} does not run; see `up`.")
        return pid

    def _greets(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.address, 22), timeout=1) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False


def existing(settings: Settings) -> list[Node]:
    """Every node of which a cgroup is left, running or not."""
    top = cgroup2.tree(settings)
    names = (path.name for path in top.iterdir()) if top else iter(())
    indices = (int(name[4:]) for name in names if re.fullmatch(r"node\d+", name))
    return [Node(settings, index) for index in sorted(indices)]


def find(settings: Settings, name: str) -> Node:
    """The node called ``name``; LabError names those that exist."""
    nodes = {node.name: node for node in existing(settings)}
    if name not in nodes:
        there = ", ".join(nodes) or "none"
        raise LabError(f"Lab {settings.name!r} has no node {name!r}; it has: {there}.")
    return nodes[name]

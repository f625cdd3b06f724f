# SPDX-License-Identifier: GPL-3.0-or-later
"""calico-node's container on one lab node: the stand-in agent, driven from the host."""

from __future__ import annotations

import configparser
import contextlib
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.node import Node

COMMAND = "/usr/local/bin/lab-agent"
RELEASE_CONFIG = "etc/calico/lab-agent.cfg"
FELIX_CONFIG = "etc/calico/felix.cfg"


class NodeAgent:
    """The agent of one node; each method raises LabError with the agent's own reason."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def release(self) -> str | None:
        """The release that the agent plays, if it plays one."""
        return self._settings().get("lab", "release", fallback=None)

    def begin(self, release: str, config: str) -> None:
        """A new pod of ``release``: end the agent, and start it with this felix.cfg."""
        self.stop()
        settings = self._settings()
        settings["lab"]["release"] = release
        with self._path(RELEASE_CONFIG).open("w") as file:
            settings.write(file)
        self._path(FELIX_CONFIG).write_text(config)
        self._run("start")

    def configure(self, config: str) -> bool:
        """Give felix another felix.cfg and restart it in its container; False if it has it."""
        if self.config() == config:
            return False
        self._path(FELIX_CONFIG).write_text(config)
        self._run("restart")
        return True

    def config(self) -> str:
        """felix.cfg as it is."""
        path = self._path(FELIX_CONFIG)
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Start felix again after it has failed to start."""
        self._run("start")

    def stop(self) -> None:
        """End felix; its programs stay attached."""
        self._run("stop")

    def not_ready(self) -> str:
        """Why the readiness probe fails, or an empty text."""
        try:
            self._run("ready")
        except LabError as error:
            return str(error)
        return ""

    def runs(self) -> bool:
        """Whether felix's process exists; cheap."""
        return self.stamp()[0]

    def stamp(self) -> tuple[bool, int]:
        """Changes when the readiness may have: whether felix runs, and what it last wrote."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._path("run/lab-agent.pid").read_text())
            state = self._path("run/lab-agent.json").stat().st_mtime_ns
            return self._path(f"proc/{pid}").exists(), state
        return False, 0

    def _path(self, place: str) -> Path:
        return self._node.root() / place

    def _run(self, command: str) -> None:
        self._node.run(COMMAND, command)

    def _settings(self) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(self._path(RELEASE_CONFIG))
        return parser

# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of lab nodes, and UDP flows to them, as the lab's own commands show them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.lab.harness import COMMAND, ENVIRONMENT, lab
from tests.lab.settings import REPOSITORY
from tests.lab.shell import wait_for


def declare(node: str, *services: dict[str, Any]) -> None:
    """The node has exactly these Services."""
    done = subprocess.run(
        [*COMMAND, "services", node],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        input=json.dumps(services),
        text=True,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def flows(node: str, client: str) -> dict[str, dict[str, Any]]:
    """What became of a client's flows, by name."""
    return dict(json.loads(lab("udp", "status", node))[client])


def unanswered(node: str, client: str, name: str) -> int:
    """Datagrams of a flow that have no echo."""
    flow = flows(node, client)[name]
    return int(flow["sent"] - flow["echoed"])


def echoing(node: str, client: str, names: set[str]) -> None:
    """Wait until these flows, all others aside, have an echo within half a second."""

    def all_echo() -> bool:
        now = flows(node, client)
        return all(now[name]["silent"] < 0.5 for name in names)

    wait_for(all_echo, 30, f"echoes to {', '.join(sorted(names))}", 0.2)


def silent(node: str, client: str, names: set[str], seconds: float) -> None:
    """Wait until none of these flows has had an echo for so long."""

    def none_echoes() -> bool:
        now = flows(node, client)
        return all(now[name]["silent"] > seconds for name in names)

    wait_for(none_echoes, 30, f"silence of {', '.join(sorted(names))}", 0.2)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of a node, and UDP flows of its pods that never change their port."""

from __future__ import annotations

import json
from typing import Any

from tests.lab.errors import LabError
from tests.lab.node import Node
from tests.lab.shell import wait_for

SCRIPT = "/usr/local/lib/bpfops-lab/agent/udp_flows.py"
STATES = "/run/lab-udp"


def declare(node: Node, text: str) -> None:
    """Let the node have exactly these Services, a JSON list (see agent/services.py)."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise LabError(f"The Services are no JSON: {error}.") from error
    (node.root() / "etc/calico/lab-services.json").write_text(text)
    node.run("/usr/local/bin/lab-agent", "services")


def serve(node: Node, pod: int, port: int) -> None:
    """Have a pod answer every UDP datagram to a port."""
    _in_background(node, pod, "serve", str(port))


def send(node: Node, pod: int, name: str, flows: list[str]) -> None:
    """Have a pod send on flows NAME=PORT@ADDRESS:PORT until the node ends."""
    file = f"{STATES}/{name}.json"
    node.run("mkdir", "-p", STATES)
    _in_background(node, pod, "send", file, *flows)
    wait_for((node.root() / file[1:]).exists, 10, "the first datagrams")


def states(node: Node) -> dict[str, dict[str, Any]]:
    """What became of each flow, by the client's name: sent, echoed, strange, silent (seconds)."""
    files = sorted((node.root() / STATES[1:]).glob("*.json"))
    return {path.stem: json.loads(path.read_text())["flows"] for path in files}


def _in_background(node: Node, pod: int, *words: str) -> None:
    script = 'exec ip netns exec "$0" python3 "$@" >/dev/null 2>&1 &'
    node.run("sh", "-c", script, f"pod{pod}", SCRIPT, *words)

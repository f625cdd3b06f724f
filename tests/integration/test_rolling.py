# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook is killed in the middle of a resize of two nodes, and run again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import inventory
from tests.lab.harness import PIN, agent, entries, in_node, lab

pytestmark = pytest.mark.lab

NODES = ["node1", "node2"]
SIZE = 600_000
STATE = "/var/lib/bpfops/runs/resize_conntrack.json"
OURS = "/sys/fs/bpf/bpfops"
# A task that has begun when the run is killed, and how often it has begun by then.
CUTS = [
    ("Put maps of the wanted size in their place", 1),
    ("Restart felix", 1),
    ("Wait until no program uses an old map any more", 1),
    # On the second node, when the first one is finished.
    ("Set the size that felix computes", 2),
]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "2", "--pods", "1", "--release", "3.29.7")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def start(hosts: Path) -> subprocess.Popen[str]:
    given = {
        "calico_conntrack_max_entries": SIZE,
        "calico_version": "v3.29.7",
        "calico_report_dir": str(hosts.parent / "report"),
    }
    command = [inventory.ansible_playbook(), "bpfops.calico.resize_conntrack", "-i", str(hosts)]
    return subprocess.Popen(
        [*command, "-e", json.dumps(given)],
        env=inventory.ansible_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cut(hosts: Path, task: str, times: int) -> None:
    """Run it, and kill it with SIGKILL once the task has begun so often."""
    said = []
    with start(hosts) as process:
        for line in process.stdout or ():
            said.append(line)
            times -= line.startswith("TASK [") and task in line
            if not times:
                process.kill()
                break
    assert not times, "".join(said)
    assert process.returncode == -9


def finish(hosts: Path) -> dict[str, dict[str, Any]]:
    """Run it to its end; the nodes of its report."""
    with start(hosts) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    report = sorted((hosts.parent / "report").glob("*.json"))[-1]
    return {node["name"]: node for node in json.loads(report.read_text())["nodes"]}


def outcome(node: str) -> str:
    """What the node's own file says, or nothing."""
    text = in_node(node, "sh", "-c", f"cat {STATE} 2>/dev/null || echo {{}}")
    return str(json.loads(text).get("outcome", ""))


def size(node: str) -> tuple[int, int]:
    """Entries of the map that is pinned, and of the one that the agent uses."""
    shown = json.loads(in_node(node, "bpftool", "-j", "map", "show", "pinned", PIN))
    status = agent(node)
    assert status["conntrack_map_id"] == shown["id"]
    return shown["max_entries"], status["max_entries"]


def test_it_goes_on_where_it_was_killed(hosts: Path) -> None:
    flows = {}
    for node in NODES:
        lab("fill", node, "2000")
        flows[node] = entries(node)
    for task, times in CUTS:
        cut(hosts, task, times)
        assert outcome("node1") == ("running" if times == 1 else "finished"), task
    assert outcome("node2") == "running"
    felix = agent("node1")["pid"]

    nodes = finish(hosts)
    assert {name: node["result"] for name, node in nodes.items()} == {
        "node1": "ok",
        "node2": "changed",
    }
    assert nodes["node1"]["steps"][-1]["name"] == "earlier run"
    assert agent("node1")["pid"] == felix
    for node in NODES:
        assert (outcome(node), size(node)) == ("finished", (SIZE, SIZE))
        assert entries(node).items() >= flows[node].items()
        assert in_node(node, "sh", "-c", f"ls {OURS} 2>/dev/null; true") == ""


def test_a_finished_node_that_is_not_as_it_should_be_is_done_again(hosts: Path) -> None:
    in_node("node1", "sed", "-i", "/MapSizeConntrack/d", "/etc/calico/felix.cfg")
    felix = {node: agent(node)["pid"] for node in NODES}
    nodes = finish(hosts)
    assert (nodes["node1"]["result"], nodes["node2"]["result"]) == ("changed", "ok")
    assert f"BPFMapSizeConntrack = {SIZE}" in in_node("node1", "cat", "/etc/calico/felix.cfg")
    assert agent("node1")["pid"] != felix["node1"]
    assert agent("node2")["pid"] == felix["node2"]

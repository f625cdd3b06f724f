# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook is killed in the middle of a resize of two nodes, and run again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.node_info import bring_pyroute2
from tests.lab import inventory
from tests.lab.harness import PIN, agent, entries, in_node, lab

pytestmark = pytest.mark.lab

NODES = ["node1", "node2"]
SIZE = 600_000
STATE = "/var/lib/bpfops/runs/resize_conntrack.json"
OURS = "/sys/fs/bpf/bpfops"
# A task that has begun when the run is killed, on whatever node or on the second one.
CUTS = [
    ("Put maps of the wanted size in their place", ""),
    ("Restart felix", ""),
    ("Wait until no program uses an old map any more", ""),
    ("Set the size that felix computes", "node2"),
]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "2", "--pods", "1", "--release", "3.29.7")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def start(hosts: Path, playbook: str = "resize_conntrack", **given: Any) -> subprocess.Popen[str]:
    told = {
        "calico_conntrack_max_entries": SIZE,
        "calico_version": "v3.29.7",
        "calico_report_dir": str(hosts.parent / "report"),
        **given,
    }
    command = [inventory.ansible_playbook(), f"bpfops.calico.{playbook}", "-i", str(hosts)]
    return subprocess.Popen(
        [*command, "-e", json.dumps(told)],
        env=inventory.ansible_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def cut(hosts: Path, task: str, node: str) -> None:
    """Run it, and kill it with SIGKILL once the task has begun."""
    said: list[str] = []
    with start(hosts) as process:
        for line in process.stdout or ():
            said.append(line)
            (header, about) = (said[-2:-1], line) if node else ([line], "")
            begun = any(one.startswith("TASK [") and task in one for one in header)
            if begun and about.rstrip().endswith(node):
                process.kill()
                break
    assert process.returncode == -9, "".join(said)


def finish(
    hosts: Path, playbook: str = "resize_conntrack", **given: Any
) -> dict[str, dict[str, Any]]:
    """Run it to its end; the nodes of its report."""
    with start(hosts, playbook, **given) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    report = sorted((hosts.parent / "report").glob(f"{playbook}-*.json"))[-1]
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
    for task, node in CUTS:
        cut(hosts, task, node)
        assert outcome("node1") == ("finished" if node else "running"), task
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


def test_maintenance_is_one_run_with_one_report(hosts: Path) -> None:
    chosen = {
        "calico_maintenance": "repair_tc,set_log_level,resize_conntrack",
        "calico_bpf_log_level": "Info",
        "calico_conntrack_max_entries": 700_000,
    }
    bring_pyroute2(hosts)
    nodes = finish(hosts, "maintenance", **chosen)
    for node in NODES:
        found = nodes[node]
        assert found["result"] == "changed"
        assert set(found["details"]) >= {"tc_repair", "log_level", "conntrack_resize"}
        assert {gate["operation"] for gate in found["gates"]} == {
            "repair_tc",
            "set_log_level",
            "resize_conntrack",
        }
        assert size(node) == (700_000, 700_000)
        assert "BPFLogLevel = Info" in in_node(node, "cat", "/etc/calico/felix.cfg")
    felix = {node: agent(node)["pid"] for node in NODES}
    again = finish(hosts, "maintenance", **chosen)
    assert {again[node]["result"] for node in NODES} == {"ok"}
    in_node("node2", "sed", "-i", "/BPFLogLevel/d", "/etc/calico/felix.cfg")
    last = finish(hosts, "maintenance", **chosen)
    assert (last["node1"]["result"], last["node2"]["result"]) == ("ok", "changed")
    assert agent("node1")["pid"] == felix["node1"]
    assert "BPFLogLevel = Info" in in_node("node2", "cat", "/etc/calico/felix.cfg")


@pytest.mark.parametrize("chosen", ["", "repair_tc,polish", ["repair_tc", "repair_tc"]])
def test_maintenance_of_nothing_known_is_refused(hosts: Path, chosen: str | list[str]) -> None:
    with start(hosts, "maintenance", calico_maintenance=chosen) as process:
        said, _ = process.communicate()
    assert process.returncode
    assert "is not a choice of repair_tc, repair_udp, resize_conntrack, set_log_level" in " ".join(
        said.split()
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook audit as users call it, with nodes that cannot be looked at among the others."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration import lab_release as agent
from tests.lab import inventory
from tests.lab.harness import lab

pytestmark = pytest.mark.lab

RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=\d+ +failed=(\d+)", re.M)


class Run(NamedTuple):
    """One run of the playbook: its status, what it printed, and the JSON report."""

    status: int
    printed: str
    report: dict[str, Any]

    @property
    def nodes(self) -> dict[str, Any]:
        """What the report says, by node."""
        return {one["name"]: one for one in self.report["nodes"]}

    def failed(self) -> set[str]:
        """The nodes that Ansible calls failed at the end."""
        return {name for name, _, failed in RECAP.findall(self.printed) if int(failed)}

    def changed(self) -> int:
        """Tasks that changed something, on all nodes."""
        return sum(int(changed) for _, changed, _ in RECAP.findall(self.printed))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An inventory: a node with a defect, a healthy one, one that is down, and one without Python.

    No node has pyroute2.
    """
    lab("up", "--nodes", "2", "--pods", "1", "--release", "3.29.7,3.31.7")
    agent.configure("node1", "3.29.7", defects="old_pin")
    agent.restart("node1")
    path = tmp_path_factory.mktemp("audit") / "hosts.yml"
    text = lab("inventory")
    (address,) = re.findall(r"node2: \{ansible_host: (\S+)\}", text)
    broken = f"{{ansible_host: {address}, ansible_python_interpreter: /nowhere/python}}"
    down = f"{{ansible_host: {address.rpartition('.')[0]}.250}}"
    path.write_text(f"{text}        broken: {broken}\n        down: {down}\n")
    yield path
    lab("down")


def audit(hosts: Path, *arguments: str) -> Run:
    """Run the playbook in the directory of the inventory."""
    command = [inventory.ansible_playbook(), "-i", hosts.name, "bpfops.calico.audit", *arguments]
    done = subprocess.run(
        command,
        cwd=hosts.parent,
        env={**inventory.ansible_environment(), "PWD": str(hosts.parent)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    reports = sorted((hosts.parent / "calico-report").glob("audit-*.json"))
    assert reports, done.stdout
    report = json.loads(reports[-1].read_text())
    for one in (hosts.parent / "calico-report").iterdir():
        one.unlink()
    return Run(done.returncode, done.stdout, report)


@pytest.fixture(scope="module")
def whole(hosts: Path) -> Run:
    """A run over all nodes."""
    return audit(hosts)


def test_nodes_that_cannot_be_looked_at_do_not_spoil_the_others(whole: Run) -> None:
    results = {name: node["result"] for name, node in whole.nodes.items()}
    assert results == {"node1": "ok", "node2": "ok", "broken": "failed", "down": "not_reached"}
    assert [one["code"] for one in whole.nodes["node1"]["snapshot"]["findings"]] == ["CT_OLD_PIN"]
    assert whole.nodes["node2"]["snapshot"]["findings"] == []
    assert whole.nodes["broken"]["steps"][0]["says"]


def test_the_run_fails_because_of_them_alone(whole: Run) -> None:
    assert whole.status != 0
    assert whole.failed() == {"broken", "down"}
    assert whole.changed() == 0


def test_the_summary(whole: Run) -> None:
    lines = [line.strip(' ",') for line in whole.printed.splitlines()]
    start = lines.index(next(line for line in lines if line.startswith("broken  failed: ")))
    said = lines[start:]
    assert any(re.match(r"node1   Calico 3\.29.*: 1 critical$", line) for line in said)
    assert any(re.match(r"CT_OLD_PIN /sys/.*_old: .*\(conntrack_map\)", line) for line in said)
    assert any(re.match(r"node2   Calico 3\.31.*: healthy$", line) for line in said)
    assert "down    not reached" in said


def test_a_missing_pyroute2_is_one_warning(whole: Run) -> None:
    assert not whole.nodes["node1"]["snapshot"]["interfaces_known"]
    (warning,) = re.findall(r"\[WARNING\].*pyroute2.*", whole.printed)
    assert "python3-pyroute2" in warning


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--limit", "node2", "-e", "audit_fail_on=warning"], 0),
        (["--limit", "node1"], 0),
        (["--limit", "node1", "-e", "audit_fail_on=critical"], 2),
        (["--limit", "node1", "--check", "-e", "audit_fail_on=warning"], 2),
    ],
)
def test_what_findings_do_to_the_run(hosts: Path, arguments: list[str], status: int) -> None:
    run = audit(hosts, *arguments)
    assert run.status == status, run.printed
    assert set(run.nodes) == {arguments[1]}
    assert run.nodes[arguments[1]]["result"] == "ok"
    if status:
        assert "audit_fail_on" in run.printed
        assert run.failed() == {"node1"}


def test_conntrack_is_in_the_report_when_asked_for(hosts: Path) -> None:
    run = audit(hosts, "--limit", "node2", "-e", "audit_conntrack=true")
    assert run.status == 0
    assert run.nodes["node2"]["conntrack"]["tables"]
    assert audit(hosts, "--limit", "node2").nodes["node2"]["conntrack"] is None

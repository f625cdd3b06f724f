# SPDX-License-Identifier: GPL-3.0-or-later
"""The role log_level on a node: refusals, and the way back when felix does not follow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration import resizing
from tests.integration.node_info import bring_pyroute2
from tests.lab import inventory
from tests.lab.harness import lab, until

pytestmark = pytest.mark.lab

NODE = "node1"
CONFIGURED = "/etc/calico/felix.cfg"
SEEN = "/run/log-filters"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "1", "--pods", "2", "--release", "3.29.7")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    bring_pyroute2(path)
    yield path
    lab("down")


def refused(hosts: Path, **given: Any) -> str:
    """What the playbook says when it fails, in one line."""
    told = {"calico_report_dir": str(hosts.parent / "report"), **given}
    command = [inventory.ansible_playbook(), "bpfops.calico.set_log_level", "-i", str(hosts)]
    said = resizing.run([*command, "-e", json.dumps(told)], fails=True)
    assert "Traceback" not in said
    return " ".join(said.split())


def log_filters() -> set[int]:
    """Ids of the log filters of all nodes of this machine."""
    shown = json.loads(seen.in_node(NODE, "bpftool", "-j", "prog", "show"))
    return {one["id"] for one in shown if one.get("name", "").startswith("calico_log_filt")}


def test_filters_without_the_level_that_uses_them(hosts: Path) -> None:
    said = refused(hosts, calico_bpf_log_level="Info", calico_bpf_log_filters={"all": "udp"})
    assert "calico_bpf_log_filters: all=udp has no effect with level Info" in said


def test_a_felix_that_does_not_get_healthy_goes_back(hosts: Path) -> None:
    before, others = seen.in_node(NODE, "cat", CONFIGURED), log_filters()
    look = f"bpftool prog show name calico_log_filt >>{SEEN}"
    never = f"sh -c '{look}; ! grep -q Debug {CONFIGURED} && lab-agent ready'"
    said = refused(
        hosts,
        calico_bpf_log_level="Debug",
        calico_bpf_log_filters={"all": "udp"},
        calico_agent_health_command=never,
        control_health_retries=3,
    )
    assert "felix did not follow to log level Debug, so level Off" in said
    assert seen.in_node(NODE, "cat", CONFIGURED) == before
    assert "calico_log_filt" in seen.in_node(NODE, "cat", SEEN)
    until(lambda: log_filters() <= others, "the kernel to free the log filters", 60)
    (report,) = sorted((hosts.parent / "report").glob("*.json"))[-1:]
    (node,) = json.loads(report.read_text("utf-8"))["nodes"]
    assert node["result"] == "failed"
    assert "roll back" in [one["name"] for one in node["steps"]]

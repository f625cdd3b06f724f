# SPDX-License-Identifier: GPL-3.0-or-later
"""The role dataplane_switch on a node: refusals, and the way back when felix does not follow."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as agent
from tests.integration.lab_release import in_node
from tests.integration.node_info import bring_pyroute2
from tests.lab import inventory
from tests.lab.harness import lab, until

pytestmark = pytest.mark.lab

NODE = "node1"
SCRIPT = Path(__file__).resolve().parents[1] / "observe" / "objects.py"
LOOKALIKES = [
    "/sys/fs/bpf/tc/globals/cali_mine",
    "/sys/fs/bpf/tc/globals/cali_v6_ct3",
    "/sys/fs/bpf/neighbours/cali_v4_ct3",
]
# Of felix's iptables mode, which deletes it and makes it anew.
REMADE = ["/sys/fs/bpf/calico/calico_failsafe_ports_v1"]
# What is called in which order; kube-proxy is a file.
COMMANDS = {
    "calico_agent_kube_proxy_start_command": "sh -c 'echo start >>/run/order; touch /run/proxy'",
    "calico_agent_kube_proxy_stop_command": "sh -c 'echo stop >>/run/order; rm /run/proxy'",
    "calico_agent_kube_proxy_check_command": "test -e /run/proxy",
    "calico_agent_restart_command": "sh -c 'echo felix >>/run/order; lab-agent restart'",
    "dataplane_switch_timeout": 3,
    "dataplane_switch_allow_cut_connections": True,
    "preflight_allow_foreign_loss": True,
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "1", "--pods", "2", "--release", "3.29.7")
    lab("neighbours", NODE)
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    bring_pyroute2(path)
    yield path
    lab("down")


def switch(hosts: Path, to: str, **words: Any) -> str:
    """What ansible-playbook says when the switch fails."""
    command = [inventory.ansible_playbook(), "bpfops.calico.switch_dataplane", "-i", str(hosts)]
    given = {"calico_dataplane": to, "calico_report_dir": str(hosts.parent / "report"), **words}
    done = subprocess.run(
        [*command, "-e", json.dumps(given)],
        env=inventory.ansible_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def objects() -> dict[str, Any]:
    """All objects, and what the agent is told; without the numbers that a start gives anew."""
    script = SCRIPT.read_text("utf-8")
    found: dict[str, Any] = json.loads(in_node(NODE, "/usr/bin/python3", "-c", script))
    shapes = {
        kind: sorted(re.sub(r"\b\d{3,}\b", "#", line) for line in lines)
        for kind, lines in found.items()
    }
    return {**shapes, "felix": [in_node(NODE, "cat", "/etc/calico/felix.cfg")]}


def order() -> list[str]:
    return in_node(NODE, "cat", "/run/order").split()


def test_without_consent_nothing_is_asked(hosts: Path) -> None:
    said = switch(hosts, "iptables")
    assert "dataplane_switch_allow_cut_connections: a switch to iptables cuts connections" in said
    assert "Look at what there is" not in said


def test_what_felix_would_take_along_is_refused(hosts: Path) -> None:
    before = objects()
    said = switch(hosts, "iptables", dataplane_switch_allow_cut_connections=True)
    assert "switch_dataplane is refused by PIN_FOREIGN" in said
    assert all(f"{path} is not proven Calico's" in said for path in LOOKALIKES)
    # Calico's filters would be detached before.
    assert "CLSACT_FOREIGN" not in said
    assert objects() == before


def test_a_felix_that_does_not_get_healthy_goes_back(hosts: Path) -> None:
    in_node(NODE, "rm", "-f", *LOOKALIKES, *REMADE, "/run/proxy", "/run/order")
    before = objects()
    never = "sh -c '! grep -q false /etc/calico/felix.cfg && lab-agent ready'"
    said = switch(hosts, "iptables", **COMMANDS, calico_agent_health_command=never)
    assert "did not go to iptables, so felix is set as it was before" in said
    assert "felix is not healthy after 3 s" in said
    assert order() == ["start", "felix", "felix", "stop"]
    assert objects() == before
    (report,) = sorted((hosts.parent / "report").glob("*.json"))[-1:]
    (node,) = json.loads(report.read_text("utf-8"))["nodes"]
    assert node["result"] == "failed"
    assert "roll back" in [one["name"] for one in node["steps"]]


def test_a_felix_that_falls_back_goes_back(hosts: Path) -> None:
    agent.fresh(NODE, "3.29.7", "BPFEnabled = false")
    # The kernel frees links without a pin some time later.
    show = ("bpftool", "cgroup", "show", "/sys/fs/cgroup")
    until(lambda: "calico_" not in in_node(NODE, *show), "links of the cgroup are freed", 60)
    in_node(NODE, "sh", "-c", "rm -f /run/order; touch /run/proxy")
    before = objects()
    # As felix on a kernel that it finds too old.
    deaf = "sh -c 'echo felix >>/run/order; lab-agent stop; sed s/true/false/ "
    deaf += "/etc/calico/felix.cfg >/tmp/f; cp /tmp/f /etc/calico/felix.cfg; lab-agent start'"
    words = {**COMMANDS, "calico_agent_restart_command": deaf, "calico_version": "v3.29.7"}
    said = switch(hosts, "ebpf", **words)
    assert "did not go to ebpf, so felix is set as it was before" in said
    assert "felix is healthy, but holds no map of eBPF mode" in said
    assert order() == ["stop", "felix", "start", "felix"]
    assert objects() == before

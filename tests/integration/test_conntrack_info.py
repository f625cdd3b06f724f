# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_info over ssh on a node whose table real traffic and made-up flows fill."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import inventory
from tests.lab.harness import entries, in_pod, lab
from tests.lab.settings import pod_address

pytestmark = pytest.mark.lab

NODE = "node1"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "1", "--pods", "2")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def info(hosts: Path, options: str) -> Any:
    """The module's answer through ansible, as users call it."""
    command = [inventory.ansible_playbook().replace("ansible-playbook", "ansible"), NODE]
    command += ["-i", str(hosts), "-m", "bpfops.calico.conntrack_info", "-a", options]
    environment = {
        **inventory.ansible_environment(),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def test_counts_and_flows_are_those_that_bpftool_shows(hosts: Path) -> None:
    lab("fill", NODE, "2000")
    in_pod(NODE, 1, "ping", "-c1", "-W5", str(pod_address(1, 2)))
    answer = info(hosts, "calico_version=3.29 protocol=icmp limit=5")
    shown = entries(NODE)
    (table,) = answer["tables"]
    assert not answer["changed"]
    assert table["entries"] == len(shown)
    names = {1: "icmp", 6: "tcp", 17: "udp"}
    for number, name in names.items():
        count = sum(key[0] == number for key in shown)
        assert table["by_protocol"].get(name, 0) == count
    assert table["matched"] == sum(key[0] == 1 for key in shown) > 0
    assert table["selected"][0]["type"] == "NORMAL"
    assert table["selected"][0]["idle_seconds"] < 60

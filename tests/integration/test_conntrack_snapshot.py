# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_snapshot over ssh on a node: lost entries come back, as bpftool shows them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import inventory
from tests.lab.harness import PIN, entries, in_node, in_pod, lab
from tests.lab.settings import pod_address

pytestmark = pytest.mark.lab

NODE, SAVED = "node1", "/run/conntrack.snapshot"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "1", "--pods", "2")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def snapshot(hosts: Path, state: str, *more: str) -> Any:
    """The module's answer through ansible, as users call it."""
    command = [inventory.ansible_playbook().replace("ansible-playbook", "ansible"), NODE]
    command += ["-i", str(hosts), "-m", "bpfops.calico.conntrack_snapshot"]
    command += ["-a", f"state={state} path={SAVED} calico_version=3.29", *more]
    environment = {
        **inventory.ansible_environment(),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def forget(keys: list[bytes]) -> None:
    """Delete entries by bpftool."""
    script = "\n".join(f"bpftool map delete pinned {PIN} key hex {key.hex(' ')}" for key in keys)
    in_node(NODE, "sh", "-ec", script)


def test_lost_entries_come_back(hosts: Path) -> None:
    lab("fill", NODE, "500")
    in_pod(NODE, 1, "ping", "-c1", "-W5", str(pod_address(1, 2)))
    before = entries(NODE)
    assert snapshot(hosts, "saved", "--check")["changed"]
    assert snapshot(hosts, "saved")["changed"]
    assert not snapshot(hosts, "saved")["changed"]
    assert in_node(NODE, "stat", "-c", "%a %U", SAVED).split() == ["600", "root"]
    shown = snapshot(hosts, "inspected")
    assert shown["snapshot"]["node"] == in_node(NODE, "hostname").strip()
    assert shown["totals"][0]["by_type"]["NORMAL"] == sum(raw[16] == 0 for raw in before.values())
    lost = [key for key in before if key[0] == 6][:100]
    forget(lost)
    dry = snapshot(hosts, "restored", "--check")
    assert len(entries(NODE)) == len(before) - 100
    done = snapshot(hosts, "restored")
    assert dry["actions"] == done["actions"] == [f"Restore 100 missing entries to {PIN}"]
    assert {key: entries(NODE)[key] for key in lost} == {key: before[key] for key in lost}
    assert not snapshot(hosts, "restored")["changed"]

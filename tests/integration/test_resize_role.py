# SPDX-License-Identifier: GPL-3.0-or-later
"""The role conntrack_resize on a node: success, check mode, refusals, rollback, resumption."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import inventory
from tests.lab.harness import PIN, agent, entries, in_node, lab

pytestmark = pytest.mark.lab

PLAYBOOK = "bpfops.calico.resize_conntrack"
OLD_PIN = "/sys/fs/bpf/bpfops/old_cali_v4_ct3"
NODE = "node1"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "1", "--pods", "1", "--release", "3.29.7")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


@pytest.fixture
def node(hosts: Path) -> Path:
    """The node at 512000 entries, with 3000 flows that nothing refreshes."""
    if state()["map"][1] != 512000:
        play(hosts, 512000)
    lab("fill", NODE, "3000")
    return hosts


def play(hosts: Path, size: int, *words: str, fails: bool = False) -> str:
    command = [inventory.ansible_playbook(), PLAYBOOK, "-i", str(hosts)]
    command += ["-e", f"calico_conntrack_max_entries={size}", "-e", "calico_version=v3.29.7"]
    command += ["-e", f"calico_report_dir={hosts.parent / 'report'}", *words]
    done = subprocess.run(
        command, env=inventory.ansible_environment(), capture_output=True, text=True, check=False
    )
    assert bool(done.returncode) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def changed(output: str) -> int:
    found = re.search(rf"^{NODE}\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])


def state() -> dict[str, Any]:
    """Everything that the role may change, seen by bpftool, ls and cat."""
    shown = json.loads(in_node(NODE, "bpftool", "-j", "map", "show", "pinned", PIN))
    return {
        "map": (shown["id"], shown["max_entries"]),
        "pins": sorted(in_node(NODE, "find", "/sys/fs/bpf", "-type", "f").split()),
        "config": in_node(NODE, "cat", "/etc/calico/felix.cfg"),
        "agent": agent(NODE),
    }


def test_entries_survive_and_the_second_run_changes_nothing(node: Path) -> None:
    before = entries(NODE)
    assert len(before) >= 3000
    play(node, 600000)
    assert entries(NODE).items() >= before.items()
    after = state()
    assert after["map"][1] == 600000
    assert OLD_PIN not in after["pins"]
    assert (after["agent"]["conntrack_map_id"], after["agent"]["max_entries"]) == after["map"]
    assert changed(play(node, 600000)) == 0
    assert state() == after


def test_it_shrinks_too(node: Path) -> None:
    before = entries(NODE)
    play(node, 100000)
    assert entries(NODE).items() >= before.items()
    assert state()["map"][1] == 100000


def test_check_mode_changes_nothing(node: Path) -> None:
    before = state()
    output = play(node, 700000, "--check", "--diff")
    assert '"max_entries": 700000' in output
    assert changed(output) > 0
    assert state() == before


@pytest.mark.parametrize(
    ("size", "words", "message"),
    [
        (100, (), "refused by CT_SHRINK (#6739): the wanted conntrack size is below"),
        (600000, ("-e", "calico_felix_config=/none"), "calico_felix_config: /none is not there"),
        (600000, ("-e", "calico_pin_dir=/sys/fs/bpf/none"), "pin_dir: no conntrack map is pinned"),
        (0, (), "calico_conntrack_max_entries: 0 is not a whole number from 1 to 4294967295."),
        (600000, ("-e", "calico_version=9"), "calico_version: '9' is not a Calico version"),
        (600000, ("-e", "calico_version=v3.28.1"), "refused by RELEASE_CONTRADICTION"),
        (
            600000,
            ("-e", "calico_agent_health_command='ls /none'"),
            "felix is not healthy after 5 s",
        ),
    ],
)
def test_refusals_change_nothing(
    node: Path, size: int, words: tuple[str, ...], message: str
) -> None:
    before = state()
    assert message in play(node, size, *words, fails=True)
    assert state() == before


def test_a_felix_that_does_not_start_has_the_old_map_again(node: Path) -> None:
    before, flows = state(), entries(NODE)
    output = play(node, 600000, "-e", "calico_agent_restart_command='ls /none'", fails=True)
    assert "so the old one of 512000 is back in its place" in " ".join(output.split())
    assert "/none" in output.split("The reason:")[-1]
    assert state() == before
    assert entries(NODE).items() >= flows.items()
    play(node, 600000)
    assert entries(NODE).items() >= flows.items()


def test_a_run_that_was_cut_off_is_finished_by_the_next(node: Path, tmp_path: Path) -> None:
    flows = entries(NODE)
    cut = tmp_path / "cut.yml"
    cut.write_text(
        json.dumps(
            [
                {
                    "hosts": "all",
                    "gather_facts": False,
                    "tasks": [
                        {
                            "bpfops.calico.bpf_map": {
                                "path": PIN,
                                "max_entries": 600000,
                                "keep_old_pin": OLD_PIN,
                                "timestamp_offset": 8,
                            }
                        }
                    ],
                }
            ]
        )
    )
    command = [inventory.ansible_playbook(), str(cut), "-i", str(node)]
    subprocess.run(command, env=inventory.ansible_environment(), check=True)
    assert agent(NODE)["max_entries"] == 512000
    play(node, 600000)
    after = state()
    assert (after["agent"]["conntrack_map_id"], after["agent"]["max_entries"]) == after["map"]
    assert OLD_PIN not in after["pins"]
    assert entries(NODE).items() >= flows.items()
    assert changed(play(node, 600000)) == 0

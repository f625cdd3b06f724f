# SPDX-License-Identifier: GPL-3.0-or-later
"""The timer that frees stuck UDP flows: on nodes whose release leaves them, until it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import udp_flows
from tests.integration.resizing import run
from tests.lab import inventory
from tests.lab.harness import begin, call, in_node, lab
from tests.lab.settings import pod_address
from tests.lab.shell import wait_for

pytestmark = pytest.mark.lab

OLD, NEW = "node1", "node2"
TIMER = "bpfops-udp-repair.timer"
FILES = "find /etc/systemd/system /etc/bpfops /usr/local/lib/bpfops -name '*udp-repair*' -type f"
DNS = {
    "protocol": "udp",
    "port": 53,
    "addresses": ["10.96.0.10"],
    "backends": [f"{pod_address(1, 2)}:5353"],
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    shape = ("--nodes", "2", "--pods", "2", "--release", "3.29.7,3.31.7")
    lab("up", *shape, "--services", "--systemd")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def play(
    hosts: Path, *words: str, watch: str = "present", fails: bool = False, **variables: Any
) -> str:
    given = {
        "udp_repair_watch": watch,
        "udp_repair_watch_interval": 1,
        "calico_report_dir": str(hosts.parent / "report"),
        **variables,
    }
    playbook = [inventory.ansible_playbook(), "bpfops.calico.repair_udp", "-i", str(hosts)]
    return run([*playbook, "-e", json.dumps(given), *words], fails)


def is_active(node: str) -> bool:
    return bool(call("exec", node, "--", "systemctl", "is-active", TIMER).returncode == 0)


def files(node: str) -> list[str]:
    return str(call("exec", node, "--", "sh", "-c", FILES).stdout).split()


def test_a_dry_run_installs_nothing(hosts: Path) -> None:
    play(hosts, "--check", "--diff")
    assert not files(OLD)
    assert not is_active(OLD)


def test_the_timer_runs_where_the_release_needs_it(hosts: Path) -> None:
    play(hosts)
    assert is_active(OLD)
    in_node(OLD, "systemctl", "is-enabled", TIMER)
    limit = ("-p", "StartLimitIntervalUSec", "--value", "bpfops-udp-repair.service")
    assert in_node(OLD, "systemctl", "show", *limit).strip() == "0", (
        "else a look now and then fails"
    )
    assert len(files(OLD)) == 4
    assert not is_active(NEW)
    assert not files(NEW)


def test_a_second_run_changes_nothing(hosts: Path) -> None:
    said = play(hosts)
    assert all("changed=0" in line for line in said.splitlines() if "unreachable=" in line)


def test_the_timer_frees_a_flow(hosts: Path) -> None:
    udp_flows.declare(OLD, DNS)
    lab("udp", "serve", OLD, "2", "5353")
    lab("udp", "send", OLD, "1", "client", "dns=40001@10.96.0.10:53")
    udp_flows.echoing(OLD, "client", {"dns"})
    udp_flows.declare(OLD)
    udp_flows.silent(OLD, "client", {"dns"}, 1)
    udp_flows.declare(OLD, DNS)
    udp_flows.echoing(OLD, "client", {"dns"})
    assert "stuck UDP flows freed: 1" in in_node(OLD, "journalctl", "--unit", "bpfops-udp-repair")


def test_a_node_that_another_run_works_on_is_left_to_it(hosts: Path) -> None:
    """No failure of the unit, which an operator would look into."""
    holder = begin("exec", OLD, "--", "flock", "/run/bpfops.lock", "sleep", "600")
    try:
        wait_for(
            lambda: "Another run" in in_node(OLD, "journalctl", "--unit", "bpfops-udp-repair"),
            *(60, "the timer to meet the lock", 0.5),
        )
        shown = call("exec", OLD, "--", "systemctl", "is-failed", "bpfops-udp-repair.service")
        assert shown.returncode != 0, in_node(OLD, "journalctl", "--unit", "bpfops-udp-repair")
    finally:
        in_node(OLD, "pkill", "-f", "sleep 600")
        holder.wait()


def test_it_goes_after_the_upgrade(hosts: Path) -> None:
    """Whatever the run is told of the timer: the release needs none."""
    in_node(OLD, "lab-agent", "stop")
    in_node(OLD, "sed", "-i", "s/^release = .*/release = 3.31.7/", "/etc/calico/lab-agent.cfg")
    in_node(OLD, "find", "/sys/fs/bpf/tc/globals", "-name", "cali_v4_ct3", "-delete")
    in_node(OLD, "systemctl", "restart", "calico-felix")
    play(hosts, watch="keep", preflight_allow_contradiction=True)
    assert not files(OLD)
    assert not is_active(OLD)


def test_a_timer_that_never_rests_is_refused(hosts: Path) -> None:
    said = play(hosts, udp_repair_watch_interval=0, fails=True)
    assert "udp_repair_watch_interval: 0 is not 1 second or more." in said

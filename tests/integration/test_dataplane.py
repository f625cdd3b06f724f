# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaving eBPF mode on nodes of every release line, seen by tc, bpftool and raw files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as agent
from tests.integration.lab_release import in_node
from tests.integration.node_info import ask, bring_pyroute2, run
from tests.lab.harness import lab
from tests.lab.shell import wait_for

pytestmark = pytest.mark.lab

RELEASES = ("3.26.4", "3.27.3", "3.28.4", "3.29.7", "3.30.7", "3.31.7", "3.32.1")
NODES = {release: f"node{number}" for number, release in enumerate(RELEASES, 1)}
DEFECTS = "old_pin,superseded_map,legacy_connect_time"
GLOBALS = "/sys/fs/bpf/tc/globals"
FOREIGN = f"""
set -e
bpftool map create {GLOBALS}/cilium_calls type hash key 4 value 8 entries 10 name cilium_calls
bpftool map create {GLOBALS}/cali_mine type hash key 4 value 8 entries 10 name cali_mine
bpftool map update pinned {GLOBALS}/cali_mine key 1 0 0 0 value 1 2 3 4 5 6 7 8
mkdir /sys/fs/bpf/calico
bpftool map create /sys/fs/bpf/calico/calico_failsafe type hash key 4 value 8 entries 10 name fs
for interface in $(ls /sys/class/net | grep ^cali | head -1) eth0; do
    tc qdisc show dev $interface | grep -q clsact || tc qdisc add dev $interface clsact
    tc filter add dev $interface ingress pref 7 u32 match u32 0 0 classid 1:1
done
"""
LEFT = """
ip link add bpfin.cali type veth peer name bpfout.cali
mkdir -p /run/calico/bpf/prog /run/calico/bpf/policy
echo '{}' >/run/calico/bpf/policy/cali1_ingress_v4.json
"""
STATE = """
find /sys/fs/bpf -printf '%p %i\\n' | sort
for i in $(ls /sys/class/net | sort); do
    for h in ingress egress; do tc filter show dev $i $h; done
    tc qdisc show dev $i | grep clsact
done
find /sys/fs/bpf -type f -exec bpftool -j map show pinned {} ';' 2>/dev/null | grep -o '"id":[0-9]*'
bpftool map dump pinned /sys/fs/bpf/tc/globals/cali_mine
bpftool cgroup show /sys/fs/cgroup
find /run/calico/bpf 2>/dev/null || true
"""


class Fleet:
    """What was seen of each node at each time, and the module's answers."""

    def __init__(self, hosts: Path) -> None:
        self.hosts = hosts
        self.states: dict[str, dict[str, str]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.reached: dict[str, bool] = {}

    def see(self, name: str) -> None:
        self.states[name] = {node: in_node(node, "sh", "-c", STATE) for node in NODES.values()}

    def remove(self, name: str, *more: str) -> None:
        answers = {}
        for line in run(self.hosts, "bpfops.calico.dataplane", "", *more).splitlines():
            node, _, answer = line.partition(" | ")
            if "{" in answer:
                answers[node] = json.loads(answer[answer.index("{") :])
        self.answers[name] = answers


def release_cgroup(node: str) -> None:
    """Stop the agent and wait until the kernel has let go of its links: legacy programs wait."""
    in_node(node, "lab-agent", "stop")
    in_node(node, "rm", "-rf", "/sys/fs/bpf/ctlb")
    show = ("bpftool", "cgroup", "show", "/sys/fs/cgroup")
    wait_for(lambda: "calico_" not in in_node(node, *show), 20, "links of the cgroup are freed")


def reached(node: str) -> bool:
    """Whether a pod of the next node answers a pod of this one, without any program."""
    number = int(node[len("node") :])
    target = f"10.65.{number % len(NODES) + 1}.2"
    command = ("ip", "netns", "exec", "pod1", "ping", "-c", "1", "-W", "2", target)
    return agent.run(node, *command).returncode == 0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A full cycle: eBPF mode, leaving it, and eBPF mode again."""
    lab("up", "--nodes", str(len(RELEASES)), "--pods", "2", "--release", ",".join(RELEASES))
    hosts = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    hosts.write_text(lab("inventory"))
    bring_pyroute2(hosts)
    seen = Fleet(hosts)
    for release, node in NODES.items():
        release_cgroup(node)
        agent.fresh(node, release, "BPFConnectTimeLoadBalancing = Enabled", defects=DEFECTS)
        in_node(node, "sh", "-c", FOREIGN + LEFT)
        in_node(node, "lab-agent", "stop")
    seen.see("filled")
    seen.remove("predicted", "--check")
    seen.see("predicted")
    seen.remove("done")
    seen.see("left")
    seen.reached = {node: reached(node) for node in NODES.values()}
    seen.remove("again")
    seen.see("again")
    for release, node in NODES.items():
        agent.configure(node, release)
        in_node(node, "lab-agent", "start")
    seen.answers["node_info"] = ask(hosts)
    yield seen
    lab("down")


@pytest.mark.parametrize("release", RELEASES)
def test_check_mode_says_what_the_run_does(fleet: Fleet, release: str) -> None:
    node = NODES[release]
    predicted, done = fleet.answers["predicted"][node], fleet.answers["done"][node]
    assert predicted["actions"] == done["actions"]
    assert predicted["residue_after"] == done["residue_after"] == {}
    assert fleet.states["predicted"][node] == fleet.states["filled"][node]


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_of_calico_is_left(fleet: Fleet, release: str) -> None:
    left = fleet.states["left"][NODES[release]]
    named = re.findall(r"\S*(?:cali_|calico_|bpf(?:in|out))\S*", left)
    assert set(named) <= {"/sys/fs/bpf/calico/calico_failsafe", f"{GLOBALS}/cali_mine"}
    assert " bpf " not in left  # filters of BPF programs
    assert "/run/calico/bpf" not in left


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_foreign_is_as_it_was(fleet: Fleet, release: str) -> None:
    filled = fleet.states["filled"][NODES[release]].splitlines()
    left = fleet.states["left"][NODES[release]].splitlines()
    assert [line for line in left if line not in filled] == []
    assert sum("u32" in line for line in left) == sum("u32" in line for line in filled) > 0
    assert sum("clsact" in line for line in left) == 2
    assert any("cilium_calls" in line for line in left)
    values = [line for line in left if "01 02 03 04 05 06 07 08" in line]
    assert values == [line for line in filled if "01 02 03 04 05 06 07 08" in line] != []


@pytest.mark.parametrize("release", RELEASES)
def test_a_second_run_changes_nothing(fleet: Fleet, release: str) -> None:
    node = NODES[release]
    assert not fleet.answers["again"][node]["changed"]
    assert fleet.answers["again"][node]["residue_before"] == {}
    assert fleet.states["again"][node] == fleet.states["left"][node]


@pytest.mark.parametrize("release", RELEASES)
def test_pods_reach_each_other_without_ebpf_mode(fleet: Fleet, release: str) -> None:
    assert fleet.reached[NODES[release]]


@pytest.mark.parametrize("release", RELEASES)
def test_ebpf_mode_works_again_afterwards(fleet: Fleet, release: str) -> None:
    found = fleet.answers["node_info"][NODES[release]]
    assert [one["code"] for one in found["findings"] if one["severity"] != "info"] == []
    owners = {one["owner"] for pod in found["interfaces"] for one in pod["programs"]}
    assert owners == {"calico"}


def test_the_module_is_refused_while_felix_runs(fleet: Fleet) -> None:
    with pytest.raises(AssertionError) as caught:
        run(fleet.hosts, "bpfops.calico.dataplane", "", "--limit", "node4")
    assert "felix runs in eBPF mode on this node" in str(caught.value)
    assert "of Calico's maps" in str(caught.value)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Six nodes of a cluster go through four upgrades under traffic, and the controller dies ten times.

Each upgrade is begun by one command, killed with SIGKILL at points that a seed chooses, and
finished by the same command; then once more it changes nothing.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import Site, cluster, flows_go_on
from tests.integration.resizing import traffic_is_alive
from tests.lab import inventory
from tests.lab.harness import agent, in_node, lab

pytestmark = [pytest.mark.lab, pytest.mark.long, needs_kubectl]

NODES = [f"node{number}" for number in range(1, 7)]
FIRST = "3.27.3"
# Release, the table that it has, and how often the controller dies on the way.
WAY = [("3.28.5", "ct3", 2), ("3.29.7", "ct3", 2), ("3.30.7", "ct3", 3), ("3.31.7", "ct4", 3)]
TASKS = (30, 330)
"""Between which tasks of a run it is killed; a whole run has some 500."""
ALLOWED = {"KERNEL_PAIR"}
"""Gates that are let pass: the kernel may be newer than what the first releases work with."""
STATE = "/var/lib/bpfops/runs/upgrade.json"


@pytest.fixture(scope="module")
def site(kube_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert kube_programs
    shape = ("--nodes", str(len(NODES)), "--pods", "2", "--size", "60000")
    with cluster(tmp_path_factory, "manifest", FIRST, *shape) as made:
        lab("traffic", "start", "--tcp", "24", "--udp", "6", "--interval", "0.1")
        yield made


@pytest.fixture(scope="module")
def dice() -> random.Random:
    """Where the controller dies; BPFOPS_SEED chooses other points."""
    return random.Random(int(os.environ.get("BPFOPS_SEED", "1")))


def start(site: Site, release: str) -> subprocess.Popen[str]:
    given = {
        "calico_control": "kubernetes",
        "calico_kubeconfig": site.kubeconfig,
        "calico_felix_process": "^calico-node ",
        "calico_version": f"v{release}",
        "calico_canary": "1",
        "calico_serial": "50%",
        "preflight_allow_kernel_pair": True,
        "calico_report_dir": str(reports(site)),
    }
    command = [inventory.ansible_playbook(), "bpfops.calico.upgrade", "-i", str(site.hosts)]
    return subprocess.Popen(
        [*command, "--forks", str(len(NODES)), "-e", json.dumps(given)],
        env=inventory.ansible_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def reports(site: Site) -> Path:
    return site.hosts.parent / "report"


def cut(site: Site, release: str, tasks: int) -> None:
    """Run the upgrade, and kill it once that many tasks have begun."""
    said: list[str] = []
    with start(site, release) as process:
        for line in process.stdout or ():
            said.append(line)
            tasks -= line.startswith("TASK [")
            if tasks <= 0:
                process.kill()
                break
    print("killed at", said[-1].strip())
    assert process.returncode in (-9, 0), "".join(said)


def finish(site: Site, release: str) -> tuple[dict[str, Any], str]:
    """Run it to its end; the report, and what was said."""
    with start(site, release) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    newest = sorted(reports(site).glob("upgrade-2*.json"))[-1]
    return json.loads(newest.read_text()), said


def tables(node: str) -> set[str]:
    """Conntrack maps that felix sees, without the name's beginning."""
    names = (path.removeprefix(seen.GLOBALS) for path in seen.pins(node))
    return {name.rpartition("_")[2] for name in names if re.fullmatch(r"cali_v\d_ct\d", name)}


@pytest.mark.parametrize(("release", "table", "deaths"), WAY)
def test_an_upgrade_survives_its_controller(
    site: Site, dice: random.Random, release: str, table: str, deaths: int
) -> None:
    for _ in range(deaths):
        cut(site, release, dice.randint(*TASKS))
        flows_go_on()
    report, _ = finish(site, release)
    assert {node["name"] for node in report["nodes"]} == set(NODES)
    assert set(report["summary"]["results"]) <= {"ok", "changed"}
    assert {one["code"] for one in report["summary"]["refusals"]} <= ALLOWED
    assert not list(reports(site).glob("*unfinished*"))
    for node in NODES:
        status = agent(node)
        assert (status["release"], status["ready"], tables(node)) == (release, True, {table})
        state = json.loads(in_node(node, "cat", STATE))
        assert (state["outcome"], state["parameters"]) == ("finished", {"to": f"v{release}"})
    shown = site.get("daemonset", "calico-node", "-n", "kube-system")["spec"]
    assert shown["updateStrategy"]["type"] == "RollingUpdate"
    flows_go_on()


def test_a_second_run_changes_nothing(site: Site) -> None:
    uids = [site.uid(node) for node in NODES]
    report, said = finish(site, WAY[-1][0])
    recap = [line for line in said.splitlines() if "unreachable=" in line]
    assert len(recap) >= len(NODES)
    assert all(" changed=0 " in line for line in recap), recap
    assert report["summary"]["results"] == {"ok": len(NODES)}
    assert [site.uid(node) for node in NODES] == uids


def test_no_connection_is_lost_on_the_way(site: Site) -> None:
    traffic_is_alive()

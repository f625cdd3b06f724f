# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook switch_dataplane on a cluster installed by calico-bpf.yaml, under traffic.

One history: eBPF mode by the environment is refused, moved into an object as the documentation
has it, left node by node in spite of a disruption budget and an API server that goes away, and
taken up again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import (
    Site,
    cluster,
    flows_go_on,
    wait,
    without_ebpf,
)
from tests.integration.resizing import traffic_is_alive
from tests.lab.harness import lab

pytestmark = [pytest.mark.lab, pytest.mark.long, needs_kubectl]

NODES = ("node1", "node2")
RELEASE = "3.29.7"
TRAFFIC = ("--tcp", "8", "--udp", "4", "--interval", "0.1")
IPTABLES: dict[str, Any] = {
    "calico_dataplane": "iptables",
    "dataplane_switch_allow_cut_connections": True,
    "calico_drain": True,
    "calico_drain_timeout": 6,
}


@pytest.fixture(scope="module")
def site(kube_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert kube_programs
    shape = ("--nodes", str(len(NODES)), "--pods", "3", "--size", "60000")
    with cluster(tmp_path_factory, "manifest", RELEASE, *shape) as made:
        lab("traffic", "start", *TRAFFIC)
        yield made


def phase(site: Site) -> str:
    """Of the pod that a disruption budget guards."""
    found = site.get("pods", "-l", "app=guarded")["items"]
    return found[0]["status"].get("phase", "") if found else ""


def outage(site: Site) -> None:
    """The API server is away for 30 s while the last node is at work."""
    wait(lambda: {f"node.{node}" for node in NODES} <= set(site.modes()), "the last node's turn")
    lab("cluster", "api", "stop")
    time.sleep(30)
    lab("cluster", "api", "start")


def test_the_environment_outranks_every_object(site: Site) -> None:
    before = site.who(NODES)
    said = site.play("switch_dataplane", fails=True, **IPTABLES)
    assert "FELIX_BPFENABLED" in said
    assert (site.who(NODES), site.modes()) == (before, {})
    site.kubectl.patch("felixconfiguration", "default", spec={"bpfEnabled": True})
    site.kubectl("set", "env", "-n", "kube-system", "daemonset/calico-node", "FELIX_BPFENABLED-")
    site.settled(NODES)
    flows_go_on()


def test_a_budget_keeps_its_pod_and_stops_the_run(site: Site) -> None:
    lab("cluster", "fault", "budget")
    wait(lambda: phase(site) == "Running", "the pod that stays")
    said = site.play("switch_dataplane", fails=True, **IPTABLES)
    assert "cannot be drained within 6 s, and stays cordoned" in said
    assert phase(site) == "Running"
    lab("cluster", "fault", "budget", "--end")
    flows_go_on()


def test_ebpf_mode_is_left(site: Site) -> None:
    away = threading.Thread(target=outage, args=(site,))
    away.start()
    site.play("switch_dataplane", **IPTABLES)
    away.join()
    assert not any("unschedulable" in node["spec"] for node in site.get("nodes")["items"])
    assert site.modes() == {"default": False}
    assert without_ebpf(NODES)
    wait(lambda: site.proxies() == len(NODES), "kube-proxy on both nodes")
    site.again(NODES, "switch_dataplane", **IPTABLES)
    traffic_is_alive()


def test_ebpf_mode_is_taken_up(site: Site) -> None:
    """Without traffic: unlike Calico's, programs of the lab leave no flow of before to Linux."""
    site.play("switch_dataplane", calico_dataplane="ebpf")
    assert site.modes() == {"default": True}
    assert all(f"{seen.GLOBALS}cali_v4_ct3" in seen.pins(node) for node in NODES)
    wait(lambda: not site.proxies(), "kube-proxy to go")
    site.again(NODES, "switch_dataplane", calico_dataplane="ebpf")
    lab("traffic", "start", *TRAFFIC)
    traffic_is_alive()

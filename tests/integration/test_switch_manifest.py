# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook switch_dataplane on a cluster installed by calico-bpf.yaml, under traffic.

One history: eBPF mode by the environment is refused, moved into an object as the documentation
has it, left node by node and taken up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import (
    Site,
    flows_go_on,
    traffic_is_alive,
    wait,
    without_ebpf,
)
from tests.integration.node_info import bring_pyroute2
from tests.lab.harness import lab

pytestmark = [pytest.mark.lab, pytest.mark.long, needs_kubectl]

NODES = ("node1", "node2")
RELEASE = "3.29.7"
IPTABLES: dict[str, Any] = {
    "calico_dataplane": "iptables",
    "dataplane_switch_allow_cut_connections": True,
}


@pytest.fixture(scope="module")
def site(kube_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert kube_programs
    shape = ("--nodes", str(len(NODES)), "--pods", "3", "--size", "60000")
    lab("up", *shape, "--release", RELEASE)
    lab("cluster", "up", "--install", "manifest", "--release", RELEASE)
    hosts = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    hosts.write_text(lab("inventory"))
    bring_pyroute2(hosts)
    lab("traffic", "start", "--tcp", "8", "--udp", "4", "--interval", "0.1")
    yield Site(hosts, lab("cluster", "kubeconfig").strip())
    lab("down")


def proxies(site: Site) -> int:
    return len(site.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")["items"])


def test_the_environment_outranks_every_object(site: Site) -> None:
    before = site.who(NODES)
    said = site.play("switch_dataplane", fails=True, **IPTABLES)
    assert "FELIX_BPFENABLED" in said
    assert (site.who(NODES), site.modes()) == (before, {})
    site.kubectl.patch("felixconfiguration", "default", spec={"bpfEnabled": True})
    site.kubectl("set", "env", "-n", "kube-system", "daemonset/calico-node", "FELIX_BPFENABLED-")
    site.settled(NODES)
    flows_go_on()


def test_ebpf_mode_is_left(site: Site) -> None:
    site.play("switch_dataplane", **IPTABLES)
    assert site.modes() == {"default": False}
    assert without_ebpf(NODES)
    wait(lambda: proxies(site) == len(NODES), "kube-proxy on both nodes")
    site.again(NODES, "switch_dataplane", **IPTABLES)
    flows_go_on()


def test_ebpf_mode_is_taken_up(site: Site) -> None:
    site.play("switch_dataplane", calico_dataplane="ebpf")
    assert site.modes() == {"default": True}
    assert all(f"{seen.GLOBALS}cali_v4_ct3" in seen.pins(node) for node in NODES)
    wait(lambda: not proxies(site), "kube-proxy to go")
    site.again(NODES, "switch_dataplane", calico_dataplane="ebpf")
    traffic_is_alive()

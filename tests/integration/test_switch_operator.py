# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook switch_dataplane on a cluster that the operator installed, under traffic.

One history: somebody takes the change of Installation back, then the same command finishes, and
once more it changes nothing. The way back is the operator's, which has unmounted bpffs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import Site, cluster, wait, without_ebpf
from tests.integration.resizing import traffic_is_alive
from tests.lab.harness import lab

pytestmark = [pytest.mark.lab, needs_kubectl]

NODES = ("node1", "node2")
RELEASE = "3.29.7"
IPTABLES: dict[str, Any] = {
    "calico_dataplane": "iptables",
    "dataplane_switch_allow_cut_connections": True,
    "calico_drain": True,
    "calico_operator_timeout": 5,
}
BACK = {"spec": {"calicoNetwork": {"linuxDataplane": "BPF"}}}
WEB = {"app": "web"}


@pytest.fixture(scope="module")
def site(kube_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert kube_programs
    shape = ("--nodes", str(len(NODES)), "--pods", "3", "--size", "60000")
    with cluster(tmp_path_factory, "operator", RELEASE, *shape) as made:
        lab("traffic", "start", "--tcp", "8", "--udp", "4", "--interval", "0.1")
        yield made


def body(api: str, kind: str, name: str, spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def web(site: Site) -> list[str]:
    """The pod of a Deployment, which any node takes."""
    found = site.get("pods", "-l", "app=web")["items"]
    return [one["metadata"]["uid"] for one in found if "nodeName" in one["spec"]]


def bring_web(site: Site) -> list[str]:
    template = {
        "metadata": {"labels": WEB},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": WEB}, "template": template}
    site.apply(body("apps/v1", "Deployment", "web", spec))
    wait(lambda: web(site), "its pod")
    return web(site)


def drained(site: Site, before: list[str]) -> None:
    """The pod was evicted, and pods may come to every node again."""
    wait(lambda: len(web(site)) == 1 and web(site) != before, "another pod")
    for node in site.get("nodes")["items"]:
        assert "unschedulable" not in node["spec"]
        assert "bpfops.calico/cordoned" not in node["metadata"].get("annotations", {})


def network(site: Site) -> str:
    found = site.get("installation", "default")["spec"]["calicoNetwork"]
    return str(found["linuxDataplane"])


def writers(site: Site) -> set[str]:
    """Who has written bpfEnabled of default."""
    found = site.get("felixconfiguration", "default", "--show-managed-fields")
    fields = found["metadata"]["managedFields"]
    return {one["manager"] for one in fields if "f:bpfEnabled" in one["fieldsV1"].get("f:spec", {})}


def test_somebody_takes_the_change_of_the_operator_back(site: Site) -> None:
    pod = bring_web(site)
    lab("cluster", "fault", "conflict", json.dumps(BACK), "--installation")
    said = site.play("switch_dataplane", fails=True, **IPTABLES)
    lab("cluster", "fault", "conflict", "--end")
    expected = "Installation default has linuxDataplane BPF after it was set to Iptables: something"
    assert expected in said
    assert without_ebpf(NODES)
    drained(site, pod)
    assert {site.modes()[f"node.{node}"] for node in NODES} == {False}


def test_the_operator_follows(site: Site) -> None:
    site.settled(NODES)
    site.play("switch_dataplane", **{**IPTABLES, "calico_operator_timeout": 120})
    assert (network(site), writers(site)) == ("Iptables", {"operator"})
    assert site.modes() == {"default": False}
    site.again(NODES, "switch_dataplane", **IPTABLES)
    assert without_ebpf(NODES)
    traffic_is_alive()
    said = site.play("switch_dataplane", fails=True, calico_dataplane="ebpf")
    assert "does not mount /sys/fs/bpf of the host" in said
    assert "set spec.calicoNetwork.linuxDataplane of Installation default to BPF" in said
    site.kubectl.patch("installation", "default", **BACK)
    wait(lambda: site.specs()["default"]["bpfEnabled"], "the operator to switch all nodes")
    site.settled(NODES)
    site.play("switch_dataplane", calico_dataplane="ebpf")
    assert all(f"{seen.GLOBALS}cali_v4_ct3" in seen.pins(node) for node in NODES)
    assert not site.proxies()

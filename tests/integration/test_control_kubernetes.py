# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal role _control on a cluster: one history of an installation by manifest.

Its API server is real, its calico-node pods are the agents of lab nodes. What is there is looked up
by kubectl and on the nodes.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import SIZE, Site, Step, wait
from tests.lab.harness import agent, in_node, lab

pytestmark = [pytest.mark.lab, needs_kubectl]


NODES = ("node1", "node2")


@pytest.fixture(scope="module")
def site(kube_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert kube_programs
    lab("up", "--nodes", str(len(NODES)), "--pods", "1", "--release", "3.29.7")
    lab("cluster", "up", "--install", "manifest", "--release", "3.29.7")
    hosts = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    hosts.write_text(lab("inventory"))
    yield Site(hosts, lab("cluster", "kubeconfig").strip())
    lab("down")


CHECK: Step = (
    "check",
    {"control_fields": [SIZE, "bpfEnabled"], "control_settings": {SIZE: 600000}},
)
CONFIGURE: Step = ("configure", {"control_settings": {SIZE: 600000}})
ROLL: tuple[Step, ...] = (CHECK, CONFIGURE, ("restart", {}), ("health", {}))


def test_check_mode_tells_and_writes_nothing(site: Site) -> None:
    said = site.control(*ROLL[:3], on="node1", check=True)
    assert "changed=1" in said, said
    found = json.dumps({SIZE: None, "bpfEnabled": "true"})
    assert f"found {found}" in said, said
    assert site.sizes() == {"default": None}


def test_a_node_gets_its_own_object_and_felix_restarts_in_its_pod(site: Site) -> None:
    pids, uids = [agent(node)["pid"] for node in NODES], [site.uid(node) for node in NODES]
    said = site.control(*ROLL)
    assert said.count("changed=1 ") == 2, said
    assert "failed=0" in said
    assert site.sizes() == {"default": None, "node.node1": 600000, "node.node2": 600000}
    assert [site.uid(node) for node in NODES] == uids
    for node, pid in zip(NODES, pids, strict=True):
        assert agent(node)["pid"] != pid
        assert f"BPFMapSizeConntrack = {600000}" in in_node(node, "cat", "/etc/calico/felix.cfg")
        assert agent(node)["max_entries"] == 600000


def test_default_takes_over_and_nothing_restarts(site: Site) -> None:
    """Also what somebody else has set, on the same object and before, is still there."""
    site.kubectl(
        "patch",
        "felixconfiguration",
        "node.node2",
        "--type=merge",
        "-p",
        '{"spec":{"bpfMapSizeRoute":9}}',
    )
    wait(lambda: "Route" in in_node("node2", "cat", "/etc/calico/felix.cfg"), "felix on node2")
    wait(lambda: agent("node2")["ready"], "felix on node2")
    pids = [agent(node)["pid"] for node in NODES]
    assert "changed=3" in site.control(("conclude", {}), on="node1")
    assert site.sizes() == {"default": 600000, "node.node2": None}
    assert site.specs()["node.node2"] == {"bpfMapSizeRoute": 9}
    assert site.specs()["default"]["logSeverityScreen"] == "Info"
    assert "before" not in site.kubectl("get", "felixconfigurations", "-o", "yaml")
    again = site.control(CHECK, CONFIGURE, ("conclude", {}), ("health", {}))
    assert again.count("changed=0") == 2, again
    assert [agent(node)["pid"] for node in NODES] == pids


def test_a_restart_without_a_change_replaces_the_pod(site: Site) -> None:
    before = site.uid("node1")
    other = site.uid("node2")
    said = site.control(CHECK, ("restart", {}), ("health", {}), on="node1")
    assert "failed=0" in said, said
    assert site.uid("node1") != before
    assert site.uid("node2") == other
    assert agent("node1")["ready"]


def test_kube_proxy_comes_and_goes_with_its_daemon_set(site: Site) -> None:
    started: Step = ("kube_proxy", {"control_kube_proxy": "started"})
    stopped: Step = ("kube_proxy", {"control_kube_proxy": "stopped"})
    assert site.proxies() == 0
    assert "changed=1" in site.control(started, started, on="node1")
    wait(lambda: site.proxies() == 2, "kube-proxy on both nodes")
    assert "changed=1" in site.control(stopped, stopped, on="node1")
    wait(lambda: site.proxies() == 0, "no kube-proxy")


def test_a_budget_keeps_a_node_from_being_drained(site: Site) -> None:
    labels = {"app": "web"}
    pod = {
        "containers": [{"name": "web", "image": "web:1"}],
        "nodeSelector": {"kubernetes.io/hostname": "node1"},
    }
    site.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        }
    )
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    }
    site.apply(budget)
    wait(lambda: site.get("pdb", "web")["status"].get("currentHealthy") == 1, "the pod of web")
    name = site.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    said = site.control(("drain", {}), on="node1", calico_drain_timeout=6)
    assert "node1 cannot be drained within 6 s, and stays cordoned" in said, said
    assert "disruption budget" in said
    assert site.get("node", "node1")["spec"]["unschedulable"] is True
    assert site.get("pod", name)["spec"]["nodeName"] == "node1"
    site.kubectl("delete", "pdb", "web")
    calico = site.uid("node1")
    assert "failed=0" in site.control(("drain", {}), on="node1")
    gone = site.kubectl(
        "get", "pods", "-l", "app=web", "--field-selector=spec.nodeName=node1", "-o", "name"
    )
    assert gone == ""
    assert site.uid("node1") == calico
    assert "changed=1" in site.control(("uncordon", {}), ("uncordon", {}), on="node1")
    assert "unschedulable" not in site.get("node", "node1")["spec"]
    site.kubectl("cordon", "node2")
    assert "changed=0" in site.control(("cordon", {}), ("uncordon", {}), on="node2")
    assert site.get("node", "node2")["spec"]["unschedulable"] is True
    site.kubectl("uncordon", "node2")
    site.kubectl("delete", "deployment", "web")


def test_one_run_at_a_time(site: Site) -> None:
    def lease() -> Any:
        return site.get("lease", "bpfops-calico", "-n", "kube-system")["spec"]

    place = ("lease", "bpfops-calico", "-n", "kube-system", "--type=merge")
    take: Step = ("lease_take", {"control_operation": "resize"})
    steps = (take, ("lease_renew", {"control_operation": "resize"}))
    said = site.control(*steps, on="node1", calico_lease_seconds=1)
    assert "failed=0" in said, said
    holder = lease()["holderIdentity"]
    assert lease()["renewTime"] > lease()["acquireTime"]
    assert holder.endswith(":resize")
    site.kubectl("patch", *place, "-p", '{"spec":{"leaseDurationSeconds":900}}')
    # Its process has ended, so the next one need not wait.
    assert "failed=0" in site.control(take, on="node1")
    assert lease()["holderIdentity"] != holder
    other = '{"spec":{"holderIdentity":"eve@elsewhere:1:upgrade"}}'
    site.kubectl("patch", *place, "-p", other)
    said = site.control(take, on="node1")
    assert "eve@elsewhere:1:upgrade works on this cluster" in said, said
    said = site.control(("lease_drop", {"control_operation": "resize"}), on="node1")
    assert "failed=0" in said
    assert lease()["holderIdentity"] == "eve@elsewhere:1:upgrade"
    late = '{"spec":{"leaseDurationSeconds":1}}'
    site.kubectl("patch", *place, "-p", late)
    said = site.control(take, ("lease_drop", {"control_operation": "resize"}), on="node1")
    assert "failed=0" in said, said
    assert "holderIdentity" not in lease()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"calico_kubeconfig": "/none"}, "calico_kubeconfig: /none is not there on the controller"),
        ({"calico_kube_context": "mars"}, "cannot be asked:"),
        (
            {"calico_node_name": "mars"},
            "calico_node_name: mars is no node of this cluster, which has node1, node2.",
        ),
        (
            {"calico_kube_context": "nobody"},
            "what this run needs: list nodes; list pods; list daemonsets.apps; get configmaps in",
        ),
        ({"calico_install_kind": "operator"}, "There is no DaemonSet calico-system/calico-node"),
        (
            {"control_settings": {"bpfEnabled": "false"}},
            "FELIX_BPFENABLED=true in the environment of DaemonSet kube-system/calico-node outr",
        ),
        (
            {"control_settings": {"bpfAttachType": "TC"}},
            "felixconfigurations.crd.projectcalico.org of this cluster does not know this field",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(site: Site, words: dict[str, Any], message: str) -> None:
    before = site.specs()
    said = site.control(("check", {"control_fields": [SIZE], **words}), on="node1")
    assert message in said, said
    assert "failed=1" in said
    assert site.specs() == before


def test_a_python_for_nodes_that_the_controller_gets_too_is_named(
    site: Site, tmp_path: Path
) -> None:
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n')
    bare.chmod(0o755)
    said = site.control(CHECK, on="node1", ansible_python_interpreter=str(bare))
    assert (
        f"{bare} on the controller does not have the Python package kubernetes: -e ansible" in said
    )
    assert "failed=1" in said


def test_another_writer_is_not_overwritten(site: Site) -> None:
    """Somebody changes the object between the role's look and its write: it looks again."""
    site.control(CHECK, ("configure", {"control_settings": {SIZE: 700000}}), on="node1")
    plan = {"control_settings": {SIZE: 800000}}
    script = (
        "kubectl patch felixconfiguration node.node1 --type=merge"
        """ -p '{"spec":{"bpfMapSizeRoute":'$(date +%N | sed 's/^0*//')'}}'"""
    )
    writer = subprocess.Popen(
        ["sh", "-c", f"while :; do {script}; done"],
        env={**os.environ, "KUBECONFIG": site.kubeconfig},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        said = site.control(CHECK, ("configure", plan), on="node1")
    finally:
        os.killpg(writer.pid, 9)
        writer.wait()
    spec = site.specs()["node.node1"]
    if "failed=0" in said:
        assert spec[SIZE] == 800000
    else:
        assert "was changed by somebody else 5 times" in said, said
        assert spec[SIZE] == 700000
    assert spec["bpfMapSizeRoute"] > 0
    site.kubectl("delete", "felixconfiguration", "node.node1")


def test_an_api_server_that_is_away_is_named_and_waited_for(site: Site) -> None:
    lab("cluster", "api", "stop")
    said = site.control(CHECK, on="node1")
    assert "the API server of" in said, said
    assert "cannot be asked" in said
    back = threading.Timer(8, lab, ("cluster", "api", "start"))
    back.start()
    said = site.control(("cordon", {}), ("uncordon", {}), on="node1")
    back.join()
    assert "failed=0" in said, said


def test_a_release_goes_to_one_node_after_the_other(site: Site) -> None:
    lab("cluster", "crds", "3.30.7")
    uid = site.uid("node2")
    image: Step = ("image", {"control_version": "v3.30.7"})
    said = site.control(CHECK, image, ("health", {}), on="node1")
    assert "failed=0" in said, said
    assert site.pod("node1")["spec"]["containers"][0]["image"].endswith("/node:v3.30.7")
    assert agent("node1")["release"] == "3.30.7"
    assert site.uid("node2") == uid
    place = ("daemonset", "calico-node", "-n", "kube-system")
    assert site.get(*place)["spec"]["updateStrategy"]["type"] == "OnDelete"
    assert "changed=0" in site.control(("conclude", {}), on="node1")
    said = site.control(CHECK, image, ("health", {}), ("conclude", {}), on="node2")
    assert "failed=0" in said, said
    assert agent("node2")["release"] == "3.30.7"
    found = site.get(*place)
    assert found["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
    }
    assert "annotations" not in found["metadata"] or "strategy" not in str(
        found["metadata"]["annotations"]
    )
    uids = [site.uid(node) for node in NODES]
    assert "changed=0" in site.control(image, on="node1")
    assert [site.uid(node) for node in NODES] == uids

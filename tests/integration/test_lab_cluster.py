# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's nodes in a cluster that a manifest installed: pods calico-node are their agents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kube import Kubectl, needs_kubectl
from tests.lab.harness import agent, call, filters, in_node, lab
from tests.lab.shell import wait_for

pytestmark = [pytest.mark.lab, needs_kubectl]
FELIX = "felixconfigurations.crd.projectcalico.org"
DAEMON_SET = ("daemonset", "calico-node", "-n", "kube-system")
FETCH = """
import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        print(answer.status, answer.read().decode(), end="")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), end="")
except OSError:
    print(0, end="")
"""
OLD, NEW = "3.29.7", "3.30.7"


@pytest.fixture(scope="module")
def kubectl(kube_programs: Path) -> Iterator[Kubectl]:
    assert kube_programs
    lab("up", "--nodes", "2", "--pods", "1", "--release", OLD)
    lab("cluster", "up", "--release", OLD)
    yield Kubectl(Path(lab("cluster", "kubeconfig").strip()))
    lab("down")


def pod(kubectl: Kubectl, node: str) -> dict[str, Any]:
    """The pod calico-node of a node; empty while there is none."""
    found = kubectl.json("pods", "-n", "kube-system", "-l", "k8s-app=calico-node")["items"]
    mine = [one for one in found if one["spec"].get("nodeName") == node]
    return mine[0] if mine else {}


def ready(one: dict[str, Any]) -> bool:
    conditions = one.get("status", {}).get("conditions", [])
    return any(two["type"] == "Ready" and two["status"] == "True" for two in conditions)


def size(node: str) -> Any:
    return agent(node)["max_entries"]


def configure(kubectl: Kubectl, name: str, **spec: Any) -> None:
    body = {"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration"}
    kubectl(
        "apply", "-f", "-", stdin=json.dumps({**body, "metadata": {"name": name}, "spec": spec})
    )


def until(condition: Any, what: str) -> None:
    wait_for(condition, 120, what, 0.3)


def test_a_node_object_restarts_felix_on_that_node_in_its_pod(kubectl: Kubectl) -> None:
    before = pod(kubectl, "node1"), pod(kubectl, "node2")
    assert all(map(ready, before))
    configure(kubectl, "node.node1", bpfMapSizeConntrack=20000)
    until(lambda: size("node1") == 20000, "node1 to take its own size")
    assert size("node2") == 512000
    after = pod(kubectl, "node1")
    assert after["metadata"]["uid"] == before[0]["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_default_and_then_removal_restart_nothing_that_has_the_value(kubectl: Kubectl) -> None:
    pid = agent("node1")["pid"]
    assert kubectl.patch(FELIX, "default", spec={"bpfMapSizeConntrack": 20000}).returncode == 0
    until(lambda: size("node2") == 20000, "node2 to take the size of all")
    kubectl("delete", FELIX, "node.node1")
    fail_probe_and_recover(kubectl)  # so that the kubelet has looked again, twice
    assert agent("node1")["pid"] == pid
    assert size("node1") == 20000


def test_felix_answers_for_itself(kubectl: Kubectl) -> None:
    assert fetch("node1", "9099/readiness") == (200, "ready\n")
    assert fetch("node1", "9091/metrics")[0] == 0
    assert kubectl.patch(FELIX, "default", spec={"prometheusMetricsEnabled": True}).returncode == 0
    until(lambda: fetch("node1", "9091/metrics")[0] == 200, "metrics")
    told = fetch("node1", "9091/metrics")[1].splitlines()
    assert {"felix_bpf_dataplane_endpoints 1", "felix_bpf_dirty_dataplane_endpoints 0"} <= {*told}


def fetch(node: str, place: str) -> tuple[int, str]:
    """Status and text, 0 when nobody listens."""
    url = f"http://127.0.0.1:{place}"
    text = in_node(node, "/usr/bin/python3", "-c", FETCH, url)
    status, _, body = text.partition(" ")
    return int(status), body


def test_the_environment_beats_the_api(kubectl: Kubectl) -> None:
    kubectl("set", "env", *DAEMON_SET, "FELIX_BPFMAPSIZECONNTRACK=30000")
    kubectl("rollout", "status", *DAEMON_SET, "--timeout=120s")
    assert size("node1") == size("node2") == 30000
    assert kubectl.patch(FELIX, "default", spec={"bpfMapSizeConntrack": 40000}).returncode == 0
    kubectl("set", "env", *DAEMON_SET, "FELIX_BPFMAPSIZECONNTRACK-")
    until(lambda: size("node1") == size("node2") == 40000, "the size of the API")
    kubectl("rollout", "status", *DAEMON_SET, "--timeout=120s")


def test_a_pod_that_is_deleted_comes_back_as_the_release_of_the_image(kubectl: Kubectl) -> None:
    strategy = {"type": "OnDelete", "rollingUpdate": None}
    assert kubectl.patch(*DAEMON_SET, spec={"updateStrategy": strategy}).returncode == 0
    kubectl("set", "image", *DAEMON_SET, f"calico-node=docker.io/calico/node:v{NEW}")
    before = pod(kubectl, "node1")["metadata"]["uid"], filters("node1")
    kubectl("delete", "pod", "-n", "kube-system", pod(kubectl, "node1")["metadata"]["name"])
    until(lambda: ready(pod(kubectl, "node1")), "the new pod of node1")
    assert pod(kubectl, "node1")["metadata"]["uid"] != before[0]
    assert (agent("node1")["release"], agent("node2")["release"]) == (NEW, OLD)
    assert filters("node1") != before[1]


def test_a_probe_that_fails_keeps_the_pod_from_being_ready(kubectl: Kubectl) -> None:
    fail_probe_and_recover(kubectl)


def fail_probe_and_recover(kubectl: Kubectl) -> None:
    lab("cluster", "fault", "never-ready", "node1")
    until(lambda: not ready(pod(kubectl, "node1")), "node1 to be not ready")
    assert ready(pod(kubectl, "node2"))
    lab("cluster", "fault", "never-ready", "node1", "--end")
    until(lambda: ready(pod(kubectl, "node1")), "node1 to be ready")


def test_an_image_of_an_unknown_release_is_not_pulled(kubectl: Kubectl) -> None:
    kubectl("set", "image", *DAEMON_SET, "calico-node=docker.io/calico/node:v3.99.0")
    kubectl("delete", "pod", "-n", "kube-system", pod(kubectl, "node2")["metadata"]["name"])

    def reason() -> Any:
        states = pod(kubectl, "node2").get("status", {}).get("containerStatuses", [{}])
        return states[0].get("state", {}).get("waiting", {}).get("reason")

    until(lambda: reason() == "ImagePullBackOff", "the pull to fail")
    assert not agent("node2")["running"]
    assert filters("node2"), "programs stay when felix has gone"
    kubectl("set", "image", *DAEMON_SET, f"calico-node=docker.io/calico/node:v{NEW}")
    kubectl("delete", "pod", "-n", "kube-system", pod(kubectl, "node2")["metadata"]["name"])
    until(lambda: ready(pod(kubectl, "node2")), "node2 to be ready")


def test_felix_goes_on_while_the_api_is_away(kubectl: Kubectl) -> None:
    pid = agent("node1")["pid"]
    lab("cluster", "api", "stop")
    assert kubectl.call("get", "nodes").returncode == 1
    lab("cluster", "api", "start")
    assert agent("node1")["pid"] == pid
    configure(kubectl, "node.node1", bpfMapSizeConntrack=50000)
    until(lambda: size("node1") == 50000, "node1 to follow the API again")


def test_a_budget_blocks_a_drain_until_it_is_gone(kubectl: Kubectl) -> None:
    lab("cluster", "fault", "budget")
    pods = ("pods", "-l", "app=guarded")
    until(lambda: all(map(ready, kubectl.json(*pods)["items"] or [{}])), "the guarded pod")
    guarded = kubectl.json(*pods)["items"][0]
    node = guarded["spec"]["nodeName"]
    drain = ("drain", node, "--ignore-daemonsets", "--timeout=10s")
    process = kubectl.call(*drain)
    assert process.returncode == 1
    assert "disruption budget" in process.stderr
    kubectl("delete", "poddisruptionbudget", "guarded")
    kubectl("drain", node, "--ignore-daemonsets", "--timeout=120s")
    assert ready(pod(kubectl, node)), "calico-node stays on a drained node"
    until(lambda: moved(kubectl, pods, node), "the pod to run elsewhere")
    kubectl("uncordon", node)
    lab("cluster", "fault", "budget", "--end")


def moved(kubectl: Kubectl, pods: tuple[str, ...], node: str) -> bool:
    found = kubectl.json(*pods)["items"]
    return bool(found) and all(one["spec"].get("nodeName", node) != node for one in found)


def test_a_conflicting_writer_undoes_changes(kubectl: Kubectl) -> None:
    lab("cluster", "fault", "conflict", '{"spec": {"bpfLogLevel": "Off"}}')
    assert kubectl.patch(FELIX, "default", spec={"bpfLogLevel": "Debug"}).returncode == 0
    until(lambda: level(kubectl) == "Off", "the writer's value")
    lab("cluster", "fault", "conflict", "--end")
    assert not json.loads(lab("cluster", "status"))["programs"].get("conflict")
    assert kubectl.patch(FELIX, "default", spec={"bpfLogLevel": "Info"}).returncode == 0
    assert level(kubectl) == "Info"


def level(kubectl: Kubectl) -> Any:
    return kubectl.json(FELIX, "default")["spec"].get("bpfLogLevel")


@pytest.mark.usefixtures("kubectl")
def test_bad_input_is_one_sentence() -> None:
    for arguments, said in (
        (("cluster", "fault", "never-ready", "node9"), "has no node 'node9'"),
        (("cluster", "fault", "conflict", "nonsense"), "use a merge patch in JSON"),
    ):
        process = call(*arguments)
        assert (process.returncode, process.stdout) == (1, "")
        assert said in process.stderr and len(process.stderr.splitlines()) == 1

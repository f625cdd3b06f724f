# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Kubernetes API is a real one, with the definitions of a release of Calico."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kube import Kubectl, needs_kubectl
from tests.lab import settings
from tests.lab.cluster import layout, lifecycle
from tests.lab.cluster.control_plane import ControlPlane
from tests.lab.harness import NAME
from tests.lab.shell import wait_for

pytestmark = [pytest.mark.lab, needs_kubectl]
DEFAULT = ("felixconfigurations.crd.projectcalico.org", "default")


@pytest.fixture(scope="module")
def kubectl(control_plane: Path) -> Kubectl:
    return Kubectl(control_plane)


def spec(kubectl: Kubectl) -> dict[str, Any]:
    found: dict[str, Any] = kubectl.json(*DEFAULT)["spec"]
    return found


def test_known_fields_are_kept_and_unknown_ones_pruned(kubectl: Kubectl) -> None:
    process = kubectl.patch(*DEFAULT, spec={"bpfMapSizeConntrack": 100000, "bpfAttachType": "TC"})
    assert process.returncode == 0, process.stderr
    assert spec(kubectl)["bpfMapSizeConntrack"] == 100000
    assert "bpfAttachType" not in spec(kubectl)  # since 3.31; this is 3.29
    kubectl.patch(*DEFAULT, spec={"bpfMapSizeConntrack": None})


@pytest.mark.parametrize(
    ("field", "value"),
    [("bpfLogLevel", "Loud"), ("bpfConnectTimeLoadBalancing", "UDP"), ("bpfEnabled", "yes")],
)
def test_values_that_the_definition_forbids_are_refused(
    kubectl: Kubectl, field: str, value: str
) -> None:
    before = spec(kubectl)
    process = kubectl.patch(*DEFAULT, spec={field: value})
    assert process.returncode == 1
    assert f"spec.{field}" in process.stderr
    assert spec(kubectl) == before


def test_a_user_without_rights_is_refused(kubectl: Kubectl) -> None:
    process = kubectl.call("get", *DEFAULT, context="nobody")
    assert process.returncode == 1
    assert 'User "nobody" cannot get resource "felixconfigurations"' in process.stderr


def test_the_daemon_set_controller_makes_a_pod_for_a_node_and_the_scheduler_binds_it(
    kubectl: Kubectl,
) -> None:
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": "lone"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "lone", "labels": labels}}
    kubectl("apply", "-f", "-", stdin=json.dumps(node))
    resources = {"status": {"allocatable": {"pods": "10"}, "capacity": {"pods": "10"}}}
    body = json.dumps(resources)
    kubectl("patch", "node", "lone", "--subresource=status", "--type=merge", "-p", body)
    pods = ("get", "pods", "-n", "kube-system", "-l", "k8s-app=calico-node", "-o")
    where = (*pods, "jsonpath={.items[*].spec.nodeName}")
    wait_for(lambda: kubectl(*where) == "lone", 60, "a pod on node lone", 0.3)
    kubectl("delete", "node", "lone")
    kubectl("delete", "pods", "-n", "kube-system", "--all", "--force")


@pytest.fixture
def own(kube_programs: Path, tmp_path: Path) -> Iterator[settings.Settings]:
    """Settings of a cluster that a test starts itself."""
    assert kube_programs
    found = dataclasses.replace(settings.from_environment(), name=f"o{NAME[:9]}", base=tmp_path)
    yield found
    lifecycle.down(found)


def listeners(plane: ControlPlane) -> str:
    state = plane.state
    ports = [state.server_port, state.etcd_port, state.etcd_peer_port]
    query = " or ".join(f"sport = :{port}" for port in ports)
    command = ["ss", "-Hltn", query]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_outage_keeps_the_data_and_down_leaves_nothing(own: settings.Settings) -> None:
    plane = lifecycle.up(own, lifecycle.Wish("operator", "3.32.1", native=True, nodes=False))
    kubectl = Kubectl(layout.kubeconfig(own))
    network = {"linuxDataplane": "Iptables"}
    assert kubectl.patch("installation", "default", spec={"calicoNetwork": network}).returncode == 0
    plane.stop_server()
    assert kubectl.call("get", "nodes").returncode == 1
    plane.start_server()
    shown = kubectl.json("installation", "default")
    assert shown["spec"]["calicoNetwork"]["linuxDataplane"] == "Iptables"
    assert kubectl.json("felixconfig", "default")["apiVersion"] == "projectcalico.org/v3"

    assert len(listeners(plane).splitlines()) == 3
    lifecycle.down(own)
    assert listeners(plane) == ""
    assert not kubectl.config.exists()
    assert not layout.directory(own).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{own.cgroup}"))

# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's Kubernetes API is a real one, with the definitions of a release of Calico."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import settings
from tests.lab.cluster import layout, lifecycle
from tests.lab.cluster.control_plane import ControlPlane
from tests.lab.harness import NAME
from tests.lab.shell import wait_for

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed"),
]
DEFAULT = ("felixconfigurations.crd.projectcalico.org", "default")


def kubectl(config: Path, *arguments: str, stdin: str = "", context: str = "admin") -> Any:
    """kubectl's finished process."""
    command = ["kubectl", f"--kubeconfig={config}", f"--context={context}", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


def done(config: Path, *arguments: str, stdin: str = "") -> str:
    """What kubectl prints; it must succeed."""
    process = kubectl(config, *arguments, stdin=stdin)
    assert process.returncode == 0, process.stderr
    return str(process.stdout)


def spec(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(config, "get", *DEFAULT, "-o", "json"))["spec"]
    return found


def patch(config: Path, change: dict[str, Any]) -> Any:
    body = json.dumps({"spec": change})
    return kubectl(config, "patch", *DEFAULT, "--type=merge", "-p", body)


def test_known_fields_are_kept_and_unknown_ones_pruned(control_plane: Path) -> None:
    process = patch(control_plane, {"bpfMapSizeConntrack": 100000, "bpfAttachType": "TC"})
    assert process.returncode == 0, process.stderr
    assert spec(control_plane)["bpfMapSizeConntrack"] == 100000
    assert "bpfAttachType" not in spec(control_plane)  # since 3.31; this is 3.29
    patch(control_plane, {"bpfMapSizeConntrack": None})


@pytest.mark.parametrize(
    ("field", "value"),
    [("bpfLogLevel", "Loud"), ("bpfConnectTimeLoadBalancing", "UDP"), ("bpfEnabled", "yes")],
)
def test_values_that_the_definition_forbids_are_refused(
    control_plane: Path, field: str, value: str
) -> None:
    before = spec(control_plane)
    process = patch(control_plane, {field: value})
    assert process.returncode == 1
    assert f"spec.{field}" in process.stderr
    assert spec(control_plane) == before


def test_a_user_without_rights_is_refused(control_plane: Path) -> None:
    process = kubectl(control_plane, "get", *DEFAULT, context="nobody")
    assert process.returncode == 1
    assert 'User "nobody" cannot get resource "felixconfigurations"' in process.stderr


def test_the_daemon_set_controller_makes_a_pod_for_a_node_and_the_scheduler_binds_it(
    control_plane: Path,
) -> None:
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": "lone"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "lone", "labels": labels}}
    done(control_plane, "apply", "-f", "-", stdin=json.dumps(node))
    resources = {"status": {"allocatable": {"pods": "10"}, "capacity": {"pods": "10"}}}
    body = json.dumps(resources)
    done(control_plane, "patch", "node", "lone", "--subresource=status", "--type=merge", "-p", body)
    pods = ("get", "pods", "-n", "kube-system", "-l", "k8s-app=calico-node", "-o")
    where = (*pods, "jsonpath={.items[*].spec.nodeName}")
    wait_for(lambda: done(control_plane, *where) == "lone", 60, "a pod on node lone", 0.3)
    done(control_plane, "delete", "node", "lone")
    done(control_plane, "delete", "pods", "-n", "kube-system", "--all", "--force")


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
    config = layout.kubeconfig(own)
    change = json.dumps({"spec": {"calicoNetwork": {"linuxDataplane": "Iptables"}}})
    done(config, "patch", "installation", "default", "--type=merge", "-p", change)
    plane.stop_server()
    assert kubectl(config, "get", "nodes").returncode == 1
    plane.start_server()
    shown = json.loads(done(config, "get", "installation", "default", "-o", "json"))
    assert shown["spec"]["calicoNetwork"]["linuxDataplane"] == "Iptables"
    process = kubectl(config, "get", "felixconfig", "default", "-o", "jsonpath={.apiVersion}")
    assert process.stdout == "projectcalico.org/v3"
    done(config, "get", "tigerastatus")

    assert len(listeners(plane).splitlines()) == 3
    lifecycle.down(own)
    assert listeners(plane) == ""
    assert not config.exists()
    assert not layout.directory(own).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{own.cgroup}"))

# SPDX-License-Identifier: GPL-3.0-or-later
"""Services by name, as a real API has them: at which addresses and ports they answer UDP."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kube import Kubectl, needs_kubectl
from tests.lab import inventory

pytestmark = [pytest.mark.lab, needs_kubectl]

PORTS = [
    {"name": "dns", "port": 53, "protocol": "UDP"},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
]
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": "default", "name": "names"},
    "spec": {"type": "NodePort", "ports": PORTS, "externalIPs": ["192.0.2.9"]},
}
NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "names1", "annotations": {"projectcalico.org/IPv4Address": "10.9.9.9/24"}},
}
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "bpfops.calico.udp_repair",
                    "tasks_from": "services",
                }
            },
            {"ansible.builtin.debug": {"msg": "means {{ __udp_repair_services | to_json }}"}},
        ],
    }
]


@pytest.fixture(scope="module")
def kubectl(control_plane: Path) -> Kubectl:
    own = Kubectl(control_plane)
    for one in (SERVICE, NODE):
        own("apply", "-f", "-", stdin=json.dumps(one))
    return own


def play(kubectl: Kubectl, place: Path, *services: str, **variables: Any) -> str:
    file = place / "play.json"
    file.write_text(json.dumps(PLAY))
    known = {
        "calico_control": "kubernetes",
        "calico_kubeconfig": str(kubectl.config),
        "udp_repair_services": services,
        **variables,
    }
    hosts = ["-i", "names1,", "-e", "ansible_connection=local"]
    command = [inventory.ansible_playbook(), str(file), *hosts, "-e", json.dumps(known)]
    environment = inventory.ansible_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).replace('\\"', '"').split())


def test_everywhere_where_it_answers_udp(kubectl: Kubectl, tmp_path: Path) -> None:
    made = kubectl.json("service", "names")["spec"]
    (port,) = [one["nodePort"] for one in made["ports"] if one["protocol"] == "UDP"]
    expected = ["10.96.0.1:99", f"{made['clusterIP']}:53", "192.0.2.9:53", f"10.9.9.9:{port}"]
    said = play(kubectl, tmp_path, "default/names", "10.96.0.1:99")
    told = said.partition("means ")[2].partition("]")[0] + "]"
    assert sorted(json.loads(told)) == sorted(expected), said


@pytest.mark.parametrize(
    ("service", "variables", "sentence"),
    [
        ("default/none", {}, "this cluster has no Service default/none"),
        ("default/kubernetes", {}, "no address with a port of UDP"),
        ("default/names", {"calico_control": "agent"}, "without calico_control: kubernetes"),
        ("default/names", {"calico_kubeconfig": "/nowhere"}, "/nowhere is not there"),
        ("default/names", {"calico_kube_context": "nobody"}, "may not be read"),
    ],
)
def test_what_is_refused(
    kubectl: Kubectl, tmp_path: Path, service: str, variables: dict[str, Any], sentence: str
) -> None:
    said = play(kubectl, tmp_path, service, **variables)
    assert sentence in said
    assert "Traceback" not in said

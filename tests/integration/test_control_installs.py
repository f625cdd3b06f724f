# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal role _control where the operator or kubespray has installed Calico.

The API server is real; nodes and pods are words in it, and hosts are this machine. The operator is
the lab's. Whoever runs it has the rights that the documentation names, and no others.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kube import Kubectl, needs_kubectl
from tests.integration.kubernetes_site import Step, wait
from tests.lab import inventory, settings
from tests.lab.cluster import layout, lifecycle
from tests.lab.harness import NAME
from tests.lab.settings import REPOSITORY

pytestmark = [pytest.mark.lab, needs_kubectl]

NODES = ("node1", "node2")
USER = "--user=nobody"


def documented_role() -> str:
    """The ClusterRole that the documentation has for users."""
    text = (REPOSITORY / "docs" / "kubernetes.md").read_text()
    (role,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", text, re.DOTALL)
    return str(role)


class Site:
    """A cluster with two nodes that nobody plays."""

    def __init__(self, place: Path, install: str) -> None:
        base = settings.from_environment()
        self.own = dataclasses.replace(base, name=f"{install[0]}{NAME[:9]}", base=place)
        self.install = install
        self.place = place
        self.kubectl = Kubectl(layout.kubeconfig(self.own))

    def up(self) -> None:
        lifecycle.up(self.own, lifecycle.Wish(install=self.install, nodes=False))
        self.kubectl("apply", "-f", "-", stdin=documented_role())
        self.kubectl("create", "clusterrolebinding", "it", "--clusterrole=bpfops-calico", USER)
        for node in NODES:
            labels = {"kubernetes.io/os": "linux"}
            self.apply("v1", "Node", {"name": node, "labels": labels})
            status = {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"}}
            patch = json.dumps({"status": {**status, "capacity": status["allocatable"]}})
            self.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", patch)
        wait(lambda: len(self.pods()) == len(NODES), "a pod for each node")
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        for pod in self.pods():
            where = ("pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"])
            patch = json.dumps({"status": ready})
            self.kubectl("patch", *where, "--subresource=status", "--type=merge", "-p", patch)
        wait(lambda: self.specs()["default"].get("bpfEnabled"), "eBPF mode")

    def apply(self, api: str, kind: str, metadata: Any, **more: Any) -> None:
        body = {"apiVersion": api, "kind": kind, "metadata": metadata, **more}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def pods(self) -> list[Any]:
        found = self.kubectl.json("pods", "-A", "-l", "k8s-app=calico-node")["items"]
        return [one for one in found if one["spec"].get("nodeName")]

    def specs(self) -> dict[str, Any]:
        found = self.kubectl.json("felixconfigurations")["items"]
        return {one["metadata"]["name"]: one["spec"] for one in found}

    def network(self) -> Any:
        return self.kubectl.json("installation", "default")["spec"]["calicoNetwork"]

    def control(self, *steps: Step, on: str = "all") -> str:
        role = "bpfops.calico._control"
        tasks = [
            {"ansible.builtin.include_role": {"name": role, "tasks_from": step}, "vars": given}
            for step, given in steps
        ]
        show = "is {{ calico_install_kind | default('') }} {{ control_notes | default([]) }}"
        tasks.append({"ansible.builtin.debug": {"msg": show}})
        play = self.place / "play.yml"
        play.write_text(json.dumps([{"hosts": on, "gather_facts": False, "tasks": tasks}]))
        words = {
            "calico_control": "kubernetes",
            "calico_kubeconfig": str(layout.kubeconfig(self.own)),
            "calico_kube_context": "nobody",
            "calico_felix_process": "^none$",
        }
        here = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
        hosts = self.place / "hosts.json"
        hosts.write_text(json.dumps({"all": {"hosts": dict.fromkeys(NODES, here)}}))
        command = [inventory.ansible_playbook(), str(play), "-i", str(hosts)]
        environment = inventory.ansible_environment()
        done = subprocess.run(
            [*command, "-e", json.dumps(words)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == 0, said
        return said


@pytest.fixture(params=["operator", "kubespray"])
def site(request: pytest.FixtureRequest, kube_programs: Path, tmp_path: Path) -> Iterator[Site]:
    assert kube_programs
    one = Site(tmp_path, request.param)
    try:
        one.up()
        yield one
    finally:
        lifecycle.down(one.own)


def test_each_install_kind_has_its_way_to_end_a_run(site: Site) -> None:
    mode: Step = ("configure", {"control_settings": {"bpfEnabled": "false"}})
    check: Step = ("check", {"control_fields": ["bpfEnabled"]})
    said = site.control(check, mode)
    assert f"is {site.install} " in said, said
    assert site.specs()["default"]["bpfEnabled"] is True
    assert {site.specs()[f"node.{node}"]["bpfEnabled"] for node in NODES} == {False}
    said = site.control(("conclude", {"calico_operator_timeout": 10}), on="node1")
    again = site.control(("conclude", {}), on="node1")
    assert "changed=3" in said, said
    assert "changed=0" in again, again
    assert set(site.specs()) == {"default"}
    assert site.specs()["default"]["bpfEnabled"] is False
    if site.install == "operator":
        assert site.network()["linuxDataplane"] == "Iptables"
        # It takes a mount away, and nobody plays the new pods.
        assert "The operator still replaces the pods of calico-node after 10 s" in said
    else:
        assert "kubespray writes bpfEnabled of FelixConfiguration default on each" in said

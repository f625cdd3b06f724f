# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of the lab for tests of the control: the role's steps on it, and kubectl to look."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration.kube import Kubectl
from tests.integration.node_info import bring_pyroute2
from tests.integration.resizing import run
from tests.lab import inventory
from tests.lab.harness import agent, filters, lab
from tests.lab.shell import wait_for
from tests.lab.traffic import control

SIZE = "bpfMapSizeConntrack"
Step = tuple[str, dict[str, Any]]
NAMESPACES = {"manifest": "kube-system", "operator": "calico-system"}
"""Where calico-node is, by install kind."""


def wait(condition: Callable[[], object], what: str) -> None:
    wait_for(lambda: bool(condition()), 180, what, 0.5)


def flows_go_on(seconds: float = 60) -> None:
    assert control.without_progress(seen.LAB, seconds) == []


def without_ebpf(nodes: tuple[str, ...]) -> bool:
    """No program at an interface and no map of Calico's is left on any of them."""
    pins = [path for node in nodes for path in seen.pins(node)]
    return not any("cali_" in path for path in pins) and not any(
        found for node in nodes for found in filters(node).values()
    )


class Site:
    """A cluster and how it is reached."""

    def __init__(self, hosts: Path, kubeconfig: str, namespace: str = "kube-system") -> None:
        self.hosts = hosts
        self.kubeconfig = kubeconfig
        self.kubectl = Kubectl(Path(kubeconfig))
        self.namespace = namespace

    def play(self, playbook: str, *, fails: bool = False, **variables: Any) -> str:
        """Run a playbook of the collection; what it prints, on one line where it has to fail."""
        given = {
            "calico_control": "kubernetes",
            "calico_kubeconfig": self.kubeconfig,
            "calico_felix_process": "^calico-node ",
            "calico_report_dir": str(self.hosts.parent / "report"),
            **variables,
        }
        command = [inventory.ansible_playbook(), f"bpfops.calico.{playbook}"]
        said = run([*command, "-i", str(self.hosts), "-e", json.dumps(given)], fails)
        assert "Traceback" not in said, said
        return " ".join(said.split()) if fails else said

    def again(self, nodes: tuple[str, ...], playbook: str, **variables: Any) -> None:
        """A further run changes nothing and restarts nothing."""
        before = self.who(nodes)
        said = self.play(playbook, **variables)
        recap = [line for line in said.splitlines() if "unreachable=" in line]
        assert recap
        assert all(" changed=0 " in line for line in recap), said
        assert self.who(nodes) == before

    def who(self, nodes: tuple[str, ...]) -> list[tuple[str, int]]:
        """Pod and felix's process of each node."""
        return [(self.uid(node), int(agent(node)["pid"])) for node in nodes]

    def control(self, *steps: Step, on: str = "all", check: bool = False, **words: Any) -> str:
        """Include the role's steps in one play; what ansible-playbook prints, on one line."""
        tasks = [
            {
                "name": step,
                "ansible.builtin.include_role": {
                    "name": "bpfops.calico._control",
                    "tasks_from": step,
                },
                "vars": given,
            }
            for step, given in steps
        ]
        show = "found {{ control_found | default({}) | to_json }} {{ control_notes | default([]) }}"
        tasks.append({"name": "show", "ansible.builtin.debug": {"msg": show}})
        play = self.hosts.with_name("play.yml")
        play.write_text(json.dumps([{"hosts": on, "gather_facts": False, "tasks": tasks}]))
        known = {"calico_control": "kubernetes", "calico_felix_process": "^calico-node ", **words}
        command = [inventory.ansible_playbook(), str(play), "-i", str(self.hosts)]
        command += ["-e", json.dumps(known), *["--check"] * check]
        environment = {"KUBECONFIG": self.kubeconfig, **inventory.ansible_environment()}
        environment["KUBECONFIG"] = self.kubeconfig
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        said = " ".join((done.stdout + done.stderr).replace('\\"', '"').split())
        assert "Traceback" not in said, said
        return said

    def get(self, *words: str) -> Any:
        return self.kubectl.json(*words)

    def apply(self, body: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    def specs(self) -> dict[str, Any]:
        """spec of each FelixConfiguration."""
        found = self.get("felixconfigurations")["items"]
        return {one["metadata"]["name"]: one["spec"] for one in found}

    def modes(self) -> dict[str, bool]:
        """bpfEnabled of each FelixConfiguration that has it."""
        specs = self.specs().items()
        return {name: spec["bpfEnabled"] for name, spec in specs if "bpfEnabled" in spec}

    def proxies(self) -> int:
        """How many pods of kube-proxy there are."""
        return len(self.get("pods", "-n", "kube-system", "-l", "k8s-app=kube-proxy")["items"])

    def settled(self, nodes: tuple[str, ...]) -> None:
        self.kubectl("rollout", "status", "daemonset/calico-node", "-n", self.namespace)
        wait(lambda: all(agent(node)["ready"] for node in nodes), "felix on all nodes")

    def sizes(self) -> dict[str, Any]:
        """The size that each FelixConfiguration sets."""
        return {name: spec.get(SIZE) for name, spec in self.specs().items()}

    def pod(self, node: str) -> Any:
        fields = f"--field-selector=spec.nodeName={node}"
        where = ("-n", self.namespace, "-l", "k8s-app=calico-node")
        found = self.get("pods", *where, fields)["items"]
        assert len(found) == 1
        return found[0]

    def uid(self, node: str) -> str:
        return str(self.pod(node)["metadata"]["uid"])


@contextmanager
def cluster(
    made: pytest.TempPathFactory, install: str, release: str, *shape: str
) -> Iterator[Site]:
    """Nodes whose Calico was installed that way, with pyroute2; they are taken down in the end."""
    try:
        lab("up", *shape, "--release", release)
        lab("cluster", "up", "--install", install, "--release", release)
        hosts = made.mktemp("inventory") / "hosts.yml"
        hosts.write_text(lab("inventory"))
        bring_pyroute2(hosts)
        yield Site(hosts, lab("cluster", "kubeconfig").strip(), NAMESPACES[install])
    finally:
        lab("down")

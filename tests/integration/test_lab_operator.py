# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's nodes in a cluster that an operator keeps: what it owns comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.kube import Kubectl, needs_kubectl
from tests.lab.harness import agent, filters, lab
from tests.lab.shell import wait_for

pytestmark = [pytest.mark.lab, needs_kubectl]
FELIX = ("felixconfigurations.crd.projectcalico.org", "default")
INSTALLATION = ("installation", "default")
DAEMON_SET = ("daemonset", "calico-node", "-n", "calico-system")
OPERATOR = ("deployment", "tigera-operator", "-n", "tigera-operator")


@pytest.fixture(scope="module")
def kubectl(kube_programs: Path) -> Iterator[Kubectl]:
    assert kube_programs
    lab("up", "--nodes", "2", "--pods", "1", "--release", "3.27.3")
    lab("cluster", "up", "--install", "operator", "--release", "3.27.3")
    yield Kubectl(Path(lab("cluster", "kubeconfig").strip()))
    lab("down")


def until(condition: Any, what: str) -> None:
    wait_for(condition, 120, what, 0.3)


def condition(kubectl: Kubectl, kind: str) -> dict[str, Any]:
    """A condition of the TigeraStatus calico."""
    status = kubectl.json("tigerastatus", "calico").get("status", {})
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})


def degraded(kubectl: Kubectl) -> bool:
    return condition(kubectl, "Degraded").get("status") == "True"


def install(kubectl: Kubectl, **spec: Any) -> None:
    assert kubectl.patch(*INSTALLATION, spec=spec).returncode == 0


def version(kubectl: Kubectl) -> Any:
    return kubectl.json(*INSTALLATION).get("status", {}).get("calicoVersion")


def images(kubectl: Kubectl) -> set[str]:
    pods = kubectl.json("pods", "-n", "calico-system", "-l", "k8s-app=calico-node")["items"]
    return {one["spec"]["containers"][0]["image"] for one in pods}


def test_another_operator_brings_another_release(kubectl: Kubectl) -> None:
    assert "bpfEnabled" not in kubectl.json(*FELIX)["spec"]
    lab("cluster", "crds", "3.29.7")
    kubectl("set", "image", *OPERATOR, "tigera-operator=quay.io/tigera/operator:v1.36.16")
    until(lambda: version(kubectl) == "v3.29.7", "the new operator")
    kubectl("rollout", "status", *DAEMON_SET, "--timeout=150s")
    assert images(kubectl) == {"quay.io/calico/node:v3.29.7"}
    until(lambda: condition(kubectl, "Progressing").get("status") == "False", "their readiness")
    assert [agent(node)["release"] for node in ("node1", "node2")] == ["3.29.7", "3.29.7"]
    default = kubectl.json(*FELIX)
    assert default["spec"]["bpfEnabled"] is True
    assert default["metadata"]["annotations"]["operator.tigera.io/bpfEnabled"] == "true"
    assert default["spec"]["nftablesMode"] == "Disabled"


def test_edits_of_the_daemon_set_are_reverted(kubectl: Kubectl) -> None:
    strategy = {"type": "OnDelete", "rollingUpdate": None}
    assert kubectl.patch(*DAEMON_SET, spec={"updateStrategy": strategy}).returncode == 0
    kinds = ("-o", "jsonpath={.spec.updateStrategy.type}")
    until(lambda: kubectl("get", *DAEMON_SET, *kinds) == "RollingUpdate", "the operator's strategy")


def test_on_delete_is_refused(kubectl: Kubectl) -> None:
    install(kubectl, nodeUpdateStrategy={"type": "OnDelete"})
    until(lambda: degraded(kubectl), "the refusal")
    assert "OnDelete" in condition(kubectl, "Degraded")["message"]
    install(kubectl, nodeUpdateStrategy=None)
    until(lambda: not degraded(kubectl), "the operator to go on")


def test_a_foreign_bpf_enabled_stops_the_operator(kubectl: Kubectl) -> None:
    assert kubectl.patch(*FELIX, spec={"bpfEnabled": False}).returncode == 0
    until(lambda: degraded(kubectl), "the refusal")
    assert "modified" in condition(kubectl, "Degraded")["message"]
    assert kubectl.patch(*FELIX, spec={"bpfEnabled": True}).returncode == 0
    until(lambda: not degraded(kubectl), "the operator to go on")
    until(lambda: filters("node1") and all(filters("node1").values()), "filters of node1")


def test_another_dataplane_switches_all_nodes_off(kubectl: Kubectl) -> None:
    install(kubectl, calicoNetwork={"linuxDataplane": "Iptables"})
    until(lambda: not any(filters("node1").values()), "node1 to be without filters")
    until(lambda: not any(filters("node2").values()), "node2 to be without filters")
    assert kubectl.json(*FELIX)["spec"]["bpfEnabled"] is False

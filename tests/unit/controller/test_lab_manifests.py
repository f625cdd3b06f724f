# SPDX-License-Identifier: GPL-3.0-or-later
"""How calico-node of the three install kinds differs in the lab's cluster."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.cluster import layout, manifests
from tests.lab.errors import LabError

BY_ENVIRONMENT = {"name": "FELIX_BPFENABLED", "value": "true"}


@pytest.mark.parametrize(
    ("install", "namespace", "registry", "init", "by_environment", "grace"),
    [
        ("manifest", "kube-system", "docker.io", "ebpf-bootstrap", True, 0),
        ("kubespray", "kube-system", "quay.io", "mount-bpffs", False, 0),
        ("operator", "calico-system", "quay.io", "ebpf-bootstrap", False, 5),
    ],
)
def test_daemon_set(
    install: str, namespace: str, registry: str, init: str, by_environment: bool, grace: int
) -> None:
    made = manifests.daemon_set(install, "3.31.7")
    assert made["metadata"]["namespace"] == namespace
    pod = made["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["initContainers"]] == ["upgrade-ipam", "install-cni", init]
    main = pod["containers"][0]
    assert main["image"] == f"{registry}/calico/node:v3.31.7"
    assert (BY_ENVIRONMENT in main["env"]) == by_environment
    assert pod["terminationGracePeriodSeconds"] == grace


def default(install: str) -> dict[str, Any]:
    state = layout.State(install, "3.29.7", "crd.projectcalico.org/v1", 1, 2, 3, "")
    found: dict[str, Any] = manifests.felix_configuration(state)["spec"]
    return found


def test_kubespray_enables_the_dataplane_in_default() -> None:
    assert default("kubespray")["bpfEnabled"] is True
    assert "bpfEnabled" not in default("manifest")
    assert "bpfEnabled" not in default("operator")


def test_an_operator_of_an_unknown_release_is_refused() -> None:
    with pytest.raises(LabError, match=r"--release is '3\.26\.4'; with an operator use one of 3"):
        manifests.operator_deployment("3.26.4")

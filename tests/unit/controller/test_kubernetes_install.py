# SPDX-License-Identifier: GPL-3.0-or-later
"""How Calico was installed, by what the API says, and what is missing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.cluster import (
    cluster,
    install,
    node_of,
)
from tests.unit.controller.kubernetes_objects import (
    by_operator,
    daemon_set,
    installation,
    pod,
    read,
)

OWNED = daemon_set("elsewhere")
OWNED["metadata"]["ownerReferences"] = [{"kind": "Installation"}]
BOTH = [daemon_set("kube-system"), daemon_set("calico-system")]


@pytest.mark.parametrize(
    ("parts", "kind", "namespace"),
    [
        ({}, "manifest", "kube-system"),
        ({"installations": [installation()]}, "manifest", "kube-system"),
        ({"config_maps": [{"data": {"cluster_type": "k8s,bgp"}}]}, "manifest", "kube-system"),
        (
            {"config_maps": [{"data": {"cluster_type": "kubespray,bgp"}}]},
            "kubespray",
            "kube-system",
        ),
        (
            {"daemon_sets": [daemon_set(environment={"CLUSTER_TYPE": "kubespray"})]},
            "kubespray",
            "kube-system",
        ),
        (
            {"daemon_sets": [daemon_set("calico-system")], "installations": [installation()]},
            "operator",
            "calico-system",
        ),
        ({"daemon_sets": [daemon_set("calico-system")]}, "manifest", None),
        ({"daemon_sets": [OWNED], "namespace": "elsewhere"}, "operator", "elsewhere"),
        (
            {"daemon_sets": BOTH, "namespace": "calico-system", "installations": [installation()]},
            "operator",
            "calico-system",
        ),
        ({"daemon_sets": BOTH, "install_kind": "operator"}, "operator", "calico-system"),
        ({"install_kind": "kubespray"}, "kubespray", "kube-system"),
    ],
)
def test_kind_and_namespace(parts: dict[str, Any], kind: str, namespace: str | None) -> None:
    if namespace is None:
        with pytest.raises(RefusedError, match=f"installation by {kind} has; .*calico_namespace"):
            install(read(**parts))
    else:
        assert install(read(**parts))[:2] == (kind, namespace)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"daemon_sets": []}, "No namespace of this cluster has a DaemonSet calico-node"),
        ({"daemon_sets": BOTH}, "a DaemonSet calico-node in each of calico-system, kube-system"),
        (
            {"install_kind": "helm"},
            "calico_install_kind: 'helm' is none of manifest, operator, kub",
        ),
        ({"install_kind": "operator"}, "no DaemonSet calico-system/calico-node.*Seen: kube-system"),
        ({"crds": []}, "no CustomResourceDefinition for FelixConfiguration"),
    ],
)
def test_what_is_missing_is_named(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        cluster(read(**parts))


def test_an_unknown_node_is_named_with_those_that_are_known() -> None:
    with pytest.raises(
        RefusedError, match=r"calico_node_name: web is no node.* has node1, node2\."
    ):
        node_of(cluster(read()), "web")


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("docker.io/calico/node:v3.29.7", "3.29.7"),
        ("registry:5000/calico/node:v3.30.7-arm64", "3.30.7"),
        ("quay.io/calico/node:v3.31.2@sha256:00", "3.31.2"),
        ("registry:5000/calico/node", "None"),
        ("calico/node@sha256:0011", "None"),
    ],
)
def test_the_release_is_read_from_the_tag(image: str, release: str) -> None:
    values = cluster(by_operator(pods=[pod("node1", image=image)]))
    assert str(node_of(values, "node1").release) == release


def test_nothing_that_was_read_is_changed() -> None:
    whole = by_operator()
    kept = copy.deepcopy(whole)
    cluster(whole)
    assert whole == kept

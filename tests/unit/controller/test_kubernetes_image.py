# SPDX-License-Identifier: GPL-3.0-or-later
"""Another release of Calico: the images of the DaemonSet, or the operator's own."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import steps
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes.image import (
    operator_release,
)
from tests.unit.controller.kubernetes_objects import Object, by_operator, daemon_set, pod, read


def with_images(**images: str) -> Object:
    one = daemon_set()
    spec = one["spec"]["template"]["spec"]
    spec["containers"][0]["image"] = "quay.io/calico/node:v3.28.5@sha256:00"
    spec["initContainers"] = [{"name": name, "image": image} for name, image in images.items()]
    one["spec"]["updateStrategy"] = {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 1},
    }
    return one


def test_the_image_changes_with_all_that_belong_to_it() -> None:
    whole = read(
        daemon_sets=[with_images(cni="registry:5000/calico/cni:v3.28.5", other="busybox:1.36")]
    )
    patch = steps.release(whole, "3.29.7")["patch"]
    assert patch["spec"]["template"]["spec"] == {
        "containers": [{"name": "calico-node", "image": "quay.io/calico/node:v3.29.7"}],
        "initContainers": [
            {"name": "cni", "image": "registry:5000/calico/cni:v3.29.7"},
            {"name": "other", "image": "busybox:1.36"},
        ],
    }
    assert patch["spec"]["updateStrategy"] == {"type": "OnDelete", "rollingUpdate": None}
    kept = json.loads(patch["metadata"]["annotations"]["bpfops.calico/strategy"])
    assert kept == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}


def test_an_image_that_is_so_already_is_left() -> None:
    assert steps.release(read(), "v3.29.7") == {
        "patch": None,
        "by_operator": False,
        "current": True,
        "nodes": 1,
    }
    rolled = daemon_set()
    rolled["status"] = {"desiredNumberScheduled": 6}
    assert steps.release(read(daemon_sets=[rolled]), "v3.29.7")["nodes"] == 6
    patch = steps.release(read(), "v3.30.7")["patch"]
    assert "updateStrategy" not in patch["spec"]
    assert "annotations" not in patch["metadata"]
    with pytest.raises(RefusedError, match="calico_version: 'newest'"):
        steps.release(read(), "newest")


def operator(image: str = "quay.io/tigera/operator:v1.36.16") -> Object:
    meta = {"name": "tigera-operator", "namespace": "tigera-operator", "resourceVersion": "4"}
    pod = {"containers": [{"name": "tigera-operator", "image": image}]}
    return {"metadata": meta, "spec": {"template": {"spec": pod}}}


@pytest.mark.parametrize(
    ("image", "version", "own", "wanted"),
    [
        ("quay.io/tigera/operator:v1.36.16", "v3.30.7", "", "quay.io/tigera/operator:v1.38.13"),
        ("quay.io/tigera/operator:v1.38.13", "3.30.7", "", None),
        ("host:5000/operator:v1.36.16@sha256:0", "3.30.7", "v1.38.2", "host:5000/operator:v1.38.2"),
    ],
)
def test_the_operator_gets_its_own_release(
    image: str, version: str, own: str, wanted: str | None
) -> None:
    whole = by_operator(deployments=[operator(image)])
    answer = steps.release(whole, version, own)
    assert answer["by_operator"] is True
    containers = (answer["patch"] or {}).get("spec", {}).get("template", {}).get("spec", {})
    assert containers == (
        {"containers": [{"name": "tigera-operator", "image": wanted}]} if wanted else {}
    )


def test_an_operator_that_cannot_be_changed_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"which release of the operator brings 3\.30\.6"):
        steps.release(by_operator(deployments=[operator()]), "3.30.6")
    with pytest.raises(RefusedError, match="no Deployment tigera-operator/tigera-operator"):
        steps.release(by_operator(), "3.30.7")


def test_the_strategy_comes_back_when_all_pods_are_of_the_new_template() -> None:
    one = with_images()
    one["metadata"]["annotations"] = {"bpfops.calico/strategy": '{"type": "RollingUpdate"}'}
    template = one["spec"]["template"]["spec"]["containers"][0]["image"]
    new = [pod("node1", image=template), pod("node2", image=template)]
    old = [pod("node1", image=template), pod("node2")]
    assert steps.concluded(read(daemon_sets=[one], pods=old))["daemon_set"] is None
    patch = steps.concluded(read(daemon_sets=[one], pods=new))["daemon_set"]
    assert patch["spec"] == {"updateStrategy": {"type": "RollingUpdate"}}
    assert patch["metadata"]["annotations"] == {"bpfops.calico/strategy": None}
    assert steps.concluded(read(daemon_sets=[with_images()], pods=new))["daemon_set"] is None


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("quay.io/tigera/operator:v1.36.16", "1.36.16"),
        ("mirror:5000/operator:1.40.15@sha256:00", "1.40.15"),
        ("quay.io/tigera/operator:newest", ""),
    ],
)
def test_the_operators_release_is_told_by_its_tag(image: str, release: str) -> None:
    assert operator_release([operator(image)]) == release
    assert operator_release([]) == ""

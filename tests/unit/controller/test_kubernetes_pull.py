# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node has the images of a release, and what its kubelet says of those it pulls."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import pull
from tests.unit.controller.kubernetes_objects import Object, daemon_set, node, pod, read

NEW = "docker.io/calico/node:v3.30.7"
CNI = "registry:5000/calico/cni:v3.30.7"


def whole(*listed: str, policy: str = "", **more: Any) -> Object:
    one = daemon_set()
    spec = one["spec"]["template"]["spec"]
    spec["initContainers"] = [
        {"name": "install-cni", "image": "registry:5000/calico/cni:v3.29.7"},
        {"name": "mount-bpffs", "image": "docker.io/calico/node:v3.29.7"},
        {"name": "other", "image": "busybox:1.36"},
    ]
    spec |= {"tolerations": [{"operator": "Exists"}], "priorityClassName": "system-node-critical"}
    spec |= {"imagePullSecrets": [{"name": "key"}], "serviceAccountName": "calico-node"}
    if policy:
        spec["containers"][0]["imagePullPolicy"] = policy
    first = node("node1")
    first["status"] = {"images": [{"names": ["x@sha256:00", name]} for name in listed]}
    second = node("node2")
    second["status"] = {"images": [{"names": [NEW, CNI]}]}
    return read(daemon_sets=[one], nodes=[first, second], **more)


@pytest.mark.parametrize(
    ("listed", "policy", "missing"),
    [
        ((), "", [CNI, NEW]),
        (("docker.io/calico/node:v3.29.7", CNI), "", [NEW]),
        ((NEW, CNI), "", []),
        ((NEW, CNI), "IfNotPresent", []),
        ((NEW, CNI), "Always", [NEW]),
    ],
)
def test_what_the_node_does_not_list_is_missing(
    listed: tuple[str, ...], policy: str, missing: list[str]
) -> None:
    answer = pull.pull(whole(*listed, policy=policy), "node1", "v3.30.7", 300)
    assert answer["missing"] == missing
    images = [
        one["image"]
        for one in (answer["pod"] or {"spec": {"containers": []}})["spec"]["containers"]
    ]
    assert images == missing


def test_a_short_name_in_the_daemon_set_is_found_in_the_list() -> None:
    there = whole("docker.io/calico/node:v3.30.7", CNI)
    there["daemon_sets"][0]["spec"]["template"]["spec"]["containers"][0]["image"] = "calico/node:v1"
    there["daemon_sets"][0]["spec"]["template"]["spec"]["initContainers"].pop(1)
    assert pull.pull(there, "node1", "v3.30.7", 300)["missing"] == []


def test_a_pod_that_has_the_release_needs_no_image() -> None:
    there = whole(pods=[pod("node1", image="calico/node:v3.30.7")])
    assert pull.pull(there, "node1", "3.30.7", 300) == {"missing": [], "pod": None}
    assert pull.pull(there, "node1", "3.31.7", 300)["missing"]
    with pytest.raises(RefusedError, match="node9 is no node of this cluster"):
        pull.pull(there, "node9", "3.30.7", 300)


def test_the_pod_is_pulled_for_as_calico_node_and_does_nothing() -> None:
    body = pull.pull(whole(policy="Always"), "node1", "3.30.7", 300)["pod"]
    spec = body["spec"]
    assert spec["nodeName"] == "node1"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "key"}]
    assert spec["serviceAccountName"] == "calico-node"
    assert (spec["hostNetwork"], spec["restartPolicy"]) == (True, "Never")
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 360
    assert "priorityClassName" not in spec
    assert "volumes" not in spec
    assert [one["imagePullPolicy"] for one in spec["containers"]] == ["IfNotPresent", "Always"]
    assert {tuple(one["command"]) for one in spec["containers"]} == {("/bin/true",)}
    assert body["metadata"]["namespace"] == "kube-system"
    # No DaemonSet may take it for its own.
    assert "k8s-app" not in body["metadata"]["labels"]
    other = pull.pull(whole(policy="Always"), "node2", "3.30.7", 300)["pod"]
    assert other["metadata"]["name"] != body["metadata"]["name"]


def test_names_are_compared_as_runtimes_list_them() -> None:
    assert pull.reference("calico/node:v1") == "docker.io/calico/node:v1"
    assert pull.reference("node:v1") == "docker.io/library/node:v1"
    assert pull.reference("index.docker.io/calico/node:v1") == "docker.io/calico/node:v1"
    for full in ("quay.io/calico/node:v1", "host:5000/node:v1", "localhost/node:v1"):
        assert pull.reference(full) == full


def at(*states: Object, **status: Any) -> list[Object]:
    """The pod with two images, and what kubelet says of them."""
    containers = [
        {"name": f"image-{number}", "image": image} for number, image in enumerate((CNI, NEW))
    ]
    told = [{"name": f"image-{number}", "state": state} for number, state in enumerate(states)]
    return [{"spec": {"containers": containers}, "status": {**status, "containerStatuses": told}}]


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, "message": message}}


ENDED = {"terminated": {"exitCode": 0}}


@pytest.mark.parametrize(
    ("pods", "done", "says"),
    [
        (at(ENDED, {"running": {}}), True, ""),
        (at(ENDED, waiting("RunContainerError", "no such file")), True, ""),
        (at(ENDED, waiting("CrashLoopBackOff")), True, ""),
        (
            at(ENDED, waiting("ContainerCreating")),
            False,
            f"node1 has not pulled {NEW}: no reason given.",
        ),
        (at(ENDED), False, f"node1 has not pulled {NEW}: no reason given."),
        (at(), False, f"node1 has not pulled {CNI}: no reason given."),
        (
            at(waiting("ContainerCreating"), waiting("ErrImagePull", "not\n found.")),
            True,
            f"node1 cannot pull {NEW}: ErrImagePull, not found.",
        ),
        (
            at(waiting("ImagePullBackOff"), ENDED),
            True,
            f"node1 cannot pull {CNI}: ImagePullBackOff, kubelet gives no reason.",
        ),
        (
            at(phase="Failed", reason="OutOfpods", message="Node didn't have enough resource"),
            True,
            f"node1 has not pulled {CNI}: OutOfpods Node didn't have enough resource.",
        ),
        ([], True, "The pod that was to pull images on node1 was removed."),
    ],
)
def test_what_kubelet_says_is_told(pods: list[Object], done: bool, says: str) -> None:
    assert pull.pulled(pods, "node1") == {"done": done, "says": says}


def test_a_long_message_is_cut() -> None:
    says = pull.pulled(at(waiting("ErrImagePull", "x" * 1000)), "node1")["says"]
    assert len(says) < 400
    assert says.endswith("x….")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node can have the images of a release, asked before its pod is replaced.

kubelet lists images in Node.status.images, the 50 largest by default (``nodeStatusMaxImages``), so
that what is not listed may be there nevertheless. Then a pod that does nothing is the way to know.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .cluster import Object, cluster, node_of
from .image import runs, tagged

FAILS = frozenset(
    (
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
        "SignatureValidationFailed",
    )
)
"""Reasons of a waiting container whose image is not to be had (kubelet's pkg/kubelet/images)."""
_BEFORE = frozenset(("", "ContainerCreating", "PodInitializing"))
_HUBS = frozenset(("index.docker.io", "registry-1.docker.io"))
_LONGEST = 300  # characters of kubelet's message


def pull(read: Mapping[str, Any], node: str, version: str, seconds: int) -> dict[str, Any]:
    """The images of the release that the node does not list, and a pod that has it pull them."""
    values = cluster(read)
    one = node_of(values, node)
    template = values.install.daemon_set["spec"]["template"]["spec"]
    if one.pod and runs(one.pod, version):
        return {"missing": [], "pod": None}
    listed = {reference(name) for name in _listed(read, node)}
    policies = dict(_wanted(template, version))
    missing = [
        image
        for image, policy in policies.items()
        if policy == "Always" or reference(image) not in listed
    ]
    containers = [_container(number, each, policies) for number, each in enumerate(missing)]
    body = _pod(template, values.install.namespace, node, int(seconds), containers)
    return {"missing": missing, "pod": body if missing else None}


def pulled(pods: Sequence[Object], node: str) -> dict[str, Any]:
    """Whether it is ``done``, and what ``says`` against the images, if something does."""
    if not pods:
        return {"done": True, "says": f"The pod that was to pull images on {node} was removed."}
    found = pods[0].get("status") or {}
    states = {one["name"]: one for one in found.get("containerStatuses") or []}
    open_ones = []
    for container in pods[0]["spec"]["containers"]:
        state = (states.get(container["name"]) or {}).get("state") or {}
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason") or ""
        if reason in FAILS:
            why = f"{reason}, {_short(waiting.get('message') or 'kubelet gives no reason')}"
            return {"done": True, "says": f"{node} cannot pull {container['image']}: {why}"}
        if not state or (waiting and reason in _BEFORE):
            open_ones.append(container["image"])
    if not open_ones:
        return {"done": True, "says": ""}
    why = " ".join(filter(None, (found.get("reason"), found.get("message")))) or "no reason given"
    ended = found.get("phase") == "Failed"
    return {"done": ended, "says": f"{node} has not pulled {open_ones[0]}: {_short(why)}"}


def reference(name: str) -> str:
    """An image's name with its registry, as container runtimes list it."""
    first, slash, rest = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if first in _HUBS:
        return f"docker.io/{rest}"
    is_host = "." in first or ":" in first or first == "localhost"
    return name if is_host else f"docker.io/{name}"


def _listed(read: Mapping[str, Any], node: str) -> Iterator[str]:
    for one in read["nodes"]:
        if one["metadata"]["name"] == node:
            for image in (one.get("status") or {}).get("images") or []:
                yield from image.get("names") or []


def _wanted(template: Object, version: str) -> Iterator[tuple[str, str]]:
    """Calico's images of the release with their pull policies, init containers first."""
    for one in [*(template.get("initContainers") or []), *template["containers"]]:
        image = tagged(one.get("image", ""), version)
        if image:
            yield image, one.get("imagePullPolicy") or "IfNotPresent"


def _container(number: int, image: str, policies: Mapping[str, str]) -> Object:
    """It does nothing; where the image has no such program, it was pulled all the same."""
    return {
        "name": f"image-{number}",
        "image": image,
        "imagePullPolicy": policies[image],
        "command": ["/bin/true"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _pod(
    template: Object, namespace: str, node: str, seconds: int, containers: list[Object]
) -> Object:
    """With what calico-node's pod is pulled by, and without a network of its own.

    It has no priority, so that kubelet evicts nobody for it.
    """
    same = ("imagePullSecrets", "serviceAccountName", "tolerations")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"bpfops-pull-{hashlib.sha256(node.encode()).hexdigest()[:10]}",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "bpfops.calico"},
        },
        "spec": {
            **{key: template[key] for key in same if template.get(key)},
            "nodeName": node,
            "hostNetwork": True,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "activeDeadlineSeconds": seconds + 60,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": containers,
        },
    }


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return (line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…").rstrip(".") + "."

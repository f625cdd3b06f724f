# SPDX-License-Identifier: GPL-3.0-or-later
"""Another release in the DaemonSet calico-node, which a node gets when its pod is deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...module_utils._calico.versions import parse_version
from ...module_utils._errors import RefusedError
from .cluster import OPERATOR, Cluster, Object

STRATEGY = "bpfops.calico/strategy"
"""Annotation of the DaemonSet: its update strategy of before, put back when all nodes are done."""
_OPERATOR = re.compile(r"^((?:[^@]*/)?operator):[^:/@]+(?:@.*)?$")
_TAGGED_OPERATOR = re.compile(r"^(?:[^@]*/)?operator:v?(\d+\.\d+\.\d+)(?:@.*)?$")
_IMAGE = re.compile(r"^(?P<name>(?:[^@]*/)?(?:node|cni|calico-node|calico-cni)):[^:/@]+(?:@.*)?$")


OPERATORS = {
    "3.27.3": "1.32.7",
    "3.28.5": "1.34.13",
    "3.29.7": "1.36.16",
    "3.30.7": "1.38.13",
    "3.31.7": "1.40.15",
    "3.32.1": "1.42.3",
}
"""Release of the operator that brings a release of Calico (ops 2.1)."""


def image(
    values: Cluster, version: str, operators: Sequence[Object] = (), operator_version: str = ""
) -> Mapping[str, Any] | None:
    """The patch to a release, strategic or merge; None when all is so. Raises RefusedError.

    ``operators``: the operator's Deployment; ``operator_version``: its release where no fact tells.
    """
    if values.install.kind == OPERATOR:
        return _operator(version, operators, operator_version)
    where = values.install
    tag = f"v{parse_version(version, 'calico_version')}"
    pod = where.daemon_set["spec"]["template"]["spec"]
    found = {
        kind: [
            {"name": one["name"], "image": _tagged(one.get("image", ""), tag)}
            for one in pod.get(kind) or []
        ]
        for kind in ("containers", "initContainers")
    }
    old = [one.get("image") for kind in found for one in pod.get(kind) or []]
    new = [one["image"] for kind in found for one in found[kind]]
    if old == new:
        return None
    strategy = where.daemon_set["spec"].get("updateStrategy") or {"type": "RollingUpdate"}
    patch: dict[str, Any] = {
        "template": {"spec": {kind: ones for kind, ones in found.items() if ones}}
    }
    meta: dict[str, Any] = {
        "name": where.daemon_set["metadata"]["name"],
        "namespace": where.namespace,
        "resourceVersion": where.daemon_set["metadata"]["resourceVersion"],
    }
    if strategy.get("type") != "OnDelete":
        meta["annotations"] = {STRATEGY: json.dumps(strategy, sort_keys=True)}
        patch["updateStrategy"] = {"type": "OnDelete", "rollingUpdate": None}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": patch}


def _operator(
    version: str, operators: Sequence[Object], operator_version: str
) -> Mapping[str, Any] | None:
    """The operator's own release, which decides Calico's, and rolls all nodes by itself."""
    wanted = str(parse_version(version, "calico_version"))
    release = operator_version or OPERATORS.get(wanted, "")
    if not release:
        raise RefusedError(
            f"calico_version: which release of the operator brings {wanted} is not known here; "
            f"name it by calico_operator_version, or take one of {', '.join(OPERATORS)}."
        )
    if not operators:
        raise RefusedError("There is no Deployment tigera-operator/tigera-operator to be changed.")
    (one,) = operators
    containers = one["spec"]["template"]["spec"]["containers"]
    new = [
        {"name": each["name"], "image": _OPERATOR.sub(rf"\1:v{release.lstrip('v')}", each["image"])}
        for each in containers
    ]
    if [each["image"] for each in new] == [each["image"] for each in containers]:
        return None
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {key: one["metadata"][key] for key in ("name", "namespace", "resourceVersion")},
        "spec": {"template": {"spec": {"containers": new}}},
    }


def operator_release(operators: Sequence[Object]) -> str:
    """The release of the operator's Deployment, such as 1.40.15; nothing where no tag tells it."""
    pods = [one["spec"]["template"]["spec"] for one in operators]
    found = [_TAGGED_OPERATOR.match(image) for pod in pods for image in _images(pod)]
    return next((match[1] for match in found if match), "")


def scheduled(values: Cluster) -> int:
    """How many nodes calico-node shall run on, at least the one that is looked at."""
    status = values.install.daemon_set.get("status") or {}
    return max(1, int(status.get("desiredNumberScheduled") or 0))


def runs(pod: Object, version: str) -> bool:
    """Whether all of Calico's images of a pod have this release."""
    tag = f"v{parse_version(version, 'calico_version')}"
    images = _images(pod["spec"])
    return images == [_tagged(one, tag) for one in images]


def strategy_back(values: Cluster) -> Mapping[str, Any] | None:
    """The patch to the update strategy of before, once every pod is of the new template."""
    one = values.install.daemon_set
    kept = (one["metadata"].get("annotations") or {}).get(STRATEGY)
    wanted = _images(one["spec"]["template"]["spec"])
    pods = [node.pod for node in values.nodes.values() if node.pod]
    if not kept or any(_images(pod["spec"]) != wanted for pod in pods):
        return None
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": one["metadata"]["name"],
            "namespace": values.install.namespace,
            "resourceVersion": one["metadata"]["resourceVersion"],
            "annotations": {STRATEGY: None},
        },
        "spec": {"updateStrategy": json.loads(kept)},
    }


def tagged(name: str, version: str) -> str:
    """One of Calico's images with the release's tag; empty for another's."""
    tag = f"v{parse_version(version, 'calico_version')}"
    return _tagged(name, tag) if _IMAGE.match(name) else ""


def _images(spec: Mapping[str, Any]) -> list[str]:
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return [one.get("image", "") for one in containers]


def _tagged(name: str, tag: str) -> str:
    """The image with another tag, where it is one of Calico's."""
    match = _IMAGE.match(name)
    return f"{match['name']}:{tag}" if match else name

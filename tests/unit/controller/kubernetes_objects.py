# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of a cluster as its API gives them, for tests of what the control decides."""

from __future__ import annotations

import copy
from typing import Any

Object = dict[str, Any]
API = "crd.projectcalico.org/v1"
SCHEMA = {
    "bpfEnabled": {"type": "boolean"},
    "bpfLogLevel": {"type": "string"},
    "bpfLogFilters": {"type": "object"},
    "bpfMapSizeConntrack": {"type": "integer"},
    "bpfConnectTimeLoadBalancing": {"type": "string", "enum": ["TCP", "Enabled", "Disabled"]},
    "bpfExcludeCIDRsFromNAT": {"type": "array"},
    "nftablesMode": {"type": "string"},
    "nodeSelector": {"type": "string"},
}


def felix(name: str, spec: Object, annotations: Object | None = None, created: str = "") -> Object:
    """A FelixConfiguration."""
    meta: Object = {"name": name, "uid": f"uid-{name}", "resourceVersion": "7"}
    if annotations:
        meta["annotations"] = annotations
    if created:
        meta["creationTimestamp"] = created
    return {"apiVersion": API, "kind": "FelixConfiguration", "metadata": meta, "spec": spec}


def template(environment: Object, image: str = "docker.io/calico/node:v3.29.7") -> Object:
    """Pod template of calico-node; a value of None comes from elsewhere."""
    variables = [
        {"name": key, "valueFrom": {}} if value is None else {"name": key, "value": value}
        for key, value in environment.items()
    ]
    mounts = [{"name": "bpffs", "mountPath": "/sys/fs/bpf"}]
    container = {"name": "calico-node", "image": image, "env": variables, "volumeMounts": mounts}
    return {"spec": {"containers": [container]}}


def daemon_set(namespace: str = "kube-system", environment: Object | None = None) -> Object:
    return {
        "metadata": {"name": "calico-node", "namespace": namespace, "resourceVersion": "3"},
        "spec": {"template": template(environment or {}), "updateStrategy": {"type": "OnDelete"}},
    }


def node(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}}


def pod(on: str, environment: Object | None = None, image: str = "calico/node:v3.29.7") -> Object:
    spec = template(environment or {}, image)["spec"]
    return {"metadata": {"name": f"calico-node-{on}"}, "spec": {**spec, "nodeName": on}}


def read(**more: Any) -> Object:
    """All that the role reads, of two nodes installed by manifest; ``more`` replaces parts."""
    crd = {
        "metadata": {"name": "felixconfigurations.crd.projectcalico.org"},
        "spec": {
            "versions": [
                {
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {
                            "properties": {"spec": {"properties": copy.deepcopy(SCHEMA)}}
                        }
                    },
                }
            ]
        },
    }
    whole: Object = {
        "api_version": API,
        "daemon_sets": [daemon_set()],
        "installations": [],
        "config_maps": [],
        "configurations": [],
        "crds": [crd],
        "nodes": [node("node1", zone="a"), node("node2")],
        "pods": [pod("node1"), pod("node2")],
    }
    return {**whole, **more}


def installation(**network: str) -> Object:
    return {
        "apiVersion": "operator.tigera.io/v1",
        "kind": "Installation",
        "metadata": {"name": "default"},
        "spec": {"calicoNetwork": network},
    }


def by_operator(**more: Any) -> Object:
    """As read(), of a cluster that the operator installed."""
    network = more.pop("network", {})
    return read(
        **{
            "daemon_sets": [daemon_set("calico-system")],
            "installations": [installation(**network)],
            **more,
        }
    )


def merged(one: Object | None, patch: Object) -> Object:
    """What a merge patch (RFC 7386) makes of an object."""
    result = copy.deepcopy(one or {})
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(result.get(key), value)
        else:
            result[key] = value
    return result


def after(whole: Object, write: Object | None) -> Object:
    """What was read, after a write of the control."""
    if write is None:
        return whole
    name = write["definition"]["metadata"]["name"]
    found = {one["metadata"]["name"]: one for one in whole["configurations"]}
    old = found.pop(name, None)
    if write["state"] == "present":
        found[name] = merged(old or felix(name, {}), write["definition"])
    return {**whole, "configurations": list(found.values())}

# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read from the API, as values that the decisions need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...module_utils._calico.versions import Version, parse_version
from ...module_utils._errors import BadInputError, RefusedError

Object = Mapping[str, Any]

MANIFEST, OPERATOR, KUBESPRAY = "manifest", "operator", "kubespray"
NAMESPACES = {MANIFEST: "kube-system", OPERATOR: "calico-system", KUBESPRAY: "kube-system"}
"""Where calico-node runs (ops 4.1)."""
DAEMON_SET = CONTAINER = "calico-node"
_TAG = re.compile(r":(v?\d+\.\d+\.\d+)[^/]*$")


class Node(NamedTuple):
    """A node on which calico-node shall run.

    ``environment``: the variables of its container; None for one that is taken from elsewhere.
    ``image``: that of the container, ``mounts``: its directories.
    """

    name: str
    labels: Mapping[str, str]
    environment: Mapping[str, str | None]
    image: str
    mounts: frozenset[str]
    pod: Object | None

    @property
    def release(self) -> Version | None:
        """The release by the image's tag, or None where the tag tells none."""
        match = _TAG.search(self.image)
        return parse_version(match[1]) if match else None


class Install(NamedTuple):
    """How Calico was installed, and where."""

    kind: str
    namespace: str
    daemon_set: Object
    installation: Object | None


class Cluster(NamedTuple):
    """All of it. ``schema``: properties of FelixConfiguration's spec in the CRD ``crd``."""

    install: Install
    api_version: str
    configurations: tuple[Object, ...]
    crd: str
    schema: Mapping[str, Any]
    nodes: Mapping[str, Node]


def cluster(read: Mapping[str, Any]) -> Cluster:
    """The values out of what was read. Raises RefusedError where something is not there."""
    where = install(read)
    name, schema = _schema([*read["crds"], *(read.get("crds_native") or [])])
    pods = {pod["spec"].get("nodeName", ""): pod for pod in read["pods"] if current(pod)}
    template = where.daemon_set["spec"]["template"]
    nodes = {node["metadata"]["name"]: node for node in read["nodes"]}
    return Cluster(
        where,
        read["api_version"],
        tuple(read["configurations"]),
        name,
        schema,
        {one: _node(nodes[one], pods.get(one), template) for one in nodes},
    )


def current(pod: Object) -> bool:
    """Not one that is on its way out."""
    return not pod["metadata"].get("deletionTimestamp")


def _node(node: Object, pod: Object | None, template: Object) -> Node:
    containers = (pod or template)["spec"]["containers"]
    found: list[Object] = [one for one in containers if one["name"] == CONTAINER]
    container = found[0] if found else {}
    return Node(
        node["metadata"]["name"],
        node["metadata"].get("labels") or {},
        {one["name"]: _value(one) for one in container.get("env") or []},
        container.get("image", ""),
        frozenset(one["mountPath"] for one in container.get("volumeMounts") or []),
        pod,
    )


def _value(variable: Object) -> str | None:
    """A variable without value and source is empty."""
    return None if "valueFrom" in variable else str(variable.get("value", ""))


def _schema(crds: list[Object]) -> tuple[str, Mapping[str, Any]]:
    if not crds:
        raise RefusedError(
            "There is no CustomResourceDefinition for FelixConfiguration in this cluster; install "
            "Calico's, or name the right cluster by calico_kubeconfig or calico_kube_context."
        )
    crd = crds[0]
    versions = crd["spec"].get("versions") or []
    stored = [one for one in versions if one.get("storage")] or versions
    root = (stored[0].get("schema") or {}).get("openAPIV3Schema") or {} if stored else {}
    spec = (root.get("properties") or {}).get("spec") or {}
    return crd["metadata"]["name"], spec.get("properties") or {}


def install(read: Mapping[str, Any]) -> Install:
    """Which kind of installation it is. Raises RefusedError when that cannot be told."""
    given = read.get("install_kind") or ""
    if given and given not in NAMESPACES:
        raise BadInputError("calico_install_kind", given, f"is none of {', '.join(NAMESPACES)}")

    sets = {one["metadata"]["namespace"]: one for one in read["daemon_sets"]}
    kind = given or _kind(read, frozenset(sets))
    namespace = read.get("namespace") or NAMESPACES[kind]
    if namespace not in sets:
        raise RefusedError(
            f"There is no DaemonSet {namespace}/{DAEMON_SET}, as an installation by {kind} has; "
            f"name its namespace by calico_namespace. Seen: {', '.join(sorted(sets)) or 'none'}."
        )
    installations = read.get("installations") or []
    return Install(kind, namespace, sets[namespace], installations[0] if installations else None)


def _kind(read: Mapping[str, Any], namespaces: frozenset[str]) -> str:
    if not namespaces:
        raise RefusedError(
            f"No namespace of this cluster has a DaemonSet {DAEMON_SET}: Calico does not run here, "
            "or under another name."
        )
    if len(namespaces) > 1 and not read.get("namespace"):
        raise RefusedError(
            f"There is a DaemonSet {DAEMON_SET} in each of {', '.join(sorted(namespaces))}; remove "
            "those that are left over, or choose by calico_namespace and calico_install_kind."
        )
    (namespace,) = {read["namespace"]} if read.get("namespace") else namespaces
    found = [one for one in read["daemon_sets"] if one["metadata"]["namespace"] == namespace]
    owners = [owner for one in found for owner in one["metadata"].get("ownerReferences") or []]
    if any(owner.get("kind") == "Installation" for owner in owners):
        return OPERATOR
    if namespace == NAMESPACES[OPERATOR] and read.get("installations"):
        return OPERATOR
    return KUBESPRAY if _by_kubespray(read, found) else MANIFEST


def _by_kubespray(read: Mapping[str, Any], daemon_sets: list[Object]) -> bool:
    """By the cluster type that its templates set, directly or in a ConfigMap."""
    types = [(one.get("data") or {}).get("cluster_type", "") for one in read["config_maps"]]
    for one in daemon_sets:
        for container in one["spec"]["template"]["spec"]["containers"]:
            variables = container.get("env") or []
            types += [v.get("value", "") for v in variables if v["name"] == "CLUSTER_TYPE"]
    return any("kubespray" in str(one).split(",") for one in types)


def node_of(values: Cluster, name: str) -> Node:
    """A node by its name. Raises RefusedError when the API has no such node."""
    if name not in values.nodes:
        known = sorted(values.nodes)
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        raise RefusedError(
            f"calico_node_name: {name} is no node of this cluster, which has {shown or 'none'}."
        )
    return values.nodes[name]

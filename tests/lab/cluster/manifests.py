# SPDX-License-Identifier: GPL-3.0-or-later
"""What an installation of Calico puts into the API: namespaces, calico-node, configuration."""

from __future__ import annotations

from typing import Any

from tests.lab.cluster import layout
from tests.lab.cluster.api import Api, Object
from tests.lab.cluster.felix_fields import parse
from tests.lab.errors import LabError

# Release of Calico by version of the operator's image.
OPERATORS = {
    "1.32.7": "3.27.3",
    "1.34.13": "3.28.5",
    "1.36.16": "3.29.7",
    "1.38.13": "3.30.7",
    "1.40.15": "3.31.7",
    "1.42.3": "3.32.1",
}
HOST_PATHS = {
    "sys-fs": "/sys/fs",
    "bpffs": "/sys/fs/bpf",
    "var-run-calico": "/var/run/calico",
    "var-lib-calico": "/var/lib/calico",
    "nodeproc": "/proc",
}


def install(api: Api, state: layout.State) -> None:
    """Apply everything of the install kind; for the operator, all but what it makes itself."""
    felix = f"apis/{state.api}/felixconfigurations/default"
    if state.install == "operator":
        for name in ("tigera-operator", "calico-system"):
            api.apply(f"api/v1/namespaces/{name}", _namespace(name))
        place = "apis/apps/v1/namespaces/tigera-operator/deployments/tigera-operator"
        api.apply(place, operator_deployment(state.release), "calico-manifest")
        place = "apis/operator.tigera.io/v1/installations/default"
        api.apply(place, installation(), "calico-manifest")
    else:
        place = "apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
        api.apply(place, daemon_set(state.install, state.release), "calico-manifest")
        place = "api/v1/namespaces/kube-system/configmaps/calico-config"
        api.apply(place, calico_config(state.install), "calico-manifest")
    api.apply(felix, felix_configuration(state), "calico-node")
    place = "apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
    api.apply(place, kube_proxy(), "kubeadm")


def felix_configuration(state: layout.State) -> Object:
    """``default`` as calico-node makes it at its first start, and what kubespray adds."""
    spec: dict[str, Any] = {"logSeverityScreen": "Info", "floatingIPs": "Disabled"}
    if state.install == "kubespray":
        spec |= {"bpfEnabled": True, "bpfExternalServiceMode": "Tunnel"}
    return {
        "apiVersion": state.api,
        "kind": "FelixConfiguration",
        "metadata": {"name": "default"},
        "spec": spec,
    }


def calico_config(install: str) -> Object:
    """The ConfigMap of an installation without the operator, which names what has made it."""
    made_by = "kubespray,bgp" if install == "kubespray" else "k8s,bgp"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "calico-config", "namespace": "kube-system"},
        "data": {"cluster_type": made_by, "calico_backend": "bird"},
    }


def installation() -> Object:
    """Installation of an operator that runs the eBPF dataplane."""
    network = {"linuxDataplane": "BPF", "hostPorts": "Disabled"}
    return {
        "apiVersion": "operator.tigera.io/v1",
        "kind": "Installation",
        "metadata": {"name": "default"},
        "spec": {"variant": "Calico", "cni": {"type": "Calico"}, "calicoNetwork": network},
    }


def operator_deployment(release: str) -> Object:
    """The operator's Deployment; the tag of its image decides the release of Calico."""
    version = {calico: version for version, calico in OPERATORS.items()}.get(release)
    if version is None:
        known = ", ".join(OPERATORS.values())
        raise LabError(f"--release is {release!r}; with an operator use one of {known}.")
    image = f"quay.io/tigera/operator:v{version}"
    labels = {"name": "tigera-operator"}
    pod = {"hostNetwork": True, "containers": [{"name": "tigera-operator", "image": image}]}
    return _workload("Deployment", "tigera-operator", "tigera-operator", labels, pod)


def kube_proxy() -> Object:
    """kube-proxy as kubeadm installs it, kept from all nodes as the eBPF dataplane wants it."""
    labels = {"k8s-app": "kube-proxy"}
    image = "registry.k8s.io/kube-proxy:v1.36.3"
    pod = {
        "hostNetwork": True,
        "nodeSelector": {"kubernetes.io/os": "linux", "non-calico": "true"},
        "containers": [{"name": "kube-proxy", "image": image}],
    }
    return _workload("DaemonSet", "kube-proxy", "kube-system", labels, _everywhere(pod))


def daemon_set(install: str, release: str) -> Object:
    """calico-node, as far as roles and nodes look at it."""
    operator = install == "operator"
    containers, init = _containers(install, release)
    pod = {
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 5 if operator else 0,
        "initContainers": init,
        "containers": containers,
        "volumes": [{"name": name, "hostPath": {"path": at}} for name, at in HOST_PATHS.items()],
    }
    namespace = "calico-system" if operator else "kube-system"
    labels = {"k8s-app": "calico-node"}
    made = _workload("DaemonSet", "calico-node", namespace, labels, _everywhere(pod))
    rolling = {"maxUnavailable": 1}
    made["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return made


def _containers(install: str, release: str) -> tuple[list[Object], list[Object]]:
    registry = "docker.io" if install == "manifest" else "quay.io"
    node, cni = f"{registry}/calico/node:v{release}", f"{registry}/calico/cni:v{release}"
    endpoint = {"configMapRef": {"name": "kubernetes-services-endpoint", "optional": True}}
    mounts = [("bpffs", "/sys/fs/bpf"), ("var-run-calico", "/var/run/calico")]
    mounts += [("var-lib-calico", "/var/lib/calico")]
    main = {
        "name": "calico-node",
        "image": node,
        "env": _environment(install),
        "envFrom": [endpoint],
        "securityContext": {"privileged": True},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/calico-node", "-shutdown"]}}},
        "livenessProbe": _probe("-felix-live"),
        "readinessProbe": _probe("-felix-ready"),
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts],
    }
    bootstrap = {
        "name": init_name(install, release),
        "image": node,
        "command": ["calico-node", "-init", "-best-effort"],
        "securityContext": {"privileged": True},
        "volumeMounts": [
            {"name": "sys-fs", "mountPath": "/sys/fs", "mountPropagation": "Bidirectional"},
            {"name": "nodeproc", "mountPath": "/nodeproc", "readOnly": True},
        ],
    }
    others = [{"name": name, "image": cni} for name in ("upgrade-ipam", "install-cni")]
    return [main], [*others, bootstrap]


def init_name(install: str, release: str) -> str:
    """Name of the init container that mounts bpffs."""
    renamed = parse(release) >= (3, 31) and install != "kubespray"
    return "ebpf-bootstrap" if renamed else "mount-bpffs"


def _environment(install: str) -> list[Object]:
    words = {"DATASTORE_TYPE": "kubernetes", "FELIX_HEALTHENABLED": "true"}
    words["FELIX_IPV6SUPPORT"] = "false"
    if install == "operator":
        words["FELIX_HEALTHPORT"] = "9099"
    if install == "manifest":
        words["FELIX_BPFENABLED"] = "true"
    name = {"name": "NODENAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    return [name, *({"name": key, "value": value} for key, value in words.items())]


def _probe(argument: str) -> Object:
    return {"exec": {"command": ["/bin/calico-node", argument]}, "periodSeconds": 10}


def _everywhere(pod: Object) -> Object:
    effects = ("NoSchedule", "NoExecute")
    tolerations = [{"effect": effect, "operator": "Exists"} for effect in effects]
    critical = {"priorityClassName": "system-node-critical", "tolerations": tolerations}
    return {"nodeSelector": {"kubernetes.io/os": "linux"}, **critical, **pod}


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _workload(kind: str, name: str, namespace: str, labels: Object, pod: Object) -> Object:
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }

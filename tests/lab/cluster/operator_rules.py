# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator of a release wants and refuses, decided on plain data.

Releases are Calico's: operator 1.34 and later come with 3.28, 1.40 with 3.31.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.lab.cluster import manifests
from tests.lab.cluster.api import Object
from tests.lab.cluster.felix_fields import parse

ANNOTATION = "operator.tigera.io/bpfEnabled"


@dataclass(frozen=True)
class View:
    """What the API holds."""

    release: str
    installation: Object  # its spec
    felix: Object  # FelixConfiguration default
    daemon_set: Object | None
    endpoint: Object | None = None  # ConfigMap kubernetes-services-endpoint

    @property
    def network(self) -> Object:
        """spec.calicoNetwork of the Installation."""
        return self.installation.get("calicoNetwork") or {}

    @property
    def bpf(self) -> bool:
        """Whether the eBPF dataplane is wanted."""
        return bool(self.network.get("linuxDataplane") == "BPF")

    @property
    def spec(self) -> Object:
        """spec of FelixConfiguration default."""
        return self.felix.get("spec") or {}

    def since(self, *release: int) -> bool:
        """Whether the operator is that of this release of Calico or a later one."""
        return parse(self.release) >= release


def refusal(view: View) -> str:
    """Why the operator does nothing, or an empty text."""
    kind = (view.installation.get("nodeUpdateStrategy") or {}).get("type") or "RollingUpdate"
    if kind != "RollingUpdate":
        return f"Installation spec.nodeUpdateStrategy.type {kind} is not supported."
    if view.network.get("bpfNetworkBootstrap") == "Enabled":
        if not view.bpf:
            return "bpfNetworkBootstrap is Enabled, but linuxDataplane is not BPF."
        if view.endpoint:
            return "bpfNetworkBootstrap is Enabled, but kubernetes-services-endpoint exists."
    if view.since(3, 28) and _annotated(view.felix) != view.spec.get("bpfEnabled"):
        return 'FelixConfiguration "default" has been modified: bpfEnabled is not as written here.'
    return ""


def before_rollout(view: View) -> Object:
    """Change of FelixConfiguration default before the DaemonSet's: what the operator owns of it."""
    spec = {"healthPort": 9099, "vxlanVNI": 4096, "vxlanPort": 4789}
    change: dict[str, Any] = {name: value for name, value in spec.items() if name not in view.spec}
    if view.since(3, 29):
        change["nftablesMode"] = _nftables(view)
    patch = _needed(view, change)
    if view.since(3, 28) and "bpfEnabled" not in view.spec and _enabled_by_environment(view):
        return _with_bpf(patch, True)
    return patch


def after_rollout(view: View) -> Object:
    """Change of FelixConfiguration default after the DaemonSet's: all nodes flip together."""
    if not view.since(3, 28) or view.spec.get("bpfEnabled", False) == view.bpf:
        return {}
    if view.bpf and not rolled_out(view.daemon_set):
        return {}
    return _with_bpf({}, view.bpf)


def rolled_out(daemon_set: Object | None) -> bool:
    """Whether all pods are of the present generation and available."""
    if daemon_set is None:
        return False
    status = daemon_set.get("status", {})
    counts = {
        status.get(key, 0)
        for key in ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    }
    seen = bool(status.get("observedGeneration") == daemon_set["metadata"]["generation"])
    return seen and len(counts) == 1


def daemon_set(view: View) -> Object:
    """calico-node as this operator renders it."""
    made = manifests.daemon_set("operator", view.release)
    strategy = view.installation.get("nodeUpdateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {"maxUnavailable": 1}
    made["spec"]["updateStrategy"]["rollingUpdate"] = rolling
    pod = made["spec"]["template"]["spec"]
    if not view.bpf and not view.since(3, 31):
        _without_bpffs(pod)
    pod["containers"][0]["env"] += _environment(view)
    return made


def _environment(view: View) -> list[Object]:
    words = {}
    if view.bpf and not view.since(3, 28):
        words["FELIX_BPFENABLED"] = "true"
    if port := view.installation.get("nodeMetricsPort"):
        words |= {
            "FELIX_PROMETHEUSMETRICSENABLED": "true",
            "FELIX_PROMETHEUSMETRICSPORT": str(port),
        }
    words |= (view.endpoint or {}).get("data", {})
    return [{"name": name, "value": value} for name, value in words.items()]


def _without_bpffs(pod: Object) -> None:
    pod["initContainers"] = [one for one in pod["initContainers"] if one["name"] != "mount-bpffs"]
    main = pod["containers"][0]
    main["volumeMounts"] = [one for one in main["volumeMounts"] if one["name"] != "bpffs"]
    pod["volumes"] = [one for one in pod["volumes"] if one["name"] not in ("bpffs", "sys-fs")]


def _nftables(view: View) -> str:
    wanted = view.network.get("linuxDataplane") == "Nftables" or (view.bpf and view.since(3, 31))
    return "Enabled" if wanted else "Disabled"


def _annotated(felix: Object) -> bool | None:
    text = (felix["metadata"].get("annotations") or {}).get(ANNOTATION)
    return None if text is None else text == "true"


def _enabled_by_environment(view: View) -> bool:
    if view.daemon_set is None:
        return False
    containers = view.daemon_set["spec"]["template"]["spec"]["containers"]
    words = {one["name"]: one.get("value") for one in containers[0].get("env", [])}
    return words.get("FELIX_BPFENABLED") == "true"


def _needed(view: View, change: Object) -> Object:
    needed = {name: value for name, value in change.items() if view.spec.get(name) != value}
    return {"spec": needed} if needed else {}


def _with_bpf(patch: Object, enabled: bool) -> Object:
    metadata = {"annotations": {ANNOTATION: str(enabled).lower()}}
    return {"metadata": metadata, "spec": {**patch.get("spec", {}), "bpfEnabled": enabled}}

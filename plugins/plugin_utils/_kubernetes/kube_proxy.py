# SPDX-License-Identifier: GPL-3.0-or-later
"""How kube-proxy, a DaemonSet, is kept away from nodes or comes back (ops 2.2, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...module_utils._errors import RefusedError
from .cluster import Object

STARTED, STOPPED = "started", "stopped"
KEYS = {"non-calico": "true", "operator.tigera.io/disable-kube-proxy": "true"}
"""Labels that no node has: the one of Calico's manual, and that of the operator."""
FOREIGN = (
    ("labels", "app.kubernetes.io/managed-by"),
    ("labels", "addonmanager.kubernetes.io/mode"),
    ("annotations", "argocd.argoproj.io/tracking-id"),
)
"""What shows that something else writes the DaemonSet and would take a change back."""


class Plan(NamedTuple):
    """``patch``: a merge patch or None. ``waits``: whether its pods have to follow now."""

    patch: Mapping[str, Any] | None
    waits: bool
    says: str


def kube_proxy(daemon_set: Object | None, installation: Object | None, wanted: str) -> Plan:
    """What brings kube-proxy there, on all nodes at once. Raises RefusedError."""
    network = ((installation or {}).get("spec") or {}).get("calicoNetwork") or {}
    if network.get("kubeProxyManagement") == "Enabled":
        return Plan(None, False, "The operator sees to kube-proxy (kubeProxyManagement).")
    if daemon_set is None:
        if wanted == STOPPED:
            return Plan(None, False, "There is no DaemonSet kube-system/kube-proxy.")
        raise RefusedError(
            "There is no DaemonSet kube-system/kube-proxy that could be started; bring it back, as "
            "by kubeadm init phase addon kube-proxy, before the nodes leave eBPF mode."
        )
    selector = daemon_set["spec"]["template"]["spec"].get("nodeSelector") or {}
    closed = sorted(key for key, value in KEYS.items() if selector.get(key) == value)
    if bool(closed) == (wanted == STOPPED):
        return Plan(None, True, f"kube-proxy is {wanted}.")
    _refuse_foreign(daemon_set, wanted)
    change: dict[str, str | None] = dict.fromkeys(closed) or {"non-calico": "true"}
    return Plan(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": "kube-proxy",
                "namespace": "kube-system",
                "resourceVersion": daemon_set["metadata"]["resourceVersion"],
            },
            "spec": {"template": {"spec": {"nodeSelector": change}}},
        },
        True,
        f"kube-proxy is {wanted} on every node of the cluster, as its DaemonSet has one selector.",
    )


def _refuse_foreign(daemon_set: Object, wanted: str) -> None:
    for place, key in FOREIGN:
        value = (daemon_set["metadata"].get(place) or {}).get(key)
        if value:
            raise RefusedError(
                f"DaemonSet kube-system/kube-proxy is written by something else ({key}: {value}), "
                f"which would take a change back; have it {wanted} there first."
            )

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role _control asks: one function for each question, from plain data to plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from ...module_utils._errors import RefusedError
from . import lease as leases
from . import rights as reviews
from . import tigera
from .cluster import OPERATOR, Cluster, cluster, current, node_of
from .conclude import conclude
from .configure import configure, counts
from .effective import ELSEWHERE, setting
from .frontends import frontends
from .image import image, operator_release, runs, scheduled, strategy_back
from .kube_proxy import kube_proxy
from .values import text
from .writes import Write

Answer = dict[str, Any]
FELIX_APIS = ("projectcalico.org/v3", "crd.projectcalico.org/v1")
"""Who serves FelixConfiguration, the one to be used first (ops 1.1)."""
OPERATOR_API = "operator.tigera.io/v1"


def discover(apis: Mapping[str, Any]) -> Answer:
    """Which of the APIs that a cluster serves are used."""
    found = [api for api in FELIX_APIS if "FelixConfiguration" in (apis.get(api) or {})]
    if not found:
        raise RefusedError(
            "This cluster has no FelixConfiguration, neither in projectcalico.org/v3 nor in "
            "crd.projectcalico.org/v1; install Calico's CustomResourceDefinitions, or name the "
            "right cluster by calico_kubeconfig or calico_kube_context."
        )
    return {
        "felix": found[0],
        "group": found[0].partition("/")[0],
        "operator": "Installation" in (apis.get(OPERATOR_API) or {}),
    }


def rights(read: Mapping[str, Any], asked: list[str]) -> Answer:
    """The reviews to create for steps."""
    needed = reviews.needed(read["group"], read["operator"], asked)
    return {"reviews": [right.review() for right in needed]}


def permitted(read: Mapping[str, Any], asked: list[str], answers: list[Any]) -> Answer:
    """Raises RefusedError where an answer is no."""
    reviews.refuse_missing(answers, reviews.needed(read["group"], read["operator"], asked))
    return {}


def facts(
    read: Mapping[str, Any], node: str, fields: list[str], settings: Mapping[str, Any]
) -> Answer:
    """What there is; refuses settings that could not take effect."""
    values = cluster(read)
    one = node_of(values, node)
    if one.pod is None:
        raise RefusedError(
            f"calico_node_name: there is no pod of DaemonSet "
            f"{values.install.namespace}/calico-node on {node}."
        )
    found = {field: setting(values, one, field) for field in fields}
    plan = configure(values, one, settings)
    health = {
        option: setting(values, one, option).value
        for option in ("healthPort", "prometheusMetricsPort")
    }
    return {
        "install_kind": values.install.kind,
        "namespace": values.install.namespace,
        "release": str(one.release or ""),
        "operator_release": operator_release(read.get("deployments") or []),
        "nodes": scheduled(values),
        "pod": one.pod["metadata"]["name"],
        "found": {field: _found(values, one, field, found[field].value) for field in fields},
        "sources": {field: found[field].source for field in fields},
        "actions": _actions(plan.write),
        "health_port": int(health["healthPort"] or 9099),
        "metrics_port": int(health["prometheusMetricsPort"] or 9091),
    }


def _found(values: Cluster, one: Any, field: str, value: str | None) -> str | None:
    return value if value != ELSEWHERE and counts(values, one, field) else None


def configured(read: Mapping[str, Any], node: str, settings: Mapping[str, Any]) -> Answer:
    """The write to the node's object."""
    values = cluster(read)
    plan = configure(values, node_of(values, node), settings)
    return {"write": _plain(plan.write), "restarts": plan.restarts, "expected": dict(plan.expected)}


def verified(spec: Mapping[str, Any], node: str, expected: Mapping[str, Any]) -> Answer:
    """Raises RefusedError where the API kept something else than was written."""
    lost = [field for field in expected if text(spec.get(field)) != expected[field]]
    if lost:
        raise RefusedError(
            f"FelixConfiguration node.{node} has {lost[0]} {text(spec.get(lost[0]))} right after "
            f"it was set to {expected[lost[0]]}: something else writes it, or the API drops it."
        )
    return {}


def concluded(read: Mapping[str, Any]) -> Answer:
    """The writes that end a run."""
    values = cluster(read)
    ends = conclude(values)
    return {
        "dataplane": ends.dataplane,
        "installation": ends.installation,
        "default": _plain(ends.default),
        "nodes": [_plain(one) for one in ends.nodes],
        "daemon_set": strategy_back(values),
        "notes": list(ends.notes),
    }


def operating(statuses: list[Any]) -> Answer:
    """Raises RefusedError where the operator would not follow."""
    tigera.refuse_degraded(statuses)
    return {}


def followed(read: Mapping[str, Any], dataplane: str) -> Answer:
    """Raises RefusedError where the operator has not, or was told something else."""
    installation = next(iter(read["installations"]), None)
    tigera.refuse_other(installation, read["configurations"], read["statuses"], dataplane)
    return {}


def ready(pods: list[Any], node: str, gone: Sequence[str] = ()) -> Answer:
    """Whether a pod that is not one of ``gone`` is ready on the node, and what there is instead."""
    new = [one for one in pods if one["metadata"]["uid"] not in gone and current(one)]
    states = [
        condition
        for one in new
        for condition in (one.get("status") or {}).get("conditions") or []
        if condition["type"] == "Ready"
    ]
    if any(state["status"] == "True" for state in states):
        return {"ready": True, "says": ""}
    if not new:
        return {"ready": False, "says": f"There is no new pod on {node}."}
    name, why = new[0]["metadata"]["name"], [state.get("message") for state in states]
    because = f": {why[0]}" if why and why[0] else ""
    return {"ready": False, "says": f"Pod {name} on {node} is not ready{because}."}


def services(read: Mapping[str, Any], names: list[str]) -> Answer:
    """Where Services answer UDP, on one node."""
    return {"frontends": frontends(names, read["services"], read["node"])}


def proxy(read: Mapping[str, Any], wanted: str) -> Answer:
    """What has to be done about kube-proxy."""
    plan = kube_proxy(
        next(iter(read["daemon_sets"]), None), next(iter(read["installations"]), None), wanted
    )
    return plan._asdict()


def release(read: Mapping[str, Any], version: str, operator_version: str = "") -> Answer:
    """The patch of the DaemonSet or of the operator; whether the pods have the release."""
    values = cluster(read)
    pods = [one.pod for one in values.nodes.values() if one.pod]
    return {
        "patch": image(values, version, read.get("deployments") or [], operator_version),
        "by_operator": values.install.kind == OPERATOR,
        "current": bool(pods) and all(runs(one, version) for one in pods),
        "nodes": scheduled(values),
    }


def lease(found: list[Any], step: str, holder: str, seconds: int = 0, dead: str = "") -> Answer:
    """The Lease to write for a step: take, renew or drop."""
    one = next(iter(found), None)
    now = datetime.now(timezone.utc)
    if step == "take":
        return {"definition": leases.take(one, holder, int(seconds), now, dead)}
    if step == "renew":
        return {"definition": leases.renew(one, holder, int(seconds), now)}
    return {"definition": leases.drop(one, holder)}


def _actions(one: Write | None) -> list[str]:
    return list(one.actions) if one else []


def _plain(one: Write | None) -> Answer | None:
    return {**one._asdict(), "actions": list(one.actions)} if one else None

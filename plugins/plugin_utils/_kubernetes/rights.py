# SPDX-License-Identifier: GPL-3.0-or-later
"""The rights that a run needs, asked by SelfSubjectAccessReview before anything changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...module_utils._errors import RefusedError

LEASE_NAMESPACE = "kube-system"


class Right(NamedTuple):
    """May I ``verb`` this ``resource``, in ``namespace``, or in all when that is empty."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{group}{where}"

    def review(self) -> Mapping[str, Any]:
        """The question to the API."""
        resource, _, part = self.resource.partition("/")
        attributes = {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": part,
            "namespace": self.namespace,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        }


def _rights(verbs: str, resource: str, group: str = "", namespace: str = "") -> list[Right]:
    return [Right(verb, resource, group, namespace) for verb in verbs.split()]


def needed(felix_group: str, operator: bool, asked: Iterable[str]) -> list[Right]:
    """The rights for reading, and for what is ``asked``: names of steps.

    ``felix_group`` serves FelixConfiguration; ``operator``: the API has Installations.
    """
    steps = {
        "read": [
            *_rights("list", "nodes"),
            *_rights("list", "pods"),
            *_rights("list", "daemonsets", "apps"),
            *_rights("get", "configmaps", "", "kube-system"),
            *_rights("get", "customresourcedefinitions", "apiextensions.k8s.io"),
            *_rights("list", "felixconfigurations", felix_group),
            *(_rights("get", "installations", "operator.tigera.io") if operator else []),
            *(_rights("get", "deployments", "apps", "tigera-operator") if operator else []),
        ],
        "configure": _rights("get create patch delete", "felixconfigurations", felix_group),
        "restart": _rights("get delete", "pods"),
        "dataplane": [
            *_rights("get patch", "installations", "operator.tigera.io"),
            *_rights("get", "tigerastatuses", "operator.tigera.io"),
        ]
        if operator
        else [],
        "kube_proxy": _rights("get patch", "daemonsets", "apps", "kube-system"),
        "drain": [*_rights("get patch", "nodes"), *_rights("create", "pods/eviction")],
        "image": [
            *_rights("get patch", "daemonsets", "apps"),
            *(_rights("patch", "deployments", "apps", "tigera-operator") if operator else []),
        ],
        "pull": _rights("create get delete", "pods"),
        "lease": _rights(
            "get create patch delete", "leases", "coordination.k8s.io", LEASE_NAMESPACE
        ),
    }
    wanted = ["read", *asked]
    strange = sorted(set(wanted) - set(steps))
    if strange:
        raise RefusedError(f"control_steps: {strange[0]} is none of {', '.join(steps)}.")
    return list(dict.fromkeys(right for step in wanted for right in steps[step]))


def refuse_missing(answers: Iterable[Mapping[str, Any]], rights: Iterable[Right]) -> None:
    """Raises RefusedError that names each right which the API denies."""
    told = [(answer.get("status") or {}).get("allowed") is True for answer in answers]
    missing = [str(right) for right, allowed in zip(rights, told, strict=True) if not allowed]
    if missing:
        raise RefusedError(
            "The API server does not let the user of calico_kubeconfig do what this run needs: "
            f"{'; '.join(missing)}. A ClusterRole for it is in docs/kubernetes.md."
        )

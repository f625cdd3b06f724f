# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom resource definitions, with the validation and the pruning of a release of Calico."""

from __future__ import annotations

from typing import Any

from tests.lab.cluster import felix_fields
from tests.lab.cluster.api import Api, ApiError, Object
from tests.lab.cluster.felix_fields import (
    INT_OR_STRING,
    INTEGER,
    STRING,
    SWITCH,
    Schema,
    one_of,
    parse,
)
from tests.lab.shell import wait_for

PATH = "apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# Anything goes; what the lab does not look at.
OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
SELECTOR_RULE = {
    "rule": "!has(self.spec) || !has(self.spec.nodeSelector) || "
    "!(self.metadata.name == 'default' || self.metadata.name.startsWith('node.'))",
    "message": "nodeSelector is not allowed on default or node.* objects",
}


def install(api: Api, release: str, kind: str, native: bool) -> None:
    """Apply the definitions of ``release`` and wait until the server serves them."""
    wanted = [felix(release, native=native)]
    if kind == "operator":
        wanted += [installation(release), tigera_status()]
    for one in wanted:
        api.apply(f"{PATH}/{one['metadata']['name']}", one, "calico-manifest")
    for path in map(_path, wanted):
        _wait_until_served(api, path)


def felix(release: str, *, native: bool) -> Object:
    """FelixConfiguration: ``crd.projectcalico.org/v1``, or ``projectcalico.org/v3`` as native."""
    spec = {"type": "object", "properties": felix_fields.fields(release)}
    names = ("FelixConfiguration", "felixconfigurations", "felixconfiguration")
    schema = _object({"spec": spec})
    if parse(release) >= (3, 32):
        schema["x-kubernetes-validations"] = [SELECTOR_RULE]
    if native:
        short = ["felixconfig", "felixconfigs"]
        return _definition("projectcalico.org", "v3", names, schema, short=short)
    return _definition("crd.projectcalico.org", "v1", names, schema)


def installation(release: str) -> Object:
    """Installation of operator.tigera.io/v1."""
    network = {
        "linuxDataplane": one_of(*_dataplanes(release)),
        "hostPorts": SWITCH,
        "mtu": INTEGER,
        "bgp": SWITCH,
        "ipPools": {"type": "array", "items": OPEN},
        "nodeAddressAutodetectionV4": OPEN,
    }
    if parse(release) >= (3, 31):
        network |= {"bpfNetworkBootstrap": SWITCH, "kubeProxyManagement": SWITCH}
    rolling = {"maxUnavailable": INT_OR_STRING, "maxSurge": INT_OR_STRING}
    strategy = {"type": STRING, "rollingUpdate": _part(rolling)}
    spec = {
        "variant": one_of("Calico", "TigeraSecureEnterprise"),
        "registry": STRING,
        "imagePath": STRING,
        "kubernetesProvider": STRING,
        "cni": _part({"type": STRING}),
        "calicoNetwork": _part(network),
        "nodeUpdateStrategy": _part(strategy),
        "nodeMetricsPort": INTEGER,
        "calicoNodeDaemonSet": OPEN,
    }
    status = {"variant": STRING, "calicoVersion": STRING, "mtu": INTEGER, "computed": OPEN}
    status["conditions"] = _conditions()
    names = ("Installation", "installations", "installation")
    schema = _object({"spec": _part(spec), "status": _part(status)})
    return _definition("operator.tigera.io", "v1", names, schema, status=True)


def tigera_status() -> Object:
    """TigeraStatus of operator.tigera.io/v1."""
    status = _part({"conditions": _conditions()})
    names = ("TigeraStatus", "tigerastatuses", "tigerastatus")
    schema = _object({"spec": _part({}), "status": status})
    return _definition("operator.tigera.io", "v1", names, schema, status=True)


def _dataplanes(release: str) -> tuple[str, ...]:
    known = ("Iptables", "BPF", "VPP")
    return (*known, "Nftables") if parse(release) >= (3, 29) else known


def _part(properties: dict[str, Any]) -> Schema:
    return {"type": "object", "properties": properties}


def _object(properties: dict[str, Any]) -> Schema:
    kind = {"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}}
    return _part({**kind, **properties})


def _conditions() -> Schema:
    texts = ("type", "status", "reason", "message", "lastTransitionTime")
    condition = {**dict.fromkeys(texts, STRING), "observedGeneration": INTEGER}
    return {"type": "array", "items": {**_part(condition), "required": ["type", "status"]}}


def _definition(
    group: str,
    version: str,
    names: tuple[str, str, str],
    schema: Schema,
    *,
    short: list[str] | None = None,
    status: bool = False,
) -> Object:
    kind, plural, singular = names
    served: Object = {"name": version, "served": True, "storage": True}
    served["schema"] = {"openAPIV3Schema": schema}
    if status:
        served["subresources"] = {"status": {}}
    known_as = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": singular}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {**known_as, "shortNames": short or []},
            "versions": [served],
        },
    }


def _path(definition: Object) -> str:
    spec = definition["spec"]
    return f"apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"


def _wait_until_served(api: Api, path: str) -> None:
    def served() -> bool:
        try:
            return api.find(path) is not None
        except ApiError as error:
            if error.status == 429:  # its storage is not there yet
                return False
            raise

    wait_for(served, 60, f"the API server to serve {path}", 0.1)

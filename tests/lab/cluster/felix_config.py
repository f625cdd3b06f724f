# SPDX-License-Identifier: GPL-3.0-or-later
"""Felix's configuration on one node, from its container's environment and the API.

As felix does: environment over ``node.<name>`` over a selector-scoped object (3.32 and later, the
oldest that matches) over ``default``; annotations of an object over its fields; empty values count
as not set. Written for the lab alone, so that it does not share a mistake with the collection.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tests.lab.cluster import felix_fields
from tests.lab.cluster.api import Object

ANNOTATION = "config.projectcalico.org/"
NAMES = {
    "bpfConntrackMode": "BPFConntrackCleanupMode",
    "bpfMapSizePerCpuConntrack": "BPFMapSizePerCPUConntrack",
    "nftablesMode": "NFTablesMode",
    "vxlanPort": "VXLANPort",
    "vxlanVNI": "VXLANVNI",
}
# Setting one of these to what it is anyway restarts nothing.
DEFAULTS = {
    "BPFConnectTimeLoadBalancing": "TCP",
    "BPFEnabled": "false",
    "BPFExternalServiceMode": "tunnel",
    "BPFLogLevel": "off",
    "BPFMapSizeConntrack": "512000",
    "BPFMapSizeConntrackScaling": "DoubleIfFull",
    "BPFMapSizeIPSets": "1048576",
    "BPFMapSizeIfState": "1000",
    "BPFMapSizeNATAffinity": "65536",
    "BPFMapSizeNATBackend": "262144",
    "BPFMapSizeNATFrontend": "65536",
    "BPFMapSizePerCPUConntrack": "0",
    "BPFMapSizeRoute": "262144",
}
TERM = re.compile(r"has\((?P<has>[^)]+)\)|(?P<label>\S+?)\s*==\s*['\"](?P<value>[^'\"]*)['\"]")


def config_name(field: str) -> str:
    """The name of a field in felix.cfg and, in capitals after FELIX_, in the environment."""
    if field in NAMES:
        return NAMES[field]
    return f"BPF{field[3:]}" if field.startswith("bpf") else field[0].upper() + field[1:]


def effective(
    environment: dict[str, str],
    objects: Iterable[Object],
    node: str,
    labels: dict[str, str],
    release: str,
) -> dict[str, str]:
    """Parameters that somebody sets, by their name in felix.cfg."""
    by_name = {one["metadata"]["name"]: one for one in objects}
    scoped = _scoped(by_name.values(), labels) if felix_fields.parse(release) >= (3, 32) else None
    found: dict[str, str] = {}
    for one in (by_name.get("default"), scoped, by_name.get(f"node.{node}")):
        found.update(_of_object(one) if one else {})
    found.update(_of_environment(environment))
    return found


def rendered(found: dict[str, str]) -> str:
    """felix.cfg with these parameters; those at their defaults are left out but BPFEnabled."""
    lines = [
        f"{name} = {value}"
        for name, value in sorted({"BPFEnabled": "false", **found}.items())
        if name == "BPFEnabled" or value.lower() != DEFAULTS.get(name, "").lower()
    ]
    return "\n".join(["[global]", *lines, ""])


def _of_object(one: Object) -> dict[str, str]:
    spec = one.get("spec") or {}
    found = {config_name(field): _text(value) for field, value in spec.items()}
    found.pop("NodeSelector", None)
    annotations = one["metadata"].get("annotations") or {}
    raw = {
        key[len(ANNOTATION) :]: value
        for key, value in annotations.items()
        if key.startswith(ANNOTATION)
    }
    return {name: value for name, value in {**found, **raw}.items() if value}


def _of_environment(environment: dict[str, str]) -> dict[str, str]:
    fields = {
        **felix_fields.BPF,
        **felix_fields.OTHERS,
        "nftablesMode": (),
        "bpfRedirectToPeer": (),
    }
    known = {config_name(field).lower(): config_name(field) for field in fields}
    found = {}
    for variable, value in environment.items():
        name = variable.lower().removeprefix("felix_")
        if variable.lower().startswith("felix_") and value:
            found[known.get(name, name)] = value
    return found


def _scoped(objects: Iterable[Object], labels: dict[str, str]) -> Object | None:
    matching = [
        one
        for one in objects
        if (selector := (one.get("spec") or {}).get("nodeSelector")) and _matches(selector, labels)
    ]
    return min(matching, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)


def _matches(selector: str, labels: dict[str, str]) -> bool:
    """``all()``, ``has(label)`` and ``label == 'value'``, joined by ``&&``; nothing else."""
    terms = [term.strip() for term in selector.split("&&")]
    return all(term == "all()" or _term_matches(term, labels) for term in terms)


def _term_matches(term: str, labels: dict[str, str]) -> bool:
    found = TERM.fullmatch(term)
    if not found:
        return False
    if found["has"]:
        return found["has"].strip() in labels
    return labels.get(found["label"]) == found["value"]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ",".join(f"{key}={text}" for key, text in sorted(value.items()))
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)

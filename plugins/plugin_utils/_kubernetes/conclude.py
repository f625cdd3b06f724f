# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends a run over all nodes: ``default`` gets what they have, objects of nodes are cut back.

felix compares the values that come out, not where they come from, so neither restarts it (ops 0.2).
That is why nothing is done that would change what comes out on any node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .cluster import KUBESPRAY, OPERATOR, Cluster, Node
from .configure import WITHOUT_EFFECT, is_of_node, with_spec
from .effective import GLOBAL, NODE, own_default, setting, spec_of
from .values import same, text, typed
from .writes import Write, memory_of, write

OF_OPERATOR = frozenset({"bpfEnabled", "nftablesMode"})
"""Fields of ``default`` that the operator always writes itself (ops 2.2)."""
BY_KUBESPRAY = {
    "bpfEnabled": "calico_bpf_enabled",
    "bpfLogLevel": "calico_bpf_log_level",
    "bpfExternalServiceMode": "calico_bpf_service_mode",
}
"""Fields of ``default`` that kubespray writes on each of its runs, and its variables (ops 6)."""
IPTABLES = "Iptables"
DATAPLANES = {"true": "BPF", "false": IPTABLES}


class Conclusion(NamedTuple):
    """In this order. ``installation``: a merge patch. ``notes``: what is left, and why.

    ``dataplane``: what the operator has to bring ``default`` to before anything else is written.
    """

    dataplane: str | None
    installation: Mapping[str, Any] | None
    default: Write | None
    nodes: tuple[Write, ...]
    notes: tuple[str, ...]


def conclude(values: Cluster) -> Conclusion:
    """The last writes of a run, by what nodes have because of it."""
    notes: list[str] = []
    agreed = {field: _agreed(values, field, notes) for field in _held(values)}
    dataplane = _dataplane(values, agreed.get("bpfEnabled"))
    spec = spec_of(values.configurations, GLOBAL)
    for field in sorted(agreed.keys() - _of_nodes(agreed)):
        spec.update(_for_default(values, field, agreed[field], notes))
    after = with_spec(values, GLOBAL, spec)
    if dataplane:
        # The operator writes it.
        after = with_spec(after, GLOBAL, {**spec, "bpfEnabled": agreed["bpfEnabled"]})
    found = [one for one in values.configurations if one["metadata"]["name"] == GLOBAL]
    default = write(values.api_version, GLOBAL, found[0] if found else None, spec, None)
    patch = _installation(values, dataplane)
    return Conclusion(
        dataplane, patch, default, tuple(_cut_back(values, after, notes)), tuple(notes)
    )


def _held(values: Cluster) -> list[str]:
    """The fields that objects of nodes have because of us."""
    objects = [one for one in values.configurations if is_of_node(one["metadata"]["name"])]
    return sorted({field for one in objects for field in memory_of(one).fields})


def _agreed(values: Cluster, field: str, notes: list[str]) -> str | None:
    """What felix has on every node; None where that is not one value."""
    nodes = [values.nodes[name] for name in sorted(values.nodes) if values.nodes[name].pod]
    texts = {
        node.name: setting(values, node, field).value or own_default(node, field) for node in nodes
    }
    first = next(iter(texts.values()), None)
    other = [name for name, value in texts.items() if not same(value, first)]
    if other:
        notes.append(
            f"FelixConfiguration default keeps its {field}, as nodes differ yet: "
            f"{next(iter(texts))} has {first}, {other[0]} {texts[other[0]]}."
        )
        return None
    return first


def _of_nodes(agreed: Mapping[str, str | None]) -> set[str]:
    """Fields that stay in the objects of nodes, with the field that they depend on.

    felix skips what is empty in ``node.<name>``, so that no node could get rid of them again before
    all others once ``default`` has them.
    """
    kept = {field for field in WITHOUT_EFFECT if agreed.get(field)}
    return kept | {WITHOUT_EFFECT[field][0] for field in kept}


def _for_default(
    values: Cluster, field: str, wanted: str | None, notes: list[str]
) -> dict[str, Any]:
    """The change of ``default`` for a field that all nodes agree on."""
    if wanted is None or same(text(_global(values, field)), wanted):
        return {}
    if values.install.kind == OPERATOR and field in OF_OPERATOR:
        if field != "bpfEnabled":
            notes.append(f"The operator writes {field} of FelixConfiguration default itself.")
        return {}
    if field in BY_KUBESPRAY and values.install.kind == KUBESPRAY:
        notes.append(
            f"kubespray writes {field} of FelixConfiguration default on each of its runs; set its "
            f"{BY_KUBESPRAY[field]} as well."
        )
    return {field: typed(field, wanted, values.schema.get(field) or {})}


def _global(values: Cluster, field: str) -> Any:
    return spec_of(values.configurations, GLOBAL).get(field)


def _dataplane(values: Cluster, enabled: str | None) -> str | None:
    """The operator's dataplane that the nodes have, where ``default`` or Installation has another.

    Nobody but the operator writes ``default.bpfEnabled``, or it refuses to go on (ops 0.4).
    """
    wanted = DATAPLANES.get(enabled or "")
    if values.install.kind != OPERATOR or not values.install.installation or not wanted:
        return None
    written = same(text(_global(values, "bpfEnabled")) or "false", enabled)
    told = _network(values).get("linuxDataplane", IPTABLES) == wanted
    return None if written and told else wanted


def _network(values: Cluster) -> Mapping[str, Any]:
    spec = (values.install.installation or {}).get("spec") or {}
    return spec.get("calicoNetwork") or {}


def _installation(values: Cluster, wanted: str | None) -> Mapping[str, Any] | None:
    """The merge patch of the operator's Installation."""
    installation, network = values.install.installation, _network(values)
    if not installation or not wanted or network.get("linuxDataplane", IPTABLES) == wanted:
        return None
    patch: dict[str, Any] = {"linuxDataplane": wanted}
    if wanted == IPTABLES and network.get("bpfNetworkBootstrap") == "Enabled":
        patch["bpfNetworkBootstrap"] = "Disabled"
    return {
        "apiVersion": installation["apiVersion"],
        "kind": installation["kind"],
        "metadata": {"name": installation["metadata"]["name"]},
        "spec": {"calicoNetwork": patch},
    }


def _cut_back(values: Cluster, after: Cluster, notes: list[str]) -> list[Write]:
    """What the objects of nodes need no more."""
    found = []
    for one in values.configurations:
        name = one["metadata"]["name"]
        memory = memory_of(one)
        if not is_of_node(name) or not memory.fields:
            continue
        node = values.nodes.get(name[len(NODE) :])
        if node is None:
            notes.append(f"FelixConfiguration {name} is left, as there is no such node.")
            continue
        spec, kept = dict(one.get("spec") or {}), dict(memory.fields)
        for field, before in memory.fields.items():
            if _needless(values, with_spec(after, name, {**spec, field: before}), node, field):
                spec[field] = before
                del kept[field]
        change = write(values.api_version, name, one, spec, memory._replace(fields=kept))
        found += [change] if change else []
    return found


def _needless(values: Cluster, without: Cluster, node: Node, field: str) -> bool:
    """Whether felix has the same value without ours."""
    return same(setting(without, node, field).value, setting(values, node, field).value)

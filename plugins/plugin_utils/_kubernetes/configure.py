# SPDX-License-Identifier: GPL-3.0-or-later
"""What one node's FelixConfiguration has to become, so that felix there has the wanted values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...module_utils._errors import RefusedError
from .cluster import Cluster, Node
from .effective import (
    NODE,
    changed_objects,
    node_object,
    own_default,
    setting,
    spec_of,
)
from .values import same, text, typed
from .writes import Memory, Write, memory_of, write

WITHOUT_EFFECT = {
    "bpfLogFilters": ("bpfLogLevel", "debug"),
    "bpfCTLBLogFilter": ("bpfLogLevel", "debug"),
}
"""Fields that felix reads only while another one has this value (ops 5a)."""
BPFFS = "/sys/fs/bpf"


class Plan(NamedTuple):
    """``restarts``: felix restarts by itself. ``expected``: texts that the object has then."""

    write: Write | None
    restarts: bool
    expected: Mapping[str, str | None]


def configure(values: Cluster, node: Node, settings: Mapping[str, Any]) -> Plan:
    """The write to ``node.<name>``. Raises RefusedError when felix would not get the values."""
    _refuse_unmounted(values, node, settings)
    name = node_object(node.name)
    found = [one for one in values.configurations if one["metadata"]["name"] == name]
    one = found[0] if found else None
    spec, memory = spec_of(values.configurations, name), memory_of(one)
    # Those that depend on another field come after it.
    for field in sorted(settings, key=lambda each: (each in WITHOUT_EFFECT, each)):
        spec, memory = _one_field(values, node, spec, memory, (field, settings[field]))
    after = with_spec(values, name, spec)
    return Plan(
        write(values.api_version, name, one, spec, memory),
        any(_differs(values, after, node, field) for field in settings),
        {field: text(spec.get(field)) for field in settings},
    )


def with_spec(values: Cluster, name: str, spec: Mapping[str, Any]) -> Cluster:
    """The cluster with another spec of one object; its metadata stays."""
    meta: Mapping[str, Any] = {"name": name}
    for one in values.configurations:
        if one["metadata"]["name"] == name:
            meta = one["metadata"]
    changed = {"metadata": meta, "spec": {k: v for k, v in spec.items() if v is not None}}
    return values._replace(configurations=changed_objects(values.configurations, changed))


def _one_field(
    values: Cluster,
    node: Node,
    spec: dict[str, Any],
    memory: Memory,
    wanted: tuple[str, Any],
) -> tuple[dict[str, Any], Memory]:
    """The spec with one field brought to its value, by what was there before where that does."""
    field, value = wanted
    name = node_object(node.name)
    before = memory.fields.get(field, spec.get(field))
    rest = {key: kept for key, kept in memory.fields.items() if key != field}
    restored = {**spec, field: before}
    if holds(with_spec(values, name, restored), node, field, text(value)):
        return restored, memory._replace(fields=rest)
    _refuse_pruned(values, field, value)
    put = {**spec, field: None}
    if text(value) is not None:
        put[field] = typed(field, value, values.schema[field])
    if not holds(with_spec(values, name, put), node, field, text(value)):
        raise _outranked(with_spec(values, name, put), node, field, text(value))
    return put, memory._replace(fields={**rest, field: before})


def holds(values: Cluster, node: Node, field: str, wanted: str | None) -> bool:
    """Whether felix on the node has this value, or works as if it had."""
    now = setting(values, node, field).value
    if now is None and wanted is not None:
        now = own_default(node, field)
    return same(now, wanted) or (wanted is None and not counts(values, node, field))


def counts(values: Cluster, node: Node, field: str) -> bool:
    """Whether felix reads the field at all with its other settings."""
    if field not in WITHOUT_EFFECT:
        return True
    other, value = WITHOUT_EFFECT[field]
    return same(setting(values, node, other).value, value)


def _differs(before: Cluster, after: Cluster, node: Node, field: str) -> bool:
    default = own_default(node, field)
    old, new = (setting(one, node, field).value or default for one in (before, after))
    return not same(old, new)


def _refuse_pruned(values: Cluster, field: str, value: Any) -> None:
    if text(value) is not None and field not in values.schema:
        raise RefusedError(
            f"{field}: the CustomResourceDefinition {values.crd} of this cluster does not know "
            "this field and would drop it; install those of the release that has it."
        )


def _refuse_unmounted(values: Cluster, node: Node, settings: Mapping[str, Any]) -> None:
    if text(settings.get("bpfEnabled")) != "true" or BPFFS in node.mounts:
        return
    raise RefusedError(
        f"bpfEnabled: calico-node on {node.name} does not mount {BPFFS} of the host, so the maps "
        "of eBPF mode would end with its container; "
        + (
            "set spec.calicoNetwork.linuxDataplane of Installation default to BPF first."
            if values.install.installation
            else f"add the mount to DaemonSet {values.install.namespace}/calico-node first."
        )
    )


def _outranked(values: Cluster, node: Node, field: str, wanted: str | None) -> RefusedError:
    now = setting(values, node, field)
    name = node_object(node.name)
    if wanted is None:
        return RefusedError(
            f"{field}: {now.source} sets {now.value}, and felix skips what is empty in {name}, so "
            "it cannot be taken out for one node; take it out there, or give another value."
        )
    # What stands in an object that is weaker cannot win.
    where = now.source if now.value is not None else f"felix skips the value in {name}"
    return RefusedError(
        f"{field}: {wanted} in FelixConfiguration {name} would have no effect on {node.name}, as "
        f"{where} outranks it with {now.value}; take it out there first."
    )


def is_of_node(name: str) -> bool:
    """Whether a FelixConfiguration is for one node."""
    return name.startswith(NODE)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What felix on a node takes each setting for, and where from.

From strong to weak (ops 0.3, 1.2): environment, ``node.<name>``, from 3.32 on the object whose
``nodeSelector`` chooses the node, ``default``. In an object an annotation wins over the spec. What
is empty is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ...module_utils._calico.felix_config import config_field, environment_name, option_name
from ...module_utils._calico.versions import exactly
from ...module_utils._errors import BpfopsError, RefusedError
from . import selector
from .cluster import DAEMON_SET, Cluster, Node, Object
from .values import text

ANNOTATION = "config.projectcalico.org/"
"""Prefix of annotations of a FelixConfiguration that set what comes after it, unvalidated."""
GLOBAL = "default"
NODE = "node."


class Setting(NamedTuple):
    """A value as felix gets it, None for its own default; ``source`` in an operator's words."""

    value: str | None
    source: str


UNSET = Setting(None, "felix's own default")
ELSEWHERE = "a value from elsewhere"
"""Stands for what a ConfigMap or Secret puts into a variable, which is not read."""


def node_object(node: str) -> str:
    """Name of the FelixConfiguration for one node."""
    return NODE + node


def setting(values: Cluster, node: Node, field: str) -> Setting:
    """The value that felix on this node has for a field. Raises RefusedError."""
    return first(
        [
            _environment(values, node, field),
            *(of_object(one, field) for one in objects_for(values.configurations, node)),
        ]
    )


def first(settings: Iterable[Setting]) -> Setting:
    """The strongest that is one."""
    return next((one for one in settings if one.value is not None), UNSET)


def _environment(values: Cluster, node: Node, field: str) -> Setting:
    name = environment_name(field)
    where = values.install
    source = f"the environment of DaemonSet {where.namespace}/{DAEMON_SET}"
    for variable, value in node.environment.items():
        if variable.upper() == name:
            shown = ELSEWHERE if value is None else value
            return Setting(shown or None, f"{variable}={shown} in {source}")
    return UNSET


def objects_for(configurations: Iterable[Object], node: Node) -> list[Object]:
    """The FelixConfigurations that count on this node, the strongest first."""
    named = {one["metadata"]["name"]: one for one in configurations}
    order = [node_object(node.name), _selected(named, node), GLOBAL]
    return [named[name] for name in order if name in named]


def _selected(named: Mapping[str, Object], node: Node) -> str:
    """The oldest of those that choose the node; a name breaks a tie."""
    found = []
    for name, one in named.items():
        chosen = (one.get("spec") or {}).get("nodeSelector")
        if name == GLOBAL or name.startswith(NODE) or not chosen:
            continue
        try:
            test = selector.parse(chosen)
        except RefusedError as error:
            raise RefusedError(f"FelixConfiguration {name}, nodeSelector: {error}") from None
        if test(node.labels):
            found.append((one["metadata"].get("creationTimestamp", ""), name))
    return min(found)[1] if found else ""


def of_object(one: Object, field: str) -> Setting:
    """What an object says of a field."""
    name, option = one["metadata"]["name"], option_name(field).casefold()
    for key, value in (one["metadata"].get("annotations") or {}).items():
        if key.startswith(ANNOTATION) and key[len(ANNOTATION) :].casefold() == option and value:
            return Setting(str(value), f"annotation {key} of FelixConfiguration {name}")
    return Setting(text((one.get("spec") or {}).get(field)), f"FelixConfiguration {name}")


def own_default(node: Node, field: str) -> str | None:
    """What felix of the node's release uses when nothing is set, or None where no fact tells."""
    if node.release is None:
        return None
    try:
        rows = config_field(exactly(node.release), field)
    except BpfopsError:
        return None
    return text(rows[0].default) if rows else None


def changed_objects(configurations: Iterable[Object], one: Object) -> tuple[Object, ...]:
    """The objects with ``one`` in the place of that of its name; without its spec it is gone."""
    name = one["metadata"]["name"]
    rest = [other for other in configurations if other["metadata"]["name"] != name]
    return (*rest, one) if "spec" in one else tuple(rest)


def spec_of(configurations: Iterable[Object], name: str) -> dict[str, Any]:
    """The spec of an object, empty where it is not there."""
    for one in configurations:
        if one["metadata"]["name"] == name:
            return dict(one.get("spec") or {})
    return {}

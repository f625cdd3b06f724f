# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes to FelixConfiguration objects, and what an object of one node had before ours.

That is kept in an annotation of the object, so that any later run can put it back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .cluster import Object
from .values import text

BEFORE = "bpfops.calico/before"
"""Annotation with JSON: ``created`` (the object is ours), ``spec`` (values of before by field)."""


class Memory(NamedTuple):
    """What a node's object had before: null for a field that it did not have."""

    created: bool
    fields: Mapping[str, Any]

    def annotation(self) -> str | None:
        """Its text, None when there is nothing to remember."""
        if not self.fields:
            return None
        return json.dumps({"created": self.created, "spec": dict(self.fields)}, sort_keys=True)


def memory_of(one: Object | None) -> Memory:
    """What an object remembers. One that is not there will be ours; odd text is none."""
    if one is None:
        return Memory(True, {})
    try:
        kept = json.loads((one["metadata"].get("annotations") or {})[BEFORE])
        return Memory(bool(kept["created"]), dict(kept["spec"]))
    except (KeyError, TypeError, ValueError):
        return Memory(False, {})


class Write(NamedTuple):
    """One request. ``state``: present or absent. ``actions``: what it does, in sentences."""

    state: str
    definition: Mapping[str, Any]
    preconditions: Mapping[str, str]
    actions: tuple[str, ...]


def write(
    api_version: str, name: str, one: Object | None, spec: Mapping[str, Any], memory: Memory | None
) -> Write | None:
    """What brings the object to ``spec`` and ``memory`` (None: it keeps none), or None."""
    had = dict((one or {}).get("spec") or {})
    now = {field: value for field, value in spec.items() if value is not None}
    changes = {
        field: spec.get(field) for field in sorted({*had, *now}) if had.get(field) != now.get(field)
    }
    kept = memory.annotation() if memory else None
    head = {"apiVersion": api_version, "kind": "FelixConfiguration"}
    if one is not None and memory and memory.created and not now and not kept:
        return Write(
            "absent",
            {**head, "metadata": {"name": name}},
            {key: one["metadata"][key] for key in ("uid", "resourceVersion")},
            (f"Delete FelixConfiguration {name}",),
        )
    annotations = ((one or {}).get("metadata") or {}).get("annotations") or {}
    meta: dict[str, Any] = {"name": name}
    if one is not None:
        meta["resourceVersion"] = one["metadata"]["resourceVersion"]
    if memory and annotations.get(BEFORE) != kept:
        meta["annotations"] = {BEFORE: kept}
    if not changes and "annotations" not in meta:
        return None
    definition = {**head, "metadata": meta, "spec": changes}
    return Write("present", definition, {}, tuple(_say(name, changes)))


def _say(name: str, changes: Mapping[str, Any]) -> list[str]:
    if not changes:
        return [f"Forget what FelixConfiguration {name} had before"]
    return [
        f"Take {field} out of FelixConfiguration {name}"
        if value is None
        else f"Set {field} of FelixConfiguration {name} to {text(value)}"
        for field, value in changes.items()
    ]

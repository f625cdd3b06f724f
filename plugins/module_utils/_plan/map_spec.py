# SPDX-License-Identifier: GPL-3.0-or-later
"""The parameters that a map shall have, compared with those that it has."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from .._uapi.bpf import LRU_TYPES, MapFlag
from .._uapi.maps import MapSpec, flag_names, type_name
from .map_task import MAX_U32, Desired

COMPARED = ("type", "key_size", "value_size", "max_entries", "flags")
"""Parameters by which a pinned map matches or not."""


def default_name(path: str) -> str:
    """The kernel name of a map that is pinned at ``path``: the pin's name, cut to 15 letters."""
    return re.sub(r"[^A-Za-z0-9_]", "_", PurePosixPath(path).name)[:15]


def effective_spec(wanted: Desired, base: MapSpec, possible_cpus: int) -> MapSpec:
    """``base`` with what the task names, as the kernel will report it."""
    named = {field: getattr(wanted, field) for field in (*COMPARED, "name")}
    spec = base._replace(**{field: value for field, value in named.items() if value is not None})
    if (spec.key_size, spec.value_size, spec.type) != (base.key_size, base.value_size, base.type):
        spec = spec._replace(btf_id=0, btf_key_type_id=0, btf_value_type_id=0)
    return spec._replace(max_entries=rounded_entries(spec, possible_cpus))


def rounded_entries(spec: MapSpec, possible_cpus: int) -> int:
    """max_entries as the kernel keeps it: an LRU without a common list gives each CPU as many."""
    if spec.type not in LRU_TYPES or not spec.flags & MapFlag.NO_COMMON_LRU:
        return spec.max_entries
    above = -(-spec.max_entries // possible_cpus) * possible_cpus
    return above if above <= MAX_U32 else above - possible_cpus


def differences(have: MapSpec, want: MapSpec) -> list[str]:
    """The parameters that differ, each as ``name old -> new``."""
    before, after = spec_facts(have), spec_facts(want)
    return [
        f"{field} {before[field]} -> {after[field]}"
        for field in COMPARED
        if before[field] != after[field]
    ]


def spec_facts(spec: MapSpec) -> dict[str, Any]:
    """A map's parameters as results and diffs show them."""
    return {
        "type": type_name(spec.type),
        "key_size": spec.key_size,
        "value_size": spec.value_size,
        "max_entries": spec.max_entries,
        "flags": flag_names(spec.flags),
    }


def shown(path: str, spec: MapSpec | None) -> dict[str, Any]:
    """One side of the diff."""
    return (
        {"path": path, "state": "present", **spec_facts(spec)}
        if spec
        else {
            "path": path,
            "state": "absent",
        }
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out the plan for a pinned map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

from .._kernel import bpffs
from .._kernel.maps import Map
from .._kernel.passes import carry
from .._kernel.readers import Side
from .._kernel.rules import merge_rule
from .._plan.bpf_map import Plan, Verb
from .._plan.map_task import Desired
from .._uapi.maps import MapSpec
from .migrate import Options, migrate, swap


def execute(wanted: Desired, plan: Plan, options: Options) -> dict[str, Any]:
    """Carry the actions out in their order; the facts they report. Raises SyscallError."""
    facts: dict[str, Any] = {}
    for action in plan.actions:
        facts.update(_STEPS[action.verb](wanted, plan.wanted, options))
    return facts


def _unpin(wanted: Desired, spec: MapSpec | None, options: Options) -> dict[str, Any]:
    Path(wanted.path).unlink()
    return {}


def _create(wanted: Desired, spec: MapSpec, options: Options) -> dict[str, Any]:
    bpffs.make_directory(os.path.dirname(wanted.path))
    with Map.create(spec) as created:
        created.pin(wanted.path)
    return {}


def _recreate(wanted: Desired, spec: MapSpec, options: Options) -> dict[str, Any]:
    with Map.open(wanted.path) as old, Map.create(spec) as new:
        swap(old, new, wanted.path, options.keep_old_pin)
    return {}


def _migrate(wanted: Desired, spec: MapSpec, options: Options) -> dict[str, Any]:
    done = migrate(wanted.path, spec, options)
    passes = [{**step._asdict(), "changed": step.changed} for step in done.passes]
    return {
        "migration": {
            "entries": done.entries,
            "passes": passes,
            "duration_ms": done.duration_ms,
        }
    }


def _merge(wanted: Desired, spec: MapSpec, options: Options) -> dict[str, Any]:
    with Map.open(wanted.merge_from or "", read_only=True) as source, Map.open(
        wanted.path
    ) as target:
        merged = carry(
            Side(source, source.info().spec),
            Side(target, target.info().spec),
            merge_rule(options.timestamp_offset),
            options.batch_size,
        )
    return {"merge": {"inserted": merged.inserted, "updated": merged.updated}}


_STEPS: dict[Verb, Callable[..., dict[str, Any]]] = {
    Verb.UNPIN: _unpin,
    Verb.CREATE: _create,
    Verb.RECREATE: _recreate,
    Verb.MIGRATE: _migrate,
    Verb.MERGE: _merge,
}

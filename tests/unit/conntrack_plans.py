# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes with conntrack maps as their planner sees them, and tasks, for its tests."""

from __future__ import annotations

from typing import Any

from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Sightings, detect
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_map_state as st
from ansible_collections.bpfops.calico.plugins.module_utils._plan.conntrack_map_task import (
    Task,
    task,
)
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

DIR, OWN = "/b/tc/globals", "/b/bpfops"
SHAPES = {
    "cali_v4_ct2": (1, 16, 64, 1),
    "cali_v4_ct3": (1, 16, 88, 1),
    "cali_v4_ct4": (9, 16, 88, 0),
    "cali_v6_ct3": (1, 40, 128, 1),
    "cali_v6_ct4": (9, 40, 128, 0),
}
CREATED = st.Note(5, True)


def spec(name: str, entries: int = 1000) -> MapSpec:
    kind, keys, values, flags = SHAPES[name]
    return MapSpec(kind, keys, values, entries, flags, name)


def pin(name: str, map_id: int = 7, entries: int = 1000, live: int | None = 100) -> st.Pinned:
    base = name[: -len("_old")] if name.endswith("_old") else name
    parsed = st.parse_pin(name)
    assert parsed is not None
    return st.Pinned(f"{DIR}/{name}", parsed, map_id, spec(base, entries), live)


def kept(name: str, map_id: int, entries: int = 1000, note: st.Note | None = None) -> st.Kept:
    return st.Kept(f"{OWN}/old_{name}", name, map_id, spec(name, entries), note)


def stray(name: str, map_id: int) -> st.Stray:
    return st.Stray(map_id, spec(name))


def seen(*pins: st.Pinned, **more: Any) -> st.Seen:
    specs = tuple(one.spec for one in pins if not one.name.old)
    given: dict[str, Any] = {"cpus": 4, "available": 1 << 40, **more}
    return st.Seen(detect(Sightings(pinned_maps=specs)), pins=pins, **given)


def wanted(**given: Any) -> Task:
    params: dict[str, Any] = {
        "state": "sized",
        "bpffs": "/b",
        "pin_dir": None,
        "families": None,
        "max_entries": None,
        "per_cpu": None,
        "calico_version": None,
        "running_version": None,
        "downgrade": False,
        "autoscale_file": "keep",
        "autoscale_path": "/f",
        "records_dir": "/r",
        "timeouts": None,
        "timeout": 60.0,
        "batch_size": 256,
        "kernel_step": 1024,
    }
    return task({**params, **given})

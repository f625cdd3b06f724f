# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for a pinned map: what is done, what is refused, and that a done plan plans nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    BadInputError,
    BpfopsError,
    RefusedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import bpf_map as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan import map_task
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.bpf import MapFlag, MapType
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapInfo, MapSpec

PATH = "/sys/fs/bpf/m"
SPEC = MapSpec(MapType.HASH, 16, 88, 1000, 1, "m")
NOTHING = planner.PinState(True)


def params(**given: Any) -> dict[str, Any]:
    names = (
        "type key_size value_size max_entries flags name keep_old_pin merge_from timestamp_offset"
    )
    defaults: dict[str, Any] = dict.fromkeys(names.split())
    defaults.update(path=PATH, state="present", on_mismatch="migrate")
    defaults.update(batch_size=256, threads=1, delta_passes=8)
    return {**defaults, **given}


def pinned(spec: MapSpec = SPEC, map_id: int = 7) -> planner.PinState:
    return planner.PinState(True, "map", MapInfo(map_id, spec))


def seen(pin: planner.PinState, **more: Any) -> planner.Observed:
    return planner.Observed(pin, possible_cpus=4, **more)


def plan(observed: planner.Observed, **given: Any) -> planner.Plan:
    return planner.plan(map_task.desired(params(**given)), observed)


def verbs(planned: planner.Plan) -> list[str]:
    return [action.verb.value for action in planned.actions]


NEW = {"type": "hash", "key_size": 16, "value_size": 88, "max_entries": 1000}
KEEP = {"keep_old_pin": "/k"}
LRU = SPEC._replace(type=MapType.LRU_HASH, flags=0)
ROWS: list[tuple[planner.Observed, dict[str, Any], list[str]]] = [
    (seen(NOTHING), NEW, ["create"]),
    (seen(NOTHING), {"state": "absent"}, []),
    (seen(pinned()), {"state": "absent"}, ["unpin"]),
    (seen(pinned()), {}, []),
    (seen(pinned()), NEW, []),
    (seen(pinned()), {**NEW, "name": "other"}, []),
    (seen(pinned()), {"max_entries": 1001}, ["migrate"]),
    (seen(pinned(), entries=900), {"max_entries": 900}, ["migrate"]),
    (seen(pinned()), {"flags": []}, ["migrate"]),
    (seen(pinned()), {"flags": ["BPF_F_NO_PREALLOC"]}, []),
    (seen(pinned()), {"type": "lru_hash", "on_mismatch": "recreate"}, ["recreate"]),
    (seen(pinned(LRU), entries=990), {"max_entries": 1000, "flags": []}, []),
    (seen(pinned(LRU), entries=1980), {"max_entries": 2000}, ["migrate"]),
    (
        seen(pinned(), kept=pinned(map_id=7)),
        {"max_entries": 9999, "keep_old_pin": "/k"},
        ["migrate"],
    ),
    (seen(pinned(), kept=pinned(map_id=8)), {"keep_old_pin": "/k"}, []),
    (seen(pinned(), source=NOTHING), {"merge_from": "/o"}, []),
    (seen(pinned(), source=pinned(), pending=planner.Pending(0, 0)), {"merge_from": "/o"}, []),
    (
        seen(pinned(), source=pinned(), pending=planner.Pending(2, 1), entries=998),
        {"merge_from": "/o"},
        ["merge"],
    ),
    (
        seen(pinned(), source=pinned(), pending=planner.Pending(2, 1), entries=500),
        {"merge_from": "/o", "max_entries": 2000},
        ["migrate", "merge"],
    ),
]


@pytest.mark.parametrize(("observed", "given", "expected"), ROWS)
def test_actions(observed: planner.Observed, given: dict[str, Any], expected: list[str]) -> None:
    assert verbs(plan(observed, **given)) == expected


REFUSALS: list[tuple[planner.Observed, dict[str, Any], str]] = [
    (seen(NOTHING), {"max_entries": 5}, "type, key_size, value_size: needed to create"),
    (seen(NOTHING), {**NEW, "type": "hash_of_maps"}, "type: 'hash_of_maps' needs more than sizes"),
    (seen(planner.PinState(False)), NEW, "path: '/sys/fs/bpf/m' is not on a bpffs"),
    (seen(planner.PinState(True, "link")), NEW, "path: '/sys/fs/bpf/m' is a link and not"),
    (seen(pinned(), bpffs_mounted=False), NEW, "no bpffs is mounted on this node"),
    (seen(pinned()), {"type": "lru_hash"}, "type: 'lru_hash' differs from 'hash'"),
    (seen(pinned()), {"key_size": 8}, "key_size: 8 differs from 16"),
    (seen(pinned()), {"max_entries": 5, "on_mismatch": "fail"}, "max_entries 1000 -> 5"),
    (
        seen(pinned(), entries=901),
        {"max_entries": 900},
        "max_entries: 900 is too small for the 901",
    ),
    (seen(pinned(LRU), entries=1981), {"max_entries": 2000}, "2000 takes 1980 for the 1981"),
    (seen(pinned(), kept=pinned(map_id=8)), {"max_entries": 5, **KEEP}, "map id 8"),
    (
        seen(pinned(SPEC._replace(type=MapType.PROG_ARRAY, key_size=4, value_size=4))),
        {"max_entries": 5},
        "a prog_array map holds what user space cannot copy",
    ),
    (
        seen(pinned(), source=pinned(SPEC._replace(value_size=8))),
        {"merge_from": "/o"},
        "merge_from: its keys and values have another layout",
    ),
    (
        seen(pinned(), source=pinned(), pending=planner.Pending(2), entries=999),
        {"merge_from": "/o"},
        "max_entries: 1000 is too small for the 1001",
    ),
    (seen(pinned()), {"timestamp_offset": 81}, "timestamp_offset: 81 leaves no room"),
]


@pytest.mark.parametrize(("observed", "given", "expected"), REFUSALS)
def test_refusals(observed: planner.Observed, given: dict[str, Any], expected: str) -> None:
    with pytest.raises(RefusedError) as caught:
        plan(observed, **given)
    assert expected in str(caught.value)
    assert str(caught.value).endswith(".")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"path": "m"}, "path: 'm' is relative"),
    ({"path": "/a.b/m"}, "path: '/a.b/m' has a dot in 'a.b'"),
    ({"path": "/sys/fs/bpf/"}, "names a directory"),
    ({"path": "/" + "m" * 241}, "longer than 240 bytes"),
    ({"max_entries": 0}, "max_entries: 0 is not a whole number from 1 to 4294967295"),
    ({"max_entries": -1}, "max_entries: -1 is not"),
    ({"max_entries": 2**32}, "max_entries: 4294967296 is not"),
    ({"key_size": 513}, "key_size: 513 is not a whole number from 1 to 512"),
    ({"key_size": 0}, "key_size: 0 is not"),
    ({"value_size": 4194305}, "value_size: 4194305 is not"),
    ({"timestamp_offset": -1}, "timestamp_offset: -1 is not"),
    ({"name": "sixteen_letters_"}, "name: 'sixteen_letters_' is not 1 to 15"),
    ({"name": "a-b"}, "name: 'a-b' is not"),
    ({"keep_old_pin": PATH}, "keep_old_pin: '/sys/fs/bpf/m' is the map's own path"),
    ({"merge_from": "x"}, "merge_from: 'x' is relative"),
    ({"merge_from": "/o", "on_mismatch": "recreate"}, "merge_from: '/o' goes with"),
]


@pytest.mark.parametrize(("given", "expected"), BAD)
def test_parameters_that_can_never_work(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadInputError) as caught:
        map_task.desired(params(**given))
    assert expected in str(caught.value)


@pytest.mark.parametrize("name", ["batch_size", "threads", "delta_passes"])
@pytest.mark.parametrize("value", [0, -1, 10**6])
def test_options_of_the_migration(name: str, value: int) -> None:
    with pytest.raises(BadInputError, match=f"{name}: {value} is not a whole number"):
        map_task.migration_options(params(**{name: value}))


def predicted(planned: planner.Plan, before: planner.Observed) -> planner.Observed:
    """The node as it is once the plan has been carried out."""
    if planned.wanted is None:
        return before._replace(pin=NOTHING)
    return before._replace(
        pin=pinned(planned.wanted, map_id=99 if planned.actions else 7),
        pending=planner.Pending(0) if before.pending else None,
    )


def test_a_plan_carried_out_plans_nothing_more() -> None:
    """Idempotence as a property: over every combination that is not refused."""
    pins = [NOTHING, pinned(), pinned(LRU), pinned(LRU._replace(flags=MapFlag.NO_COMMON_LRU))]
    lru = {"flags": ["BPF_F_NO_COMMON_LRU"], "type": "lru_hash"}
    variants: list[dict[str, Any]] = [{}, {"flags": []}, lru]
    tasks: list[dict[str, Any]] = [
        {**sizes, **more, "on_mismatch": action, "state": state}
        for sizes in (NEW, {}, {"max_entries": 1501}, {"max_entries": 500})
        for more in variants
        for action in ("migrate", "recreate", "fail")
        for state in ("present", "absent")
    ]
    planned = 0
    for pin, task, entries in itertools.product(pins, tasks, (0, 600)):
        before = seen(pin, entries=entries)
        try:
            first = plan(before, **task)
        except BpfopsError:
            continue
        planned += 1
        again = plan(predicted(first, before), **task)
        assert again == planner.Plan((), first.wanted), (pin, task)
    assert planned > 100


def test_btf_stays_only_with_the_layout_that_it_describes() -> None:
    typed = SPEC._replace(btf_id=5, btf_key_type_id=1, btf_value_type_id=2)
    kept = plan(seen(pinned(typed)), max_entries=2000).wanted
    assert kept is not None
    assert kept.btf_id == 5
    task = {"value_size": 4, "on_mismatch": "recreate"}
    changed = plan(seen(pinned(typed)), **task).wanted
    assert changed is not None
    assert (changed.btf_id, changed.btf_key_type_id, changed.btf_value_type_id) == (0, 0, 0)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/b/cali_v4_ct3", "cali_v4_ct3"), ("/b/a-very-long-name-indeed", "a_very_long_nam")],
)
def test_name_of_a_new_map(path: str, name: str) -> None:
    wanted = plan(seen(NOTHING), **{**NEW, "path": path}).wanted
    assert wanted is not None
    assert wanted.name == name


def test_unfinished_says_what_is_missing() -> None:
    wanted = map_task.desired(params(max_entries=5))
    spec = SPEC._replace(max_entries=5)
    planned = planner.Plan((), spec)
    assert planner.unfinished(wanted, planned, pinned(spec)) == []
    assert planner.unfinished(wanted, planned, pinned()) == ["max_entries 5 -> 1000"]
    assert planner.unfinished(wanted, planned, NOTHING) == ["nothing at /sys/fs/bpf/m"]
    gone = planner.Plan((), None)
    assert planner.unfinished(wanted, gone, NOTHING) == []
    assert planner.unfinished(wanted, gone, pinned()) == ["map at /sys/fs/bpf/m"]

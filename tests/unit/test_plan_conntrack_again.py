# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a node has, a plan for its conntrack maps leaves nothing to plan."""

from __future__ import annotations

import random
from typing import Any

from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    RefusedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_map as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan import conntrack_map_state as st
from ansible_collections.bpfops.calico.plugins.module_utils._plan.conntrack_map_predict import (
    predicted,
    shown,
)
from tests.unit.conntrack_plans import CREATED, OWN, SHAPES, kept, pin, seen, stray, wanted


def generated(chance: random.Random) -> tuple[st.Seen, dict[str, Any]]:
    """Any node with any leftovers, and any task."""
    pins, keeps, strays = [], [], []
    for number, name in enumerate(SHAPES):
        size = chance.choice([1000, 2000, 512000])
        if chance.random() < 0.5:
            pins.append(pin(name, 10 + number, size))
        if chance.random() < 0.2:
            pins.append(pin(f"{name}_old", 20 + number, size))
        if chance.random() < 0.3:
            same = [one.id for one in pins if one.path.endswith(name)]
            note = chance.choice([None, CREATED, st.Note(5, False)])
            keeps.append(kept(name, chance.choice([30 + number, *same]), size, note))
        if chance.random() < 0.2:
            strays.append(stray(name, 40 + number))
    node = seen(
        *pins,
        kept=tuple(keeps),
        strays=tuple(strays),
        leftovers=chance.choice([(), (f"{OWN}/note_x",)]),
        autoscale=chance.choice([None, None, 1500, 9999]),
    )
    given: dict[str, Any] = {
        "state": chance.choice(["sized", "settled"]),
        "max_entries": chance.choice([None, 1000, 2000, 512000]),
        "calico_version": chance.choice([None, "3.27.3", "3.28.1", "3.29.7", "3.30.7", "3.31.7"]),
        "running_version": chance.choice([None, "3.29.7", "3.30.1", "3.31.1"]),
        "autoscale_file": chance.choice(["keep", "lower", "remove"]),
    }
    # Who runs wrote the newest map.
    given["downgrade"] = None not in (given["calico_version"], chance.choice([None, 1]))
    if given["downgrade"]:
        given["running_version"] = "3.31.1"
    return node, given


def test_planning_again_on_the_predicted_state_gives_an_empty_plan() -> None:
    chance, planned = random.Random(20261120), 0
    for _ in range(3_000):
        node, given = generated(chance)
        try:
            plan = planner.plan(wanted(**given), node)
        except RefusedError:
            continue
        after = predicted(node, plan)
        assert planner.plan(wanted(**given), after).actions == (), (node, given)
        assert plan.actions or shown(after) == shown(node)
        planned += bool(plan.actions)
    assert planned > 100

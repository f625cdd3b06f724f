# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins of a newer release than the one that a node went back to."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    BadInputError,
    RefusedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import dataplane as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan.dataplane_newer import plan
from ansible_collections.bpfops.calico.plugins.module_utils._plan.felix_mode import Agent
from tests.unit.test_plan_dataplane import (
    FULL,
    JUMPS,
    PINS,
    UNPROVEN,
    a_map,
    attached,
    interface,
    observed,
    wanted,
)

MAPS = (
    a_map("cali_v4_ccq2", 1),
    a_map("cali_jump_ing2", JUMPS, 3),
    a_map("cali_v4_ct3", 2),
    a_map("cali_v4_ct4", 3),
    a_map("cali_counters5", 4, owner=UNPROVEN),
    a_map("cali_jump3", 5, 3),
    a_map("cali_progs_egr2", 6, 3),
    a_map("cali_counters3", 8),
    a_map("theirs", 7),
)


def test_only_what_newer_releases_make_goes_program_arrays_first() -> None:
    back = observed(maps=MAPS, agents=(Agent(5, "calico-node -felix", ("cali_v4_ct3",)),))
    done = plan(wanted(newer_than="v3.30.7"), back)
    names = [step.object.rpartition("/")[2] for step in done.actions]
    assert names == ["cali_jump_ing2", "cali_progs_egr2", "cali_v4_ccq2"]
    assert done.residue == done.actions
    assert [one.object for one in done.left_alone] == [f"{PINS}/cali_counters5"]
    assert plan(wanted(newer_than="v3.31.7"), back).actions == ()
    assert plan(wanted(newer_than="3.31"), back).actions == ()
    older = [step.object for step in plan(wanted(newer_than="v3.29.7"), back).actions]
    assert f"{PINS}/cali_counters3" in older


def test_an_array_that_programs_call_into_is_refused() -> None:
    busy = observed(maps=MAPS, interfaces=(interface("cali1", attached("tc", "ingress", 9)),))
    with pytest.raises(RefusedError) as caught:
        plan(wanted(newer_than="3.30.7"), busy)
    assert str(caught.value) == (
        f"newer_than: program 9 on cali1 ingress calls into {PINS}/cali_jump_ing2, so a newer "
        "release than 3.30.7 still works on this node."
    )


def test_without_it_everything_goes() -> None:
    assert plan(wanted(), FULL) == planner.plan(wanted(), FULL)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"newer_than": "latest"}, "newer_than: 'latest'"),
        ({"newer_than": "v9.9.9"}, "9.9.9"),
        ({"newer_than": "v3.30.7", "include": ["pin"]}, "is not for newer_than"),
        (
            {"newer_than": "v3.30.7", "sysctls": {"net.core.bpf_jit_harden": 1}},
            "is not for newer_than",
        ),
    ],
)
def test_bad_input(params: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        wanted(**params)
    assert message in str(caught.value)

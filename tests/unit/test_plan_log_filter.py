# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans against stale log filters, and the pass-through program, without a kernel."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Detection
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Ownership,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.ownership import (
    STATIC_PROGRAMS,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.pass_through import (
    SLOTS,
    name_of,
    slot_of,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.places import is_cleaned
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings_input import (
    Attachment,
    Interface,
    Node,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.log_filter import (
    Call,
    Desired,
    Observed,
    Own,
    Plan,
    Slot,
    State,
    StateMap,
    desired,
    plan,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.log_filter_facts import (
    calls_after,
    states,
)

SLOT = Slot(9, "cali_jump2", 26)
EMPTY = Call("cali1", 7, "egress", "tc", SLOT, 8, None, False, "cali_iface3")
OTHER = EMPTY._replace(hook="ingress", slot=SLOT._replace(number=27))
STATES = {"cali_iface3": StateMap("/b/cali_iface3", 5, {7: State("cali1", 26, 27)})}


def node(release: str = "3.27", *interfaces: Interface) -> Node:
    shown = parse_range(release)
    return Node(
        "6.1", 1, None, (), (), "/b", Detection(shown, shown, (), ()), interfaces=interfaces
    )


def task(**params: Any) -> Desired:
    given = {
        "method": "both",
        "interfaces": ["*"],
        "felix_about_to_restart": False,
        "logging_ends": False,
        "watch_trace": 0,
        "bpffs": "/b",
        "pin_dir": None,
        "calico_version": None,
    }
    return desired({**given, **params})


def planned(*calls: Call, **changes: Any) -> Plan:
    release = changes.pop("release", "3.27")
    felix = changes.pop("felix", ())
    own = changes.pop("own", ())
    known = changes.pop("states", STATES)
    return plan(task(**changes), Observed(node(release), calls, own, known, felix))


def test_names_tell_the_slot_and_are_not_calicos() -> None:
    for slot in (0, 26, SLOTS - 1):
        name = name_of(slot)
        assert len(name) <= 15
        assert slot_of(name) == slot
        assert not is_cleaned(name)
        assert not name.startswith(STATIC_PROGRAMS)
    for name in ("bpfops_pass", "bpfops_pass12345", "bpfops_passx", "calico_log_filt", "x"):
        assert slot_of(name) is None


def test_methods() -> None:
    assert len(planned(EMPTY, OTHER).actions) == 3
    through = planned(EMPTY, OTHER, method="passthrough")
    assert (len(through.passes), through.resets) == (2, ())
    (reset,) = planned(EMPTY, OTHER, method="ifstate").actions
    assert reset == "Write -1 over the log filters 26 and 27 of cali1 in /b/cali_iface3"


def test_a_slot_that_two_families_share_is_filled_once() -> None:
    assert len(planned(EMPTY, EMPTY).passes) == 1


def test_a_slot_with_an_own_program_is_stale_and_not_filled_again() -> None:
    done = planned(EMPTY._replace(held=3, own=True))
    assert (done.passes, len(done.resets)) == ((), 1)
    assert planned(EMPTY._replace(held=3)).actions == ()


@pytest.mark.parametrize("method", ["ifstate", "both"])
def test_a_running_felix_is_no_place_to_write(method: str) -> None:
    with pytest.raises(errors.RefusedError, match=r"felix runs \(process 3\)") as caught:
        planned(EMPTY, method=method, felix=("process 3",))
    assert caught.value.code == "LOG_FILTER_STALE"
    assert planned(EMPTY, method=method, felix=("process 3",), felix_about_to_restart=True).resets
    reset = {"cali_iface3": StateMap("/b/cali_iface3", 5, {7: State("cali1", -1, -1)})}
    assert planned(EMPTY, method="ifstate", felix=("process 3",), states=reset).actions == ()
    assert planned(EMPTY, method="passthrough", felix=("process 3",)).passes


@pytest.mark.parametrize(
    ("release", "writes"),
    [
        ("3.27", True),
        (">=3.28,<3.30", True),
        (">=3.28,<3.28.3", True),
        ("3.28.3", False),
        ("3.29", False),
        (">=3.31", False),
    ],
)
def test_who_resets_the_indices(release: str, writes: bool) -> None:
    done = planned(EMPTY, release=release)
    assert (bool(done.resets), bool(done.warnings)) == (writes, not writes)
    assert done.passes


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"cali_iface4": STATES["cali_iface3"]},
        {"cali_iface3": StateMap("/b/cali_iface3", 5, {8: State("cali1", 26, 27)})},
        {"cali_iface3": StateMap("/b/cali_iface3", 5, {7: State("cali2", 26, 27)})},
    ],
)
def test_only_the_right_entry_of_the_right_map_is_written(known: dict[str, StateMap]) -> None:
    done = planned(EMPTY, method="ifstate", states=known)
    assert done.resets == ()
    assert "has no entry in" in done.warnings[0]


def test_one_filter_is_reason_enough() -> None:
    half = {"cali_iface3": StateMap("/b/cali_iface3", 5, {7: State("cali1", -1, 27)})}
    assert len(planned(EMPTY, method="ifstate", states=half).resets) == 1


def test_own_programs_go_when_nothing_calls_them() -> None:
    own = (Own(SLOT, 3), Own(SLOT._replace(number=30), 4), Own(SLOT._replace(map_id=10), 5))
    done = planned(EMPTY._replace(held=3, own=True), own=own, method="passthrough")
    assert [clear.own.prog_id for clear in done.clears] == [4, 5]
    done = planned(EMPTY._replace(held=3, own=True), own=own, interfaces=["eth0"])
    assert [clear.own.prog_id for clear in done.clears] == [4, 5]
    assert (done.passes, done.resets) == ((), ())


def test_what_is_shown() -> None:
    seen = Observed(node(), (EMPTY, OTHER._replace(held=6, own=True)), (), STATES)
    done = plan(task(), seen)
    assert [one["passed_through"] for one in calls_after(task(), seen, done)] == [True, True]
    assert states(task(), seen) == {
        "slots": {
            "cali1 egress slot 26 of cali_jump2": "empty",
            "cali1 ingress slot 27 of cali_jump2": "passed through",
        },
        "indices": {"cali1": [26, 27]},
    }
    after = states(task(), seen, done)
    assert set(after["slots"].values()) == {"passed through"}
    assert after["indices"] == {"cali1": [-1, -1]}


def test_what_is_not_proven_is_told() -> None:
    owner = Ownership(Verdict.UNPROVEN, ("It has no constants of a known layout.",))
    attached = Attachment("tcx", "ingress", 4, "cali_tc_preambl", owner)
    one = Interface("cali1", 7, True, "veth", True, True, (attached,))
    done = plan(task(), Observed(node("3.27", one)))
    assert done.warnings == (
        "cali1 ingress: cali_tc_preambl is not proven Calico's and was left alone. "
        "It has no constants of a known layout.",
    )
    assert plan(task(interfaces=["eth*"]), Observed(node("3.27", one))).warnings == ()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"interfaces": []}, "has to name interfaces"),
        ({"interfaces": ["a", ""]}, "has to name interfaces"),
        ({"bpffs": "x"}, "bpffs: 'x' is relative"),
        ({"calico_version": "2.0"}, "calico_version: '2.0'"),
    ],
)
def test_bad_input(params: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.RefusedError, match=message):
        task(**params)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for tc filters, without a kernel."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.ifstate import IfState
from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Detection
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Ownership,
    Program,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.ifstate import (
    hook_of_policy,
    is_workload,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from ansible_collections.bpfops.calico.plugins.module_utils._plan import tc_task
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings_input import (
    Attachment,
    Constants,
    Interface,
    Loaded,
    Node,
    PinnedMap,
    Slot,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.removal import FilterAt
from ansible_collections.bpfops.calico.plugins.module_utils._plan.tc_attachment import (
    Observed,
    Plan,
    Spare,
    plan,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.tc_hooks import Other
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

CALICO = Ownership(Verdict.CALICO, ())
ARRAY = 50
PINNED = PinnedMap("/b/tc/globals/cali_jump3", ARRAY, MapSpec(3, 4, 4, 240000), 0, CALICO)
GONE = 51
RELEASE = parse_range("3.29")


def attached(
    hook: str, preference: int, handle: int, prog_id: int, array: int = ARRAY, **changes: Any
) -> Attachment:
    main = (Slot("cali_progs3", 0, changes.pop("filled", True)),)
    evidence = Program("cali_tc_preambl", 3, ())
    loaded = Loaded(prog_id, "", evidence, (array,), Constants("x", 512, (), main))
    name = f"cali_tc_preambl:[{prog_id}]"
    made = Attachment("tc", hook, prog_id, name, CALICO, loaded, preference, handle)
    return made._replace(**changes)


def node(*attachments: Attachment, **changes: Any) -> Node:
    one = Interface("cali1", 7, True, "veth", True, True, attachments)
    return Node(
        "6.1",
        1,
        None,
        (),
        (),
        "/b/tc/globals",
        Detection(RELEASE, RELEASE, (), ()),
        (PINNED,),
        interfaces=(one,),
    )._replace(**changes)


def task(**params: Any) -> tc_task.Desired:
    given = {
        "state": "consistent",
        "interfaces": None,
        "allow_host_traffic_loss": False,
        "lowest_preference": 40960,
        "bpffs": "/b",
        "pin_dir": None,
        "calico_version": None,
    }
    return tc_task.desired({**given, **params})


def planned(seen: Node, **params: Any) -> Plan:
    return plan(task(**params), Observed(seen))


def applied(seen: Node, done: Plan) -> Node:
    """The node after the plan."""
    (one,) = seen.interfaces
    left = list(one.attachments)
    for change in done.changes:
        if change.put:
            put = change.put
            known = next(now for now in left if now.prog_id == put.prog_id)
            left = [now for now in left if not _at(now, put)]
            left.append(known._replace(preference=put.preference, handle=put.handle))
        for drop in change.drop:
            (gone,) = [now for now in left if _at(now, drop)]
            assert gone.prog_id == drop.prog_id
            left.remove(gone)
    return seen._replace(interfaces=(one._replace(attachments=tuple(left)),))


def _at(one: Attachment, place: FilterAt) -> bool:
    there = (place.hook, place.preference, place.handle)
    return (one.hook, one.preference, one.handle) == there


def test_made_up_states_end_with_one_filter_each_at_one_place() -> None:
    chance = random.Random(2)
    for _ in range(500):
        filters, numbers = [], iter(chance.sample(range(1, 99), 8))
        for hook in ("ingress", "egress"):
            spots = chance.sample([(p, h) for p in (49150, 49151, 49152) for h in (1, 2)], 3)
            for spot in spots[: chance.randint(1, 3)]:
                array = chance.choice((ARRAY, GONE))
                filters.append(attached(hook, *spot, next(numbers), array))
        seen = node(*filters)
        done = planned(seen)
        after = applied(seen, done)
        left = after.interfaces[0].attachments
        assert len(left) == 2
        assert len({(now.preference, now.handle) for now in left}) == 1
        for now in left:
            here = [was for was in filters if was.hook == now.hook]
            live = [one for one in here if one.program and one.program.map_ids == (ARRAY,)]
            assert now.prog_id == max(one.prog_id or 0 for one in live or here)
        assert planned(after).actions == ()


def test_a_program_that_finds_no_main_program_is_not_the_live_one() -> None:
    good = attached("ingress", 49152, 1, 5)
    bad = attached("ingress", 49151, 1, 6, filled=False)
    (change,) = planned(node(good, bad, attached("egress", 49152, 1, 7))).changes
    assert (change.put, [one.prog_id for one in change.drop]) == (None, [6])


def test_a_newer_filter_beside_tcx_leaves_the_link() -> None:
    link = attached("ingress", 0, 0, 4, kind="tcx", link_id=9)
    done = planned(node(link, attached("ingress", 49152, 1, 5), attached("egress", 49152, 1, 6)))
    assert done.actions == ()
    assert "tcx link 9 beside a newer tc filter" in done.warnings[0]
    newer = link._replace(prog_id=8)
    done = planned(node(newer, attached("ingress", 49151, 1, 5), attached("egress", 49152, 1, 6)))
    (change,) = done.changes
    assert (change.put, [one.prog_id for one in change.drop]) == (None, [5])


def test_a_spare_program_goes_to_the_other_hooks_place() -> None:
    seen = node(attached("ingress", 49150, 2, 5))
    spares = (Spare(8, "egress", 3, "x"), Spare(7, "egress", 4, "cali_tc_preambl"))
    (change,) = plan(task(), Observed(seen, {}, spares)).changes
    assert change.put is not None
    assert (change.put.prog_id, change.put.preference, change.put.handle) == (4, 49150, 2)
    taken = {7: (Other("egress", 49150, "u32"),)}
    assert plan(task(), Observed(seen, taken, spares)).changes == ()


def test_absent_keeps_the_qdisc_of_others() -> None:
    seen = node(attached("ingress", 49152, 1, 5))
    wanted = task(state="absent", interfaces=["cali1"])
    assert plan(wanted, Observed(seen)).actions[0].startswith("Delete the clsact qdisc of cali1")
    others = {7: (Other("egress", 10, "u32"),)}
    kept = plan(wanted, Observed(seen, others, felix=("It runs.",)))
    assert kept.actions[0].startswith("Delete cali_tc_preambl:[5] at preference 49152")
    assert kept.warnings == ("felix attaches its programs again: It runs.",)


@pytest.mark.parametrize(
    ("name", "flags", "wanted"),
    [
        ("cali1", None, True),
        ("cali1", 0x8, False),
        ("azv1", 0x7, True),
        ("azv1", None, False),
        ("eth0", 0xE, False),
        ("bpfin.cali", None, False),
    ],
)
def test_workloads(name: str, flags: int | None, wanted: bool) -> None:
    assert is_workload(name, flags) is wanted


def test_many_host_interfaces_are_not_all_named() -> None:
    (one,) = node().interfaces
    hosts = tuple(one._replace(name=f"eth{number}") for number in range(8))
    with pytest.raises(errors.RefusedError, match=r"eth0, eth1, eth2, eth3, eth4 and 3 more are"):
        planned(node(interfaces=hosts), interfaces=["eth*"], allow_host_traffic_loss=True)


ENTRY = IfState(3, b"cali1", -1, 4, 5, -1, 6, 7, -1, -1)


@pytest.mark.parametrize(
    ("maps", "slots", "entry", "wanted"),
    [
        (("cali_jump_ing2",), (), None, "ingress"),
        (("cali_jump_egr2",), (4,), ENTRY, "egress"),
        (("cali_jump3",), (4, 6), ENTRY, "egress"),
        (("cali_jump3",), (7,), ENTRY, "ingress"),
        (("cali_jump3",), (4, 5), ENTRY, None),
        (("cali_jump3",), (8,), ENTRY, None),
        (("cali_jump3",), (-1,), ENTRY, None),
        (("cali_jump3",), (4,), None, None),
    ],
)
def test_hook_of_policy(
    maps: tuple[str, ...], slots: tuple[int, ...], entry: IfState | None, wanted: str | None
) -> None:
    assert hook_of_policy(maps, slots, entry) == wanted

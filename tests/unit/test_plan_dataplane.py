# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for leaving eBPF mode: what goes in which order, what stays, what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Detection
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Ownership,
    Program,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    RefusedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import dataplane as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.connect_removal import LinkPin
from ansible_collections.bpfops.calico.plugins.module_utils._plan.dataplane_stays import (
    residue_facts,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.dataplane_task import (
    KINDS,
    Desired,
    Directory,
    Observed,
    desired,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.felix_mode import Agent
from ansible_collections.bpfops.calico.plugins.module_utils._plan.removal import (
    ClsactAt,
    DeviceAt,
    FilterAt,
    LinkAt,
    XdpAt,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.tc_hooks import Other
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

CALICO = Ownership(Verdict.CALICO, ("proof",))
FOREIGN = Ownership(Verdict.FOREIGN, ())
UNPROVEN = Ownership(Verdict.UNPROVEN, ("doubt",))
PINS = "/b/tc/globals"
JUMPS = 50
EVERYTHING = {"include": [], "exclude": [], "sysctls": {}, "disrupt_running_felix": False}


def wanted(**params: Any) -> Desired:
    return desired({**EVERYTHING, **params})


def attached(
    kind: str, hook: str, number: int, owner: Ownership = CALICO, **more: Any
) -> seen.Attachment:
    program = seen.Loaded(number, "tag", Program("cali_tc_preambl", 3, ()), (JUMPS,))
    one = seen.Attachment(kind, hook, number, "cali_tc_preambl:[7]", owner, program)
    places: dict[str, dict[str, Any]] = {
        "tc": {"preference": 49152, "handle": 1},
        "tcx": {"link_id": number + 1000},
        "xdp": {"mode": "xdp"},
    }
    return one._replace(**{**places[kind], **more})


def interface(name: str, *programs: seen.Attachment, index: int = 5) -> seen.Interface:
    clsact = any(one.kind == "tc" for one in programs)
    return seen.Interface(name, index, True, "veth", True, clsact, programs)


def a_map(name: str, number: int, kind: int = 1, owner: Ownership = CALICO) -> seen.PinnedMap:
    return seen.PinnedMap(f"{PINS}/{name}", number, MapSpec(kind, 4, 4, 8, 0, name), 4096, owner)


def connected(number: int, owner: Ownership = CALICO, cgroup: str = "/cg") -> seen.ConnectTime:
    program = seen.Loaded(number, "tag", Program("calico_connect_", 18, ()))
    return seen.ConnectTime(cgroup, "connect4", True, owner, program)


DEVICES = tuple(
    seen.Device(name, "veth", peer, CALICO)
    for name, peer in (("bpfin.cali", "bpfout.cali"), ("bpfout.cali", "bpfin.cali"))
)


def observed(**more: Any) -> Observed:
    beside = {name: more.pop(name) for name in list(more) if name in Observed._fields}
    release = parse_range("3.29.7")
    detection = Detection(release, release, (), ())
    node = seen.Node("6.1", 4, None, ("/b",), ("/cg",), PINS, detection, **more)
    return Observed(node, **beside)


FULL = observed(
    interfaces=(
        interface("cali1", attached("tc", "ingress", 1), attached("tc", "egress", 2)),
        interface("cali2", attached("tcx", "ingress", 3), index=6),
        interface("eth0", attached("xdp", "xdp", 4), index=7),
    ),
    connect_time=(connected(9),),
    maps=(
        a_map("cali_v4_ct3", 51),
        a_map("cali_jump3", JUMPS, 3),
        a_map("old_jumps/1/cali_jump3", 52, 3),
    ),
    pins=(seen.Pin("/b/tcx/cali2_ingress", "link", 1003),),
    devices=DEVICES,
    directories=(
        Directory(f"{PINS}/old_jumps/1", (f"{PINS}/old_jumps/1/cali_jump3",)),
        Directory(f"{PINS}/old_jumps", (f"{PINS}/old_jumps/1",)),
        Directory("/b/tcx", ("/b/tcx/cali2_ingress",)),
        Directory("/b/ctlb", ("/b/ctlb/theirs",)),
        Directory("/r/prog", ("/r/prog/x.json",)),
        Directory("/r", ("/r/prog",)),
    ),
    records=("/r/prog/x.json",),
)


def test_everything_in_the_safe_order() -> None:
    plan = planner.plan(wanted(), FULL)
    assert [step.object for step in plan.actions] == [
        "cali1 clsact",
        "cali2 ingress link 1003",
        "eth0 xdp program 4",
        "connect4 of /cg program 9",
        f"{PINS}/cali_jump3",
        f"{PINS}/old_jumps/1/cali_jump3",
        f"{PINS}/cali_v4_ct3",
        f"{PINS}/old_jumps/1",
        f"{PINS}/old_jumps",
        "/b/tcx",
        "bpfin.cali",
        "/r/prog/x.json",
        "/r/prog",
        "/r",
    ]
    targets = [step.target for step in plan.actions]
    assert isinstance(targets[0], ClsactAt)
    assert len(targets[0].filters) == 2
    assert targets[1] == LinkAt(1003, 3, ("/b/tcx/cali2_ingress",))
    assert targets[2] == XdpAt("eth0", 7, "xdp", 4)
    assert targets[10] == DeviceAt("bpfin.cali", "bpfout.cali")
    assert plan.left_alone == ()


def rest(before: Observed, plan: planner.Plan) -> Observed:
    """The node as the plan says that it will be."""
    gone = {step.object for step in plan.actions}
    paths = gone | {
        pin for step in plan.actions if isinstance(step.target, LinkAt) for pin in step.target.pins
    }
    node = before.node

    def stays(one: seen.Interface, program: seen.Attachment) -> bool:
        names = {
            "tc": f"{one.name} clsact",
            "tcx": f"{one.name} {program.hook} link {program.link_id}",
            "xdp": f"{one.name} {program.mode} program {program.prog_id}",
        }
        return names[program.kind] not in gone

    return before._replace(
        node=node._replace(
            interfaces=tuple(
                one._replace(
                    clsact=one.clsact and f"{one.name} clsact" not in gone,
                    attachments=tuple(p for p in one.attachments if stays(one, p)),
                )
                for one in node.interfaces
            ),
            connect_time=tuple(
                one
                for one in node.connect_time
                if f"connect4 of /cg program {one.program.id}" not in gone
            ),
            maps=tuple(one for one in node.maps if one.path not in paths),
            pins=tuple(one for one in node.pins if one.path not in paths),
            devices=() if "bpfin.cali" in gone else node.devices,
        ),
        directories=tuple(
            one._replace(entries=tuple(entry for entry in one.entries if entry not in paths))
            for one in before.directories
            if one.path not in gone
        ),
        records=tuple(one for one in before.records if one not in gone),
    )


@pytest.mark.parametrize(
    "kinds", [some for size in (1, 2, 7) for some in itertools.combinations(KINDS, size)]
)
def test_a_done_plan_plans_nothing(kinds: tuple[str, ...]) -> None:
    task = wanted(include=list(kinds))
    try:
        plan = planner.plan(task, FULL)
    except RefusedError:
        assert "pin" in kinds
        assert not {"tc", "tcx", "xdp"} <= set(kinds)
        return
    assert {step.kind for step in plan.actions} <= set(kinds)
    after = rest(FULL, plan)
    assert planner.plan(task, after).actions == ()
    last = planner.plan(wanted(), after)
    assert planner.plan(wanted(), rest(after, last)).residue == ()


def test_foreign_filters_keep_the_qdisc() -> None:
    for others, foreign in (
        ({5: (Other("ingress", 3, "u32"),)}, ()),
        ({}, (attached("tc", "egress", 8, FOREIGN),)),
    ):
        one = interface("cali1", attached("tc", "ingress", 1), *foreign)
        plan = planner.plan(wanted(), observed(interfaces=(one,), others=others))
        (step,) = plan.actions
        assert step.target == FilterAt("cali1", 5, "ingress", 49152, 1, "cali_tc_preambl:[7]", 1)


def test_what_is_not_proven_stays() -> None:
    plan = planner.plan(
        wanted(exclude=["pin"]),
        observed(
            interfaces=(
                interface("cali1", attached("tc", "ingress", 1, UNPROVEN)),
                interface("eth0", attached("xdp", "xdp", 4, FOREIGN), index=7),
                interface("eth1", index=8)._replace(clsact=True),
            ),
            connect_time=(connected(9, UNPROVEN), connected(10, FOREIGN)),
            connect_below=(connected(11, CALICO, "/cg/pods"), connected(9, UNPROVEN)),
            maps=(a_map("cali_x", 51, 1, UNPROVEN), a_map("theirs", 52, 1, FOREIGN)),
            pins=(
                seen.Pin(f"{PINS}/cali_prog", "program", 3),
                seen.Pin(f"{PINS}/theirs_prog", "program", 3),
            ),
            devices=(DEVICES[0]._replace(owner=UNPROVEN),),
            link_pins={"tcx": (LinkPin("/b/tcx/x", 3, UNPROVEN, False),)},
            strays=("/b/other/cali_v4_ct3",),
            directories=(Directory("/b/ctlb", ("/b/ctlb/theirs",)),),
        ),
    )
    assert plan.actions == ()
    assert [(one.kind, one.object) for one in plan.left_alone] == [
        ("tc", "cali1 ingress program 1"),
        ("tc", "eth1 clsact"),
        ("tcx", "/b/tcx/x"),
        ("cgroup", "connect4 of /cg program 9"),
        ("cgroup", "connect4 of /cg/pods program 11"),
        ("pin", f"{PINS}/cali_x"),
        ("pin", f"{PINS}/cali_prog"),
        ("pin", "/b/other/cali_v4_ct3"),
        ("device", "bpfin.cali"),
    ]
    assert "cgroup_subpath" in plan.left_alone[4].reasons[-1]


@pytest.mark.parametrize(
    ("owner", "params"),
    [(UNPROVEN, {}), (FOREIGN, {}), (CALICO, {"exclude": ["tc"]}), (CALICO, {"include": ["pin"]})],
)
def test_an_array_that_a_program_calls_into_stays(owner: Ownership, params: dict[str, Any]) -> None:
    one = interface("cali1", attached("tc", "ingress", 1, owner))
    state = observed(interfaces=(one,), maps=(a_map("cali_jump3", JUMPS, 3),))
    with pytest.raises(RefusedError, match=f"cali1 ingress stays, and calls into {PINS}/cali_jump"):
        planner.plan(wanted(**params), state)
    planner.plan(wanted(**{**params, "exclude": ["pin", "tc"]}), state)
    other = state._replace(node=state.node._replace(maps=(a_map("cali_jump3", JUMPS, 3, FOREIGN),)))
    planner.plan(wanted(**params), other)


def test_felix_in_ebpf_mode_is_left_in_peace() -> None:
    agents = (Agent(5, "calico-node -felix", ("cali_v4_ct3",)),)
    state = FULL._replace(agents=agents)
    with pytest.raises(RefusedError, match=r"Process 5, calico-node -felix, holds 1 .* disrupt_"):
        planner.plan(wanted(), state)
    plan = planner.plan(wanted(disrupt_running_felix=True), state)
    assert plan.warnings[0].startswith("felix runs in eBPF mode all the while: ")
    assert planner.plan(wanted(), observed(agents=agents)).actions == ()
    idle = FULL._replace(agents=(Agent(5, "calico-node -felix"),))
    assert planner.plan(wanted(), idle).warnings == ()


def test_a_directory_with_what_is_others_stays() -> None:
    shared = Directory("/b/tcx", ("/b/tcx/cali2_ingress", "/b/tcx/theirs"))
    plan = planner.plan(wanted(), FULL._replace(directories=(shared,)))
    assert not [step for step in plan.actions if step.kind == "directory"]


def test_residue_by_kind() -> None:
    plan = planner.plan(wanted(include=["xdp"]), FULL)
    assert list(residue_facts(plan.residue)) == [
        "tc", "tcx", "xdp", "cgroup", "pin", "device", "record",
    ]  # fmt: skip

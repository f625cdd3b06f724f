# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for connect-time programs: what goes, what stays, and what is expected where."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.connect_time import HOOKS
from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Detection
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Ownership,
    Program,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    RefusedError,
    UnverifiedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan import connect_time as planner
from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.connect_removal import LinkPin
from ansible_collections.bpfops.calico.plugins.module_utils._plan.felix_mode import (
    Agent,
    evidence,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.removal import (
    CgroupAt,
    LinkAt,
    PinAt,
)

CALICO = Ownership(Verdict.CALICO, ("proof",))
FOREIGN = Ownership(Verdict.FOREIGN, ())
UNPROVEN = Ownership(Verdict.UNPROVEN, ("doubt",))
ROOT = "/cg"
SECTIONS = [hook.section for hook in HOOKS]
PARAMS = {
    "state": "absent",
    "load_balancing": None,
    "host_nat": "Enabled",
    "families": ["ipv4"],
    "on_mismatch": "fail",
}


def wanted(**params: Any) -> planner.Desired:
    return planner.desired({**PARAMS, **params})


def attached(section: str, number: int, owner: Ownership = CALICO, **more: Any) -> seen.ConnectTime:
    program = seen.Loaded(number, "tag", Program(f"calico_{section[:-1]}_", 18, ()))
    one = seen.ConnectTime(ROOT, section, True, owner, program)
    return one._replace(**more)


def node(*programs: seen.ConnectTime, release: str = "3.29.7", **more: Any) -> planner.Observed:
    versions = parse_range(release)
    detection = Detection(versions, versions, (), ())
    whole = seen.Node("6.1", 4, None, (), (ROOT,), "/p", detection, connect_time=programs)
    pins = more.pop("pins", ())
    return planner.Observed(whole._replace(pins=pins), **more)


def test_every_way_of_attaching_goes() -> None:
    pins = (
        seen.Pin("/b/ctlb/calico_connect_v46", "link", 7),
        seen.Pin("/b/ctlb/again", "link", 7),
        seen.Pin("/b/m", "map", 7),
    )
    plan = planner.plan(
        wanted(),
        node(
            attached("connect4", 1),
            attached("connect6", 2, legacy=False, link_id=7),
            attached("sendmsg4", 3, legacy=False),
            pins=pins,
        ),
    )
    assert [step.target for step in plan.actions] == [
        CgroupAt(ROOT, 10, 1, "calico_connect_"),
        LinkAt(7, 2, ("/b/ctlb/calico_connect_v46", "/b/ctlb/again")),
        CgroupAt(ROOT, 14, 3, "calico_sendmsg_"),
    ]
    assert "attached multi, from sendmsg4 of /cg" in plan.actions[2].sentence
    assert plan.left_alone == ()


def test_what_is_not_proven_stays() -> None:
    observed = node(
        attached("connect4", 1, FOREIGN),
        attached("connect6", 2, UNPROVEN),
        link_pins=(
            LinkPin("/b/ctlb/a", 8, UNPROVEN, True),
            LinkPin("/b/ctlb/b", 9, FOREIGN, True),
            LinkPin("/b/ctlb/c", 10, CALICO, True),
        ),
    )
    plan = planner.plan(wanted(), observed)
    assert [step.target for step in plan.actions] == [PinAt("/b/ctlb/c", "link", 10)]
    assert [one.object for one in plan.left_alone] == ["connect6 of /cg program 2", "/b/ctlb/a"]
    assert [one["program_id"] for one in planner.after(plan, observed.node)] == [1, 2]


def test_felix_in_ebpf_mode_is_a_warning() -> None:
    agents = (Agent(5, "calico-node -felix", ("cali_v4_ct3",)), Agent(6, "calico-node -confd"))
    with_it = planner.plan(wanted(), node(attached("connect4", 1), agents=agents))
    (warning,) = with_it.warnings
    assert "Process 5, calico-node -felix, holds 1 of Calico's maps (cali_v4_ct3)." in warning
    assert planner.plan(wanted(), node(agents=agents)).warnings == ()


def test_evidence_of_ebpf_mode() -> None:
    assert evidence((Agent(6, "calico-node -confd"),)) == ()
    (sentence,) = evidence((Agent(5, "f", tuple("abcd"), (9,)),))
    assert sentence == (
        "Process 5, f, holds 4 of Calico's maps (a, b, c, …) and started before 1 attached "
        "programs (9)."
    )


@pytest.mark.parametrize(
    ("release", "params", "expected"),
    [
        ("3.26", {}, SECTIONS),
        ("3.27.3", {}, ["connect4", "connect6"]),
        ("3.27.3", {"families": ["ipv6"]}, ["connect6"]),
        ("3.29.7", {"load_balancing": "TCP"}, ["connect4", "connect6"]),
        ("3.29.7", {"load_balancing": "TCP", "host_nat": "Disabled"}, SECTIONS),
        ("3.29.7", {"host_nat": "Disabled"}, SECTIONS),
        ("3.29.7", {"load_balancing": "Enabled"}, SECTIONS),
        ("3.29.7", {"load_balancing": "Disabled"}, []),
        ("3.32.1", {"families": ["ipv6", "ipv4"]}, ["connect4", "connect6"]),
        (">=3.28,<3.30", {}, ["connect4", "connect6"]),
        (">=3.26,<3.28", {}, None),
        ("3.26", {"load_balancing": "TCP"}, None),
        ("3.29.7", {"families": ["ipv6"]}, None),
    ],
)
def test_expected_hooks(release: str, params: dict[str, Any], expected: list[str] | None) -> None:
    versions = parse_range(release)
    task = wanted(state="present", **params)
    if expected is None:
        with pytest.raises(RefusedError, match="name the release exactly"):
            planner.expected_sections(task, versions)
    else:
        assert list(planner.expected_sections(task, versions)) == expected


def test_differences_from_the_expected_set() -> None:
    observed = node(attached("connect4", 1), attached("connect4", 2), attached("recvmsg4", 3))
    plan = planner.plan(wanted(state="present"), observed)
    assert plan.actions == ()
    (finding,) = plan.findings
    assert finding.evidence == (
        "connect4 of /cg has program 1 (legacy), connect4 of /cg has program 2 (legacy), where "
        "one is expected.",
        "connect6 has no program of Calico.",
        "recvmsg4 of /cg has program 3 (legacy), where none is expected.",
    )
    with pytest.raises(UnverifiedError) as caught:
        planner.require_expected(wanted(state="present"), plan, {"programs": []})
    assert caught.value.as_failure()["programs"] == []
    planner.require_expected(wanted(state="present", on_mismatch="report"), plan, {})


def test_an_unproven_program_does_not_count() -> None:
    observed = node(attached("connect4", 1, UNPROVEN), attached("connect6", 2))
    (finding,) = planner.plan(wanted(state="present"), observed).findings
    assert finding.evidence == ("connect4 has no program of Calico.",)


def test_nothing_is_said_without_cgroup2() -> None:
    observed = node()
    bare = observed._replace(node=observed.node._replace(cgroups=(), cgroup_mounted=False))
    with pytest.raises(RefusedError, match="no cgroup2 file system is mounted"):
        planner.plan(wanted(), bare)

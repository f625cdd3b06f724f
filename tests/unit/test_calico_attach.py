# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect-time programs and tc attachments by release, against the fact sheets."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import connect_time, tc_attach
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    parse_range,
    parse_release,
)

SIX = {10, 11, 14, 15, 19, 20}
TWO = {10, 11}


@pytest.mark.parametrize(
    ("attach_type", "section", "program", "pin"),
    [
        (10, "connect4", "calico_connect_", "calico_connect_v4"),
        (11, "connect6", "calico_connect_", "calico_connect_v46"),
        (14, "sendmsg4", "calico_sendmsg_", "calico_sendmsg_v4"),
        (15, "sendmsg6", "calico_sendmsg_", "calico_sendmsg_v46"),
        (19, "recvmsg4", "calico_recvmsg_", "calico_recvmsg_v4"),
        (20, "recvmsg6", "calico_recvmsg_", "calico_recvmsg_v46"),
    ],
)
def test_connect_hooks(attach_type: int, section: str, program: str, pin: str) -> None:
    hook = connect_time.hook_of(attach_type)
    assert hook is not None
    assert (hook.section, hook.program) == (section, program)
    assert hook.pins[0] == pin
    assert len(hook.program) == 15


def test_other_attach_types_are_not_theirs() -> None:
    assert [connect_time.hook_of(number) for number in (0, 8, 12, 16, 46)] == [None] * 5


@pytest.mark.parametrize(
    ("release", "load_balancing", "host_nat", "wanted"),
    [
        ("3.26.4", "", "", SIX),
        ("3.27.0", "", "", TWO),
        ("3.32.1", "", "", TWO),
        ("3.29", "TCP", "Enabled", TWO),
        ("3.29", "TCP", "Disabled", SIX),
        ("3.29", "Enabled", "", SIX),
        ("3.29", "Enabled", "Enabled", SIX),
        ("3.29", "Disabled", "Enabled", set()),
        ("3.29", "nonsense", "", None),
    ],
)
def test_hooks_by_setting(
    release: str, load_balancing: str, host_nat: str, wanted: set[int] | None
) -> None:
    found = connect_time.wanted_hooks(parse_release(release), load_balancing, host_nat)
    assert (None if found is None else {int(one) for one in found}) == wanted


def test_hooks_of_releases_that_differ() -> None:
    assert connect_time.wanted_hooks(parse_range(">=3.26,<3.28")) is None


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("3.26", {("ipv4", 4, "v4", False), ("ipv4", 6, "v6", False)}),
        ("3.27", {("ipv4", 4, "v4", False), ("ipv4", 6, "v46", False), ("ipv6", 6, "v6", False)}),
        (
            "3.28",
            {
                ("ipv4", 4, "v4", False),
                ("ipv4", 6, "v46", False),
                ("dual", 4, "v4", False),
                ("dual", 6, "v46", True),
            },
        ),
    ],
)
def test_builds_of_the_programs(release: str, wanted: set[tuple[str, int, str, bool]]) -> None:
    rows = connect_time.variants_of(parse_release(release))
    assert {(row.cluster, row.family, row.suffix, row.tail_calls) for row in rows} == wanted


@pytest.mark.parametrize(
    ("release", "pinned", "legacy"),
    [
        ("3.26.4", False, True),
        ("3.27.5", False, True),
        ("3.28.4", False, True),
        ("3.28.5", True, True),
        ("3.29.4", False, True),
        ("3.29.5", True, True),
        ("3.30.0", False, True),
        ("3.30.1", True, True),
        ("3.31.0", True, True),
        ("3.32.1", True, True),
        ("3.33.0", True, False),
    ],
)
def test_how_connect_programs_are_kept(release: str, pinned: bool, legacy: bool) -> None:
    rows = connect_time.attach_kinds_of(parse_release(release))
    assert [(row.pinned, row.legacy) for row in rows] == [(pinned, legacy)]


# preference, handle, replaces, removes duplicates, compares hooks, TCX
TC = [
    ("3.26.4", ("falls", "first", "beside", True, False, False)),
    ("3.27.0", ("falls", "first", "beside", True, True, False)),
    ("3.27.4", ("falls", "first", "beside", True, True, False)),
    ("3.27.5", ("kept", "toggles", "beside", True, True, False)),
    ("3.28.1", ("falls", "first", "beside", True, True, False)),
    ("3.28.2", ("kept", "toggles", "beside", True, True, False)),
    ("3.28.4", ("kept", "toggles", "beside", True, True, False)),
    ("3.28.5", ("kept", "kept", "in_place", False, True, False)),
    ("3.29.0", ("kept", "toggles", "beside", True, True, False)),
    ("3.29.4", ("kept", "toggles", "beside", True, True, False)),
    ("3.29.5", ("kept", "kept", "in_place", False, True, False)),
    ("3.30.0", ("kept", "toggles", "beside", True, True, False)),
    ("3.30.1", ("kept", "kept", "in_place", False, True, False)),
    ("3.31.0", ("kept", "kept", "in_place", False, False, True)),
    ("3.32.1", ("kept", "kept", "in_place", False, False, True)),
]


@pytest.mark.parametrize(("release", "wanted"), TC)
def test_tc_behaviour(release: str, wanted: tuple[object, ...]) -> None:
    rows = tc_attach.tc_behaviour_of(parse_release(release))
    assert [
        (
            row.preference,
            row.handle,
            row.replaces,
            row.removes_duplicates,
            row.compares_hooks,
            row.tcx,
        )
        for row in rows
    ] == [wanted]


def test_only_3_26_skips_by_record_and_3_31_lists_by_netlink() -> None:
    rows = tc_attach.BEHAVIOUR
    assert [str(row.releases) for row in rows if row.record] == ["3.26"]
    assert [str(row.releases) for row in rows if row.lists == "netlink"] == ["3.31 or later"]


def test_entry_programs() -> None:
    assert tc_attach.entry_names("tc", parse_release("3.27")) == {"cali_tc_preambl"}
    assert len(tc_attach.entry_names("tc", parse_release("3.26"))) == 12
    assert tc_attach.entry_names("xdp") == {"xdp_calico_entr", "cali_xdp_preamb"}
    assert not [row.name for row in tc_attach.ENTRY_PROGRAMS if len(row.name) > 15]


@pytest.mark.parametrize(
    ("release", "defaults"),
    [("3.30", []), ("3.31", ["TCX"]), ("3.32", ["TCX"]), ("3.33", ["Netkit"])],
)
def test_attach_modes(release: str, defaults: list[str]) -> None:
    assert [row.default for row in tc_attach.attach_modes_of(parse_release(release))] == defaults


@pytest.mark.parametrize(
    "release", ["3.26.0", "3.27.9", "3.28.9", "3.29.9", "3.30.9", "3.31.9", "3.32.9", "3.33.0"]
)
def test_every_known_release_has_exactly_one_row_of_each(release: str) -> None:
    known = parse_release(release)
    (behaviour,) = tc_attach.tc_behaviour_of(known)
    (kind,) = connect_time.attach_kinds_of(known)
    assert behaviour.source
    assert kind.source

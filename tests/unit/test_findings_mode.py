# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about eBPF mode on a node: on, off, torn; its connect-time programs and its machine."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.kernels import Distribution
from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings import findings
from tests.unit.node_values import (
    CALICO,
    FOREIGN,
    HEALTHY,
    UNPROVEN,
    WHOLE,
    a_map,
    attached,
    codes,
    connect,
    release,
    workload,
)

DEVICES = (seen.Device("bpfin.cali", "veth", "bpfout.cali", CALICO),)
OFF = HEALTHY._replace(maps=(), interfaces=())
BARE = (workload("cali1"),)
HALF = (workload("cali1", attached("ingress", owner=UNPROVEN)),)
SIX = ("connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6")
TCP = ("connect4", "connect6")


def of(node: seen.Node) -> list[str]:
    return [one.code for one in findings(node)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"connect_time": (connect(),)}, ["CTLB_LEFTOVER"]),
        ({"connect_time": (connect(UNPROVEN),)}, []),
        ({"devices": DEVICES}, ["DEVICE_LEFTOVER"]),
        ({"devices": (DEVICES[0]._replace(owner=UNPROVEN),)}, []),
        ({"settings": ("net.ipv4.conf.cali1.rp_filter is 2 on cali1.",)}, ["SETTINGS_LEFTOVER"]),
        ({"maps": (a_map("xdp_cali_jump3", "3.29"),)}, ["PIN_LEFTOVER"]),
        ({"maps": (a_map("xdp_cali_jump3", "3.29")._replace(owner=FOREIGN),)}, []),
        # felix may be about to attach: there is nothing yet that needs a program
        ({"maps": HEALTHY.maps}, []),
        ({"maps": HEALTHY.maps, "interfaces": BARE}, ["PIN_LEFTOVER"]),
        (
            {"maps": HEALTHY.maps, "interfaces": BARE, "connect_time": (connect(),)},
            ["CTLB_LEFTOVER", "PIN_LEFTOVER"],
        ),
        ({"maps": HEALTHY.maps, "interfaces": (BARE[0]._replace(running=False),)}, []),
        ({"maps": HEALTHY.maps, "interfaces": BARE, "interfaces_known": False}, []),
        ({"maps": HEALTHY.maps, "interfaces": HALF}, ["TC_MISSING"]),
    ],
)
def test_what_eBPF_mode_leaves_when_it_goes_off(  # noqa: N802
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert of(OFF._replace(**changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"connect_time": (connect(),), "connect_setting": None},
        {"devices": DEVICES},
        {"settings": ("net.ipv4.conf.cali1.rp_filter is 2 on cali1.",)},
    ],
)
def test_nothing_is_left_over_while_it_is_on(changes: dict[str, Any]) -> None:
    left = {"CTLB_LEFTOVER", "DEVICE_LEFTOVER", "SETTINGS_LEFTOVER", "PIN_LEFTOVER"}
    assert not left & set(codes(**changes))


def test_programs_whose_pins_are_all_gone() -> None:
    torn = HEALTHY._replace(maps=(), devices=DEVICES, connect_time=(connect(),))
    assert of(torn) == ["CTLB_LEFTOVER", "PROGRAM_LEFTOVER", "DEVICE_LEFTOVER"]
    (one,) = (one for one in findings(torn) if one.code == "PROGRAM_LEFTOVER")
    assert one.object == "cali1, cali2"
    assert of(torn._replace(bpffs_there=False)) == ["BPFFS_MISSING"]
    assert of(HEALTHY._replace(maps=(), bpffs_there=False, interfaces=())) == []


@pytest.mark.parametrize(
    ("sections", "setting", "expected"),
    [
        ((), None, []),
        (TCP, None, []),
        (SIX, None, []),
        (("connect4",), None, ["CTLB_UNEXPECTED"]),
        (SIX[:5], None, ["CTLB_UNEXPECTED"]),
        (TCP, "TCP", []),
        (SIX, "TCP", []),  # right with bpfHostNetworkedNATWithoutCTLB Disabled
        ((), "TCP", ["CTLB_UNEXPECTED"]),
        (TCP, "Enabled", ["CTLB_UNEXPECTED"]),
        (SIX, "Enabled", []),
        (TCP, "Disabled", ["CTLB_UNEXPECTED"]),
        ((), "Disabled", []),
    ],
)
def test_the_connect_time_programs_of_a_setting(
    sections: tuple[str, ...], setting: str | None, expected: list[str]
) -> None:
    programs = tuple(connect(section=one, legacy=False) for one in sections)
    assert codes(connect_time=programs, connect_setting=setting) == expected
    assert codes(connect_time=programs, connect_setting=setting, cgroups=()) == []


def test_none_is_a_setting_of_3_26_too() -> None:
    assert "CTLB_UNEXPECTED" not in codes(release=release("3.26"))


def test_what_may_be_calicos_counts_both_ways() -> None:
    mixed = (connect(), connect(UNPROVEN, "connect6"))
    assert codes(connect_time=mixed) == []
    assert codes(connect_time=(connect(), connect(FOREIGN, "connect6"))) == ["CTLB_UNEXPECTED"]
    assert codes(connect_time=(connect(FOREIGN),)) == []


@pytest.mark.parametrize(
    ("running", "legacy", "expected"),
    [
        ("3.30.1", True, ["CTLB_LEGACY_KEPT"]),
        ("3.30.1", False, []),
        ("3.30.2", True, []),
        ("3.30", True, []),
    ],
)
def test_programs_that_a_release_does_not_remove(
    running: str, legacy: bool, expected: list[str]
) -> None:
    programs = tuple(connect(section=one, legacy=legacy) for one in TCP)
    assert codes(connect_time=programs, release=release(running)) == expected


def test_programs_below_the_root() -> None:
    below = connect()._replace(cgroup="/cg/kubepods")
    (one,) = findings(HEALTHY._replace(connect_below=(below,)))
    assert (one.code, one.object) == ("CTLB_CGROUP", "/cg/kubepods")
    assert codes(connect_below=(below._replace(owner=UNPROVEN),)) == []


RHEL = Distribution("rocky", "8.4", ("rhel", "fedora"))


@pytest.mark.parametrize(
    ("kernel", "running", "distribution", "expected"),
    [
        ("5.2.0", "3.29", None, ["KERNEL_TOO_OLD"]),
        ("5.3.0", "3.29", None, []),
        ("5.9.0", "3.31", None, ["KERNEL_TOO_OLD"]),
        ("5.10.0", "3.31", None, []),
        ("5.9.0", ">=3.30,<3.32", None, []),
        ("4.18.0-193.el8.x86_64", "3.29", RHEL, []),
        ("4.18.0-193.el8.x86_64", "3.29", None, ["KERNEL_TOO_OLD"]),
        ("4.18.0-193.el8.x86_64", "3.31", RHEL, ["KERNEL_TOO_OLD"]),
        ("4.18.0-305.el8.x86_64", "3.31", RHEL, []),
        ("strange", "3.31", None, []),
    ],
)
def test_old_kernels(
    kernel: str, running: str, distribution: Distribution | None, expected: list[str]
) -> None:
    table = "cali_v4_ct3" if "3.29" in running else "cali_v4_ct4"
    maps = (a_map(table, "3.29" if table.endswith("3") else "3.31"),)
    node = HEALTHY._replace(
        kernel=kernel, maps=maps, release=release(running), distribution=distribution
    )
    assert of(node) == expected
    assert of(node._replace(maps=(), interfaces=())) == []


@pytest.mark.parametrize(
    ("kernel", "running", "changes", "expected"),
    [
        ("6.17.5", "3.29.6", {}, ["KERNEL_PAIR"]),
        ("6.17.5", "3.29.6", {"connect_time": tuple(connect(section=one) for one in TCP)}, []),
        ("6.17.5", "3.29.6", {"connect_setting": "Disabled"}, []),
        ("6.17.5", "3.29.6", {"cgroups": ()}, []),
        ("6.17.4", "3.29.6", {}, []),
        ("6.17.5", "3.29.7", {}, []),
        ("6.17.5", "3.29", {}, []),  # not all of that line break
        ("6.17.0", "3.31.5", {"interfaces": (WHOLE, *BARE)}, ["KERNEL_PAIR", "TC_MISSING"]),
        ("6.17.0", "3.31.5", {}, []),
        ("6.15.0", "3.31.5", {}, []),  # a pair that no node shows
    ],
)
def test_pairs_of_kernel_and_release_that_show(
    kernel: str, running: str, changes: dict[str, Any], expected: list[str]
) -> None:
    table = a_map("cali_v4_ct3", "3.29") if "3.29" in running else a_map("cali_v4_ct4", "3.31")
    node = HEALTHY._replace(kernel=kernel, maps=(table,), release=release(running), **changes)
    assert sorted(of(node)) == expected


def test_no_cgroup2_at_all() -> None:
    assert codes(cgroups=(), cgroup_mounted=False) == ["CGROUP_MISSING"]
    assert codes(cgroups=()) == []
    assert of(OFF._replace(cgroup_mounted=False)) == []

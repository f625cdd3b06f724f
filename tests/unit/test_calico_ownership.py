# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose an object is: the evidence table, with each piece of evidence taken away once."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import ownership as own
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Program,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_release
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

CALICO, FOREIGN, UNPROVEN = Verdict.CALICO, Verdict.FOREIGN, Verdict.UNPROVEN
SCHED_CLS, XDP, SOCK_ADDR = 3, 6, 18


def rodata(name: str, size: int) -> MapSpec:
    return MapSpec(2, 4, size, 1, 0x480, name)


STATE_26 = MapSpec(6, 4, 416, 1, 0, "cali_state2")
STATE_28 = MapSpec(6, 4, 480, 2, 0, "cali_state4")
STATE_32 = MapSpec(6, 4, 512, 2, 0, "cali_state6")
JUMP_26 = MapSpec(3, 4, 4, 32, 0, "cali_jump3")
JUMP_28 = MapSpec(3, 4, 4, 240000, 0, "cali_jump3")
PROGS_28 = MapSpec(3, 4, 4, 400, 0, "cali_progs3")
JUMP_32 = MapSpec(3, 4, 4, 240000, 0, "cali_jump_ing2")
PROGS_32 = MapSpec(3, 4, 4, 400, 0, "cali_progs_ing2")
CT = MapSpec(1, 16, 88, 512000, 1, "cali_v4_ct3")
FRONTEND = MapSpec(11, 16, 20, 65536, 1, "cali_v4_nat_fe3")
SRMSG = MapSpec(9, 16, 8, 510000, 0, "cali_v4_srmsg")
CILIUM = MapSpec(9, 14, 56, 65536, 0, "cilium_ct4")
STRANGER = Program("cil_from_contai", SCHED_CLS, (CILIUM,))

MAPS_28 = (rodata("tc_pream.rodata", 512), STATE_28, JUMP_28, PROGS_28, CT)
ENTRY_28 = Program("cali_tc_preambl", SCHED_CLS, MAPS_28, "cali1----------")
MAPS_32 = (rodata("tc_pream.rodata", 536), STATE_32, JUMP_32, PROGS_32)
ENTRY_32 = Program("cali_tc_preambl", SCHED_CLS, MAPS_32, "cali1----------")
MAPS_26 = (rodata("from_wep.rodata", 56), STATE_26, JUMP_26, CT)
ENTRY_26 = Program("calico_from_wor", SCHED_CLS, MAPS_26, "cali1")
NAME = "cali_tc_preambl:[12]"


@pytest.mark.parametrize(
    ("device", "name", "program", "verdict"),
    [
        ("cali1", NAME, ENTRY_28, CALICO),
        ("cali1", NAME, ENTRY_32, CALICO),
        ("cali1", "calico_from_wor:[3]", ENTRY_26, CALICO),
        ("cali1", NAME, ENTRY_28._replace(iface_name="cali1"), CALICO),
        # one piece of evidence less
        ("cali1", "mine", ENTRY_28, UNPROVEN),
        ("cali1", "cali_tc_preambl", ENTRY_28, UNPROVEN),
        ("cali2", NAME, ENTRY_28, UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(name="cali_other"), UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(type=SCHED_CLS + 1), UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(maps=MAPS_28[1:]), UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(maps=MAPS_28[:1] + MAPS_28[2:]), UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(maps=MAPS_28[:2] + MAPS_28[3:]), UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(maps=MAPS_28[:3]), UNPROVEN),
        ("cali1", NAME, ENTRY_28._replace(maps=None), UNPROVEN),
        (
            "cali1",
            NAME,
            ENTRY_28._replace(maps=(rodata("tc_pream.rodata", 513), *MAPS_28[1:])),
            UNPROVEN,
        ),
        (
            "cali1",
            NAME,
            ENTRY_28._replace(maps=(rodata("mine.rodata", 512), *MAPS_28[1:])),
            UNPROVEN,
        ),
        (
            "cali1",
            NAME,
            ENTRY_28._replace(maps=(*MAPS_28[:2], JUMP_28._replace(max_entries=9), PROGS_28)),
            UNPROVEN,
        ),
        (
            "cali1",
            NAME,
            ENTRY_28._replace(maps=(MAPS_28[0]._replace(type=1), *MAPS_28[1:])),
            UNPROVEN,
        ),
        # a name, a preference or a place alone
        ("cali1", NAME, STRANGER._replace(name="cali_tc_preambl"), UNPROVEN),
        ("cali1", NAME, STRANGER, UNPROVEN),
        ("cali1", "cil_from_contai:[3]", STRANGER, FOREIGN),
        ("cali1", "", STRANGER._replace(iface_name="cali1"), FOREIGN),
        ("cali1", "", STRANGER._replace(maps=(rodata("mine.rodata", 56),)), FOREIGN),
        ("cali1", "", STRANGER._replace(maps=None), UNPROVEN),
        ("cali1", "", STRANGER._replace(name="cali_unheard_of"), UNPROVEN),
        ("cali1", "mine", STRANGER._replace(maps=(STATE_28, JUMP_28, PROGS_28)), UNPROVEN),
    ],
)
def test_tc_filters(device: str, name: str, program: Program, verdict: Verdict) -> None:
    assert own.tc_filter(own.Filter(device, name, program)).verdict is verdict


TCX = 11
PIN = "tcx/vxlancalico_ingress"
ENTRY_VXLAN = ENTRY_32._replace(iface_name="vxlan.calico---")


@pytest.mark.parametrize(
    ("hook", "program", "link_type", "pin", "verdict"),
    [
        ("ingress", ENTRY_VXLAN, TCX, PIN, CALICO),
        ("egress", ENTRY_VXLAN, TCX, PIN, UNPROVEN),
        ("ingress", ENTRY_VXLAN, 0, PIN, UNPROVEN),
        ("ingress", ENTRY_VXLAN, TCX, "", UNPROVEN),
        ("ingress", ENTRY_VXLAN, TCX, "mine/vxlancalico_ingress", UNPROVEN),
        ("ingress", ENTRY_32, TCX, PIN, UNPROVEN),
        ("ingress", STRANGER, TCX, PIN, FOREIGN),
    ],
)
def test_tcx_links(hook: str, program: Program, link_type: int, pin: str, verdict: Verdict) -> None:
    seen = own.TcxLink("vxlan.calico", hook, program, link_type, pin)
    assert own.tcx_link(seen).verdict is verdict


XDP_28 = Program("cali_xdp_preamb", XDP, (rodata("xdp_prea.rodata", 160),), "eth0-----------")


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        (XDP_28, CALICO),
        (XDP_28._replace(maps=(rodata("xdp_prea.rodata", 80),)), CALICO),
        (XDP_28._replace(maps=(rodata("xdp_prea.rodata", 96),)), UNPROVEN),
        (XDP_28._replace(iface_name="eth1-----------"), UNPROVEN),
        (XDP_28._replace(name="xdp_main"), UNPROVEN),
        (XDP_28._replace(type=SCHED_CLS), UNPROVEN),
        (Program("xdp_calico_entr", XDP, ()), UNPROVEN),
        (Program("xdp_dispatcher", XDP, (CILIUM,), "eth0"), FOREIGN),
        (Program("prefilter", XDP, (CILIUM,)), FOREIGN),
    ],
)
def test_xdp_programs(program: Program, verdict: Verdict) -> None:
    assert own.xdp_program(own.Xdp("eth0", program)).verdict is verdict


XDP_26 = Program("xdp_calico_entr", XDP, (JUMP_26,))


@pytest.mark.parametrize(
    ("program", "own_array", "verdict"),
    [
        (XDP_26, True, CALICO),
        (XDP_26, False, UNPROVEN),
        (XDP_26._replace(maps=()), True, UNPROVEN),
        (XDP_26._replace(maps=None), True, UNPROVEN),
        (XDP_26._replace(type=SCHED_CLS), True, UNPROVEN),
        (XDP_26._replace(name="xdp_theirs"), True, FOREIGN),
        (XDP_28._replace(iface_name=""), True, UNPROVEN),
    ],
)
def test_an_array_pinned_for_the_interface_proves_xdp_of_3_26(
    program: Program, own_array: bool, verdict: Verdict
) -> None:
    assert own.xdp_program(own.Xdp("eth0", program, own_array)).verdict is verdict


CONNECT = Program("calico_connect_", SOCK_ADDR, (rodata("connect_.rodata", 8), FRONTEND))
SENDMSG = Program("calico_sendmsg_", SOCK_ADDR, (rodata("connect_.rodata", 8),))
RECVMSG = Program("calico_recvmsg_", SOCK_ADDR, (rodata("connect_.rodata", 8), SRMSG))


@pytest.mark.parametrize(
    ("attach_type", "program", "verdict"),
    [
        (10, CONNECT, CALICO),
        (11, CONNECT, CALICO),
        (15, SENDMSG, CALICO),
        (14, SENDMSG, UNPROVEN),
        (19, RECVMSG, CALICO),
        (14, CONNECT, UNPROVEN),
        (12, CONNECT, UNPROVEN),
        (10, CONNECT._replace(type=9), UNPROVEN),
        (10, CONNECT._replace(maps=(FRONTEND,)), UNPROVEN),
        (10, CONNECT._replace(maps=(rodata("connect_.rodata", 12), FRONTEND)), UNPROVEN),
        (10, CONNECT._replace(maps=CONNECT.maps[:1] if CONNECT.maps else None), UNPROVEN),
        (10, CONNECT._replace(maps=None), UNPROVEN),
        (10, Program("calico_connect_", SOCK_ADDR, (CILIUM,)), UNPROVEN),
        (10, Program("cil_sock4_conne", SOCK_ADDR, (CILIUM,)), FOREIGN),
        (15, Program("cil_sock6_sendm", SOCK_ADDR, (CILIUM,)), FOREIGN),
    ],
)
def test_legacy_cgroup_programs(attach_type: int, program: Program, verdict: Verdict) -> None:
    seen = own.CgroupProgram(attach_type, program, root=True, link=False)
    assert own.cgroup_program(seen).verdict is verdict


def test_below_the_cgroup_root_nothing_is_proven() -> None:
    seen = own.CgroupProgram(10, CONNECT, root=False, link=False)
    assert own.cgroup_program(seen).verdict is UNPROVEN


@pytest.mark.parametrize(
    ("pin", "release", "verdict"),
    [
        ("ctlb/calico_connect_v4", "", CALICO),
        ("ctlb/calico_connect_v4", "3.31.7", CALICO),
        ("ctlb/calico_sendmsg_v4", "", UNPROVEN),
        ("mine/calico_connect_v4", "3.26.4", UNPROVEN),
        ("", "", UNPROVEN),
        ("", "3.28.4", CALICO),
        ("", "3.28.5", UNPROVEN),
        ("", "3.28", UNPROVEN),
    ],
)
def test_cgroup_links(pin: str, release: str, verdict: Verdict) -> None:
    seen = own.CgroupProgram(10, CONNECT, root=True, link=True, pin=pin)
    stated = parse_release(release) if release else None
    assert own.cgroup_program(seen, stated).verdict is verdict


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        (Program("calico_log_filt", SCHED_CLS, (), slots=(JUMP_28,)), CALICO),
        (Program("p4I_cali1", SCHED_CLS, (STATE_28,)), CALICO),
        (Program("calico_tc_main", SCHED_CLS, (PROGS_28,)), CALICO),
        (Program("calico_tc_main", SCHED_CLS, None, slots=(PROGS_32,)), CALICO),
        (Program("p4I_cali1", SCHED_CLS, ()), UNPROVEN),
        (Program("p4I_cali1", SCHED_CLS, None), UNPROVEN),
        (Program("my_program", SCHED_CLS, (STATE_28,)), UNPROVEN),
        (
            Program("calico_log_filt", SCHED_CLS, (), slots=(JUMP_28._replace(key_size=8),)),
            UNPROVEN,
        ),
        (Program("cali_unheard_of", SCHED_CLS, ()), UNPROVEN),
        (Program("my_program", SCHED_CLS, (CILIUM,)), FOREIGN),
    ],
)
def test_static_programs(program: Program, verdict: Verdict) -> None:
    assert own.static_program(program).verdict is verdict


def test_reasons_are_sentences() -> None:
    assert own.tc_filter(own.Filter("cali1", NAME, ENTRY_28)).reasons == (
        "The filter is called cali_tc_preambl:[12].",
        "Program and filter have one name.",
        "cali_tc_preambl is an entry program of Calico 3.27 or later.",
        "It is a sched_cls program.",
        "Its constants, tc_pream.rodata of 512 B, have a known layout.",
        "Its constants name cali1.",
        "It uses Calico's state map and program arrays.",
    )
    assert own.tc_filter(own.Filter("cali1", "mine:[3]", STRANGER)).reasons == (
        "'mine:[3]' is no name of a Calico filter.",
        "The program is called 'cil_from_contai'.",
        "'cil_from_contai' is no entry program of Calico.",
        "It is a sched_cls program.",
        "It has no constants of a known layout.",
        "Its constants name '', not cali1.",
        "It does not use Calico's state map and program arrays.",
    )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk over interfaces where this machine's kernel has not what it takes: netkit, XDP."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import Program
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import interfaces as netlink
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import machine
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.attachments import Attached
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.xdp import (
    XdpProgram,
    programs_in,
)
from ansible_collections.bpfops.calico.plugins.module_utils._observe.node import interfaces
from ansible_collections.bpfops.calico.plugins.module_utils._observe.node.notes import Notes
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings_input import Loaded
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.bpf import MapType, ProgType
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

PRIMARY, PEER = 54, 55  # enum bpf_attach_type of linux/bpf.h


class Link:
    """Attributes as pyroute2 gives them."""

    def __init__(self, **attributes: Any) -> None:
        self.attributes = {f"IFLA_XDP_{name}": value for name, value in attributes.items()}

    def get_attr(self, name: str) -> Any:
        return self.attributes.get(name)


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        (None, []),
        (Link(ATTACHED=None), []),
        (Link(ATTACHED="xdp", PROG_ID=7, DRV_PROG_ID=7), [(7, "xdp")]),
        (Link(ATTACHED="xdpgeneric", PROG_ID=7, SKB_PROG_ID=7), [(7, "xdpgeneric")]),
        (Link(ATTACHED="xdp", PROG_ID=7), [(7, "xdp")]),  # before 4.20
        (
            Link(ATTACHED="xdpmulti", DRV_PROG_ID=7, HW_PROG_ID=8),
            [(7, "xdp"), (8, "xdpoffload")],
        ),
    ],
)
def test_xdp_programs_in_each_mode(attribute: Link | None, expected: list[Any]) -> None:
    assert list(programs_in(attribute)) == [XdpProgram(*one) for one in expected]


class Programs:
    """Programs that are Calico's for the device cali1, by any id."""

    def loaded(self, prog_id: int) -> Loaded:
        array, rodata = MapType.PROG_ARRAY, "tc_pream.rodata"
        maps = (
            MapSpec(MapType.ARRAY, 4, 552, 1, 0x480, rodata),
            MapSpec(MapType.PERCPU_ARRAY, 4, 512, 2, 0, "cali_state6"),
            MapSpec(array, 4, 4, 400, 0, "cali_p_nk_ing2"),
            MapSpec(array, 4, 4, 240000, 0, "cali_j_nk_ing2"),
        )
        evidence = Program("cali_tc_preambl", ProgType.SCHED_CLS, maps, "cali1")
        return Loaded(prog_id, "tag", evidence)


def walk(
    monkeypatch: pytest.MonkeyPatch, kind: str, links: dict[int, str], **changes: Any
) -> list[Any]:
    """What is found on an interface with two netkit programs."""
    device = netlink.Device(3, "cali1", kind, True, False, None, **changes)
    at = {PEER: Attached((41,), 0, (51,)), PRIMARY: Attached((42,), 0, (52,))}
    monkeypatch.setattr(netlink, "devices", lambda: (device,))
    monkeypatch.setattr(netlink, "filters_of", lambda indices: iter(()))
    monkeypatch.setattr(machine, "interface_names", dict)
    monkeypatch.setattr(interfaces, "has_tcx", lambda: False)
    monkeypatch.setattr(interfaces, "netkit_programs", lambda index, where: at[where])
    programs: Any = Programs()
    seen = interfaces.Walk(("cali*",), programs, links, Notes()).all()
    return list(seen.interfaces[0].attachments)


def test_netkit_links_that_are_pinned_as_felix_pins_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = walk(monkeypatch, "netkit", {51: "netkit/cali1_ingress", 52: "elsewhere"})
    assert [(one.kind, one.hook, one.prog_id, one.link_id) for one in found] == [
        ("netkit", "ingress", 41, 51),
        ("netkit", "egress", 42, 52),
    ]
    assert [one.owner.verdict.value for one in found] == ["calico", "unproven"]


def test_other_devices_have_no_netkit_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walk(monkeypatch, "veth", {}) == []


def test_every_xdp_program_of_a_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    several = (XdpProgram(7, "xdp"), XdpProgram(8, "xdpoffload"))
    found = walk(monkeypatch, "veth", {}, xdp=several)
    assert [(one.kind, one.prog_id, one.mode) for one in found] == [
        ("xdp", 7, "xdp"),
        ("xdp", 8, "xdpoffload"),
    ]

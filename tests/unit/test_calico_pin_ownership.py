# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a pin, a map or a device is, with each piece of evidence taken away once."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import pin_ownership as pins
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Ownership,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec

CALICO, FOREIGN, UNPROVEN = Verdict.CALICO, Verdict.FOREIGN, Verdict.UNPROVEN
STATE_28 = MapSpec(6, 4, 480, 2, 0, "cali_state4")
JUMP_26 = MapSpec(3, 4, 4, 32, 0, "cali_jump3")
JUMP_28 = MapSpec(3, 4, 4, 240000, 0, "cali_jump3")
CT = MapSpec(1, 16, 88, 512000, 1, "cali_v4_ct3")
CILIUM = MapSpec(9, 14, 56, 65536, 0, "cilium_ct4")


@pytest.mark.parametrize(
    ("path", "spec", "verdict"),
    [
        ("tc/globals/cali_v4_ct3", CT, CALICO),
        ("tc/globals/cali_v4_ct3", CT._replace(max_entries=2000000), CALICO),
        ("tc/globals/cali_v4_ct3", CT._replace(name="other"), CALICO),
        ("tc/globals/cali_v4_ct3_old", CT, CALICO),
        ("tc/globals/cali_v4_ct4", CT, UNPROVEN),
        ("tc/globals/cali_v4_ct3", CT._replace(value_size=80), UNPROVEN),
        ("tc/globals/cali_v4_ct3", CT._replace(type=9), UNPROVEN),
        ("tc/globals/cali_state4", STATE_28._replace(max_entries=9), UNPROVEN),
        ("cali_v4_ct3", CT, UNPROVEN),
        ("tc/cali1_igr/cali_v4_ct3", CT, UNPROVEN),
        ("tc/cali1_igr/cali_jump3", JUMP_26, CALICO),
        ("tc/globals/cali_jump3", JUMP_26, UNPROVEN),
        ("tc/globals/cali_jump3", JUMP_28, CALICO),
        ("tc/globals/old_jumps/x1/cali_jump3", JUMP_28, CALICO),
        ("tc/globals/old_jumps/x1/xdp_cali_progs3", MapSpec(3, 4, 4, 400, 0, "x"), CALICO),
        ("tc/globals/old_jumps/x1/cali_v4_ct3", CT, UNPROVEN),
        ("tc/globals/other/x1/cali_jump3", JUMP_28, UNPROVEN),
        ("tc/globals/cali_mine", CILIUM, UNPROVEN),
        ("tc/globals/cilium_ct4", CILIUM, FOREIGN),
        ("tc/globals/my_map", CT, FOREIGN),
        ("calico/calico_failsafe_ports_v1", CILIUM, UNPROVEN),
    ],
)
def test_map_pins(path: str, spec: MapSpec, verdict: Verdict) -> None:
    assert pins.pin(pins.Pin(path, spec)).verdict is verdict


OURS, THEIRS = Ownership(CALICO, ("It is.",)), Ownership(FOREIGN, ("It is not.",))
MAYBE = Ownership(UNPROVEN, ("Perhaps.",))


@pytest.mark.parametrize(
    ("path", "content", "verdict"),
    [
        ("tcx/cali1_ingress", OURS, CALICO),
        ("ctlb/calico_connect_v4", OURS, CALICO),
        ("mine/cali1_ingress", OURS, UNPROVEN),
        ("tcx/cali1_ingress", THEIRS, FOREIGN),
        ("ctlb/calico_connect_v4", MAYBE, UNPROVEN),
        ("ctlb/calico_connect_v4", None, UNPROVEN),
    ],
)
def test_link_pins(path: str, content: Ownership | None, verdict: Verdict) -> None:
    assert pins.pin(pins.Pin(path, content=content)).verdict is verdict


@pytest.mark.parametrize(
    ("spec", "users", "verdict"),
    [
        (CT, [THEIRS, OURS], CALICO),
        (CT, [], UNPROVEN),
        (CT, [MAYBE], UNPROVEN),
        (CT._replace(value_size=90), [OURS], UNPROVEN),
        (CT._replace(value_size=90), [], UNPROVEN),
        (CILIUM, [OURS], UNPROVEN),
        (CILIUM, [THEIRS], FOREIGN),
    ],
)
def test_maps_without_a_pin(spec: MapSpec, users: list[Ownership], verdict: Verdict) -> None:
    assert pins.unpinned_map(spec, users).verdict is verdict


@pytest.mark.parametrize(
    ("name", "kind", "peer", "verdict"),
    [
        ("bpfin.cali", "veth", "bpfout.cali", CALICO),
        ("bpfout.cali", "veth", "bpfin.cali", CALICO),
        ("bpfin.cali", "dummy", "", UNPROVEN),
        ("bpfin.cali", "veth", "eth0", UNPROVEN),
        ("cali123", "veth", "bpfout.cali", FOREIGN),
    ],
)
def test_special_devices(name: str, kind: str, peer: str, verdict: Verdict) -> None:
    assert pins.special_device(name, kind, peer).verdict is verdict


def test_a_clsact_goes_only_when_all_its_filters_are_calicos() -> None:
    assert pins.clsact_removable([OURS, OURS])
    assert not pins.clsact_removable([OURS, THEIRS])
    assert not pins.clsact_removable([OURS, MAYBE])
    assert not pins.clsact_removable([])


def test_reasons_are_sentences() -> None:
    assert pins.pin(pins.Pin("tc/globals/cali_v4_ct3_old", CT)).reasons == (
        "cali_v4_ct3 is a map of Calico, kept from a resize.",
        "It has the parameters of cali_v4_ct3.",
        "tc/globals is where Calico pins it.",
    )

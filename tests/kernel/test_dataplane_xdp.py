# SPDX-License-Identifier: GPL-3.0-or-later
"""dataplane and XDP programs: of several releases, in several modes, and of others."""

from __future__ import annotations

import os

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.leftover_state import TWO, UPLINK, Scene, command
from tests.kernel.node_state import PROG_ARRAY, named_map, program
from tests.observe import rawbpf

NAME_3_26 = "xdp_calico_entr"


def test_xdp_in_driver_mode_and_a_foreign_one(scene: Scene) -> None:
    scene.node.xdp(UPLINK, "xdpdrv")
    foreign = scene.node.foreign_xdp(TWO, "cali_xdp_preamb")
    found = scene.run()
    assert found.actions[0].endswith(f"from {UPLINK} (xdp)")
    assert scene.inventory()["xdp"] == {TWO: foreign}


def array_of(scene: Scene, interface: str) -> int:
    """The program array that 3.26 pins for the XDP program of one interface."""
    fd = named_map("cali_jump3", PROG_ARRAY, 4, 4, 32)
    place = scene.node.root / "tc" / f"{interface}_xdp"
    place.mkdir()
    rawbpf.pin(fd, str(place / "cali_jump3"))
    return fd


def test_the_program_of_3_26_is_known_by_its_array(scene: Scene) -> None:
    fd = array_of(scene, UPLINK)
    scene.node.attach_xdp(UPLINK, program(rawbpf.XDP, NAME_3_26, [fd]))
    os.close(fd)
    found = scene.run()
    assert found.actions[0].startswith(f"Detach {NAME_3_26}, program ")
    assert scene.inventory()["xdp"] == {}
    assert not (scene.node.root / "tc" / f"{UPLINK}_xdp").exists()


def test_without_its_array_it_stays(scene: Scene) -> None:
    number = scene.node.foreign_xdp(TWO, NAME_3_26)
    assert scene.run(include=["xdp"]).actions == ()
    assert scene.inventory()["xdp"] == {TWO: number}
    command("ip", "link", "set", "dev", TWO, "xdpgeneric", "off")
    fd = array_of(scene, UPLINK)  # of another interface
    mine = scene.node.attach_xdp(TWO, program(rawbpf.XDP, NAME_3_26, [fd]))
    os.close(fd)
    with pytest.raises(errors.RefusedError, match=f"on {TWO} xdp stays, and calls into"):
        scene.run()
    assert scene.inventory()["xdp"] == {TWO: mine}

# SPDX-License-Identifier: GPL-3.0-or-later
"""node_info where things are missing, strange or not readable: it reports and does not fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import bpffs
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import interfaces as netlink
from ansible_collections.bpfops.calico.plugins.modules import node_info
from tests.kernel.node_state import MAPS, WORKLOADS, Node, look, of, pin_of
from tests.observe import rawbpf

ONE, TWO = WORKLOADS


def test_strange_things_are_no_failure(node: Node) -> None:
    fd = program = node.preamble(ONE)
    rawbpf.pin(program, str(node.globals / "cali_v4_routes"))
    os.close(fd)
    node.pin_map("cali_v6_ct3", 1, 40, 96, 10)
    node.pin_map("foreign", 1, 8, 8, 10)
    found = look(node, cgroup_root="/proc")
    assert pin_of(found, "cali_v6_ct3")["owner"] == "unproven"
    assert pin_of(found, "foreign")["owner"] == "foreign"
    kinds = {Path(one["path"]).name: one["kind"] for one in found.facts["pins"]}
    assert kinds["cali_v4_routes"] == "program"
    (warning,) = [one for one in found.warnings if one.startswith("/proc")]
    assert warning == "/proc was left out: it is no directory of a cgroup2 file system."
    assert "/gone vanished" in " ".join(look(node, cgroup_root="/gone").warnings)


def test_no_pins_at_all(pins: Path) -> None:
    defaults = {name: spec.get("default") for name, spec in node_info.ARGUMENT_SPEC.items()}
    for place in (pins, pins / "missing", Path("/proc")):
        found = node_info.work({**defaults, "bpffs": str(place), "interfaces": ["nix*"]}, False)
        assert found.facts["maps"] == []
        assert "3.26" in found.facts["release"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"calico_version": "three"}, "calico_version: 'three' is not a Calico version"),
        ({"calico_version": "2.1"}, "calico_version: '2.1' is not among the releases"),
        ({"pin_dir": "relative"}, "pin_dir: 'relative' is relative"),
        ({"bpffs": "relative"}, "bpffs: 'relative' is relative"),
        ({"cgroup_root": "relative"}, "cgroup_root: 'relative' is relative"),
        ({"interfaces": [""]}, "interfaces: '' is not a pattern"),
    ],
)
def test_bad_input(pins: Path, params: dict[str, Any], expected: str) -> None:
    defaults = {name: spec.get("default") for name, spec in node_info.ARGUMENT_SPEC.items()}
    with pytest.raises(errors.BpfopsError) as caught:
        node_info.work({**defaults, "bpffs": str(pins), **params}, False)
    assert expected in str(caught.value)


def test_without_pyroute2_the_rest_works(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.attach_all()
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    found = look(node, cgroup_root=str(Path("/proc")))
    about = [one for one in found.warnings if "pyroute2" in one]
    assert len(about) == 1
    assert not found.facts["interfaces_known"]
    assert of(found, ONE)["clsact"] is None
    assert len(found.facts["maps"]) == len(MAPS)


def test_an_interface_that_vanishes_during_the_walk(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.attach_all()
    listed = netlink.devices

    def devices() -> tuple[netlink.Device, ...]:
        found = listed()
        node.workloads[1].remove()
        return found

    monkeypatch.setattr(netlink, "devices", devices)
    found = look(node)
    assert [one["hook"] for one in of(found, ONE)["programs"]] == ["ingress", "egress"]
    assert of(found, TWO)["programs"] == []
    assert found.facts["interfaces_known"]


def test_a_pin_that_vanishes_during_the_walk(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = bpffs.walk
    gone = node.globals / "cali_state4"

    def walking(top: str) -> Iterator[str]:
        for path in listed(top):
            if path == str(gone):
                gone.unlink()
            yield path

    monkeypatch.setattr(bpffs, "walk", walking)
    found = look(node)
    assert len(found.facts["maps"]) == len(MAPS) - 1
    assert f"{gone} vanished while it was looked at." in found.warnings

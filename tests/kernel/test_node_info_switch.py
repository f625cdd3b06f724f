# SPDX-License-Identifier: GPL-3.0-or-later
"""What node_info sees of other software that is in the way of eBPF mode."""

from __future__ import annotations

import socket
import subprocess
from typing import Any

import pytest

from tests.kernel.leftover_state import Scene, veth
from tests.kernel.node_state import HASH, PROG_ARRAY, look


def facts(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = look(scene.node, cgroup_root=str(scene.cgroup.place)).facts
    return found


def test_what_takes_the_port_of_vxlan(scene: Scene) -> None:
    assert (facts(scene)["vxlan_devices"], facts(scene)["udp_ports"]) == ([], [])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        bound.bind(("::", 4790))
        assert facts(scene)["udp_ports"] == [4790]
    add = ["ip", "link", "add", "swarm0", "type", "vxlan", "id", "5", "dev", "lo"]
    if subprocess.run([*add, "dstport", "4789"], check=False).returncode:
        pytest.skip("no VXLAN here")
    subprocess.run(["ip", "link", "set", "swarm0", "up"], check=True)
    assert facts(scene)["vxlan_devices"] == [{"name": "swarm0", "port": 4789}]
    assert facts(scene)["udp_ports"] == [4789]


def test_the_device_of_ipvs(scene: Scene) -> None:
    assert facts(scene)["kube_proxy_ipvs"] is False
    veth("kube-ipvs0", "other")
    assert facts(scene)["kube_proxy_ipvs"] is True


def test_whose_qdiscs_are_shared(scene: Scene) -> None:
    scene.clsact()
    first, second, uplink = ("cali111", "cali222", "eth0")
    for name in (first, second, uplink):
        scene.node.attach(name, "ingress")
    assert scene.run(check=True).facts["shared"] == []
    scene.node.foreign_filter(first, "egress", 9)
    expected = [first]
    if scene.node.foreign_match(uplink, "egress"):
        expected.append(uplink)
    assert scene.run(check=True).facts["shared"] == expected
    subprocess.run(["tc", "filter", "del", "dev", first, "ingress"], check=True)
    assert scene.run(check=True).facts["shared"] == expected[1:]


def test_a_pin_of_others_says_nothing_about_the_release(scene: Scene) -> None:
    for path in scene.node.globals.iterdir():
        path.unlink()
    scene.node.pin_at("tc/eth0_igr", "theirs", HASH, 4, 8, 10)
    assert facts(scene)["release_evidence"] == []
    scene.node.pin_at("tc/eth0_igr", "cali_jump3", PROG_ARRAY, 4, 4, 32)
    assert facts(scene)["release_evidence"] == ["There is tc/eth0_igr/cali_jump3, as in 3.26"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gates of a switch of the dataplane are closed on which node."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import BadInputError
from ansible_collections.bpfops.calico.plugins.module_utils._plan.gates import gates
from tests.unit.node_facts import a_map, finding, node


def said(facts: dict[str, Any], severity: str, **options: Any) -> list[str]:
    given = {"name": "switch_dataplane", **options}
    return [one["code"] for one in gates(facts, given, {}) if one["severity"] == severity]


def closed(facts: dict[str, Any], **options: Any) -> list[str]:
    return said(facts, "critical", **options)


def test_mounts() -> None:
    elsewhere = node("3.29.7", bpffs_mounts=["/run/calico/bpffs"])
    assert closed(elsewhere, to="ebpf") == ["BPFFS_MISSING"]
    assert closed(elsewhere, to="iptables") == []
    named = {"to": "ebpf", "bpffs": "/run/calico/bpffs"}
    assert closed(elsewhere, **named) == []
    without = node("3.29.7", cgroup_roots=[])
    assert closed(without, to="ebpf") == ["CGROUP_MISSING"]
    assert closed(without, to="iptables") == []


def test_what_belongs_to_others() -> None:
    hook = {"cgroup": "/cg", "hook": "connect4", "program_id": 7, "name": "mine"}
    legacy = {**hook, "legacy": True, "owner": "foreign"}
    for one, expected in (
        (legacy, ["CTLB_FOREIGN_DETACHED"]),
        ({**legacy, "legacy": False}, []),
        ({**legacy, "owner": "calico"}, []),
    ):
        facts = node("3.29.7", connect_time=[one])
        assert closed(facts, to="iptables") == expected
    assert closed(node("3.27.3", connect_time=[legacy]), to="iptables") == []
    assert closed(node("3.29.7", connect_time=[legacy]), to="ebpf") == []


def test_filters_of_others_go_with_the_qdisc() -> None:
    mine = {"kind": "tc", "hook": "ingress", "name": "cali", "owner": "calico"}
    other = {**mine, "name": "theirs", "owner": "foreign"}
    shared = {"name": "eth0", "programs": [mine, other]}
    alone = {"name": "eth1", "programs": [other]}
    tcx = {"name": "eth2", "programs": [mine, {**other, "kind": "tcx"}]}
    facts = node("3.29.7", interfaces=[shared, alone, tcx])
    (gate, *_) = gates(facts, {"name": "switch_dataplane", "to": "iptables"}, {})
    assert (gate["code"], gate["evidence"]) == ("CLSACT_FOREIGN", ["eth0 has theirs at ingress."])
    for harmless in (alone, tcx):
        there = node("3.29.7", interfaces=[harmless])
        assert closed(there, to="iptables") == []


def test_an_operator_that_takes_the_mount_away() -> None:
    kind = {"to": "iptables", "install_kind": "operator"}
    assert "MOUNT_DROPPED" in said(node("3.29.7"), "warning", **kind)
    assert "MOUNT_DROPPED" not in said(node("3.31.7"), "warning", **kind)
    manifest = {"to": "iptables", "install_kind": "manifest"}
    assert "MOUNT_DROPPED" not in said(node("3.29.7"), "warning", **manifest)


def test_ipvs_is_in_the_way_of_ebpf_mode() -> None:
    facts = node("3.29.7", kube_proxy_ipvs=True)
    assert closed(facts, to="ebpf") == ["KUBE_PROXY_IPVS"]
    assert closed(facts, to="iptables") == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"api_server": "192.0.2.1:6443", "api_answers": True}, []),
        ({"api_server": "192.0.2.1:6443"}, ["API_UNREACHABLE"]),
        ({"api_server": "[2001:db8::1]:6443", "api_answers": True}, []),
        (
            {"api_server": "192.0.2.1:1", "api_answers": True, "service_cidrs": ["192.0.2.0/24"]},
            ["API_UNREACHABLE"],
        ),
        (
            {
                "api_server": "api.example:6443",
                "api_answers": True,
                "service_cidrs": ["2001:db8::/64", "192.0.2.0/24"],
            },
            [],
        ),
        (
            {
                "api_server": "[2001:db8::1]:443",
                "api_answers": True,
                "service_cidrs": ["192.0.2.0/24", "2001:db8::/64"],
            },
            ["API_UNREACHABLE"],
        ),
    ],
)
def test_the_api_server_without_kube_proxy(options: dict[str, Any], expected: list[str]) -> None:
    assert closed(node("3.29.7"), to="ebpf", **options) == expected
    assert "API_UNREACHABLE" not in said(node("3.29.7"), "warning", to="ebpf", **options)
    assert closed(node("3.29.7"), to="iptables", **options) == []


def test_an_api_server_that_nobody_asked_is_noted() -> None:
    assert "API_UNREACHABLE" in said(node("3.29.7"), "warning", to="ebpf")
    assert "API_UNREACHABLE" not in said(node("3.29.7"), "warning", to="iptables")


@pytest.mark.parametrize(
    ("devices", "ports", "expected"),
    [
        ({}, [53], []),
        ({}, [4789], ["VXLAN_PORT"]),
        ({"vxlan.calico": 4789}, [4789], []),
        ({"vxlan-v6.calico": 4789}, [4789], []),
        ({"vxlan.calico": 4789, "swarm0": 4789}, [4789], ["VXLAN_PORT"]),
        ({"vxlan.calico": 4790}, [4789, 4790], ["VXLAN_PORT"]),
        ({"flannel.1": 8472}, [8472], []),
    ],
)
def test_the_port_of_vxlan(devices: dict[str, int], ports: list[int], expected: list[str]) -> None:
    listed = [{"name": name, "port": port} for name, port in devices.items()]
    facts = node("3.29.7", vxlan_devices=listed, udp_ports=ports)
    assert closed(facts, to="ebpf") == expected
    assert closed(facts, to="iptables") == []


def test_another_port_of_vxlan() -> None:
    facts = node("3.29.7", udp_ports=[4790])
    assert closed(facts, to="ebpf", vxlan_port=4790) == ["VXLAN_PORT"]
    assert closed(facts, to="ebpf") == []


def an_interface(name: str, kind: str, *owners: str) -> dict[str, Any]:
    programs = [
        {"kind": kind, "hook": "ingress", "name": f"{owner}s", "owner": owner, "link_id": 40 + at}
        for at, owner in enumerate(owners)
    ]
    return {"name": name, "programs": programs}


def test_filters_that_are_detached_first_take_no_others_along() -> None:
    facts = node("3.29.7", interfaces=[an_interface("eth0", "tc", "calico", "foreign")])
    assert closed(facts, to="iptables") == ["CLSACT_FOREIGN"]
    assert closed(facts, to="iptables", filters_first=True) == []
    assert "CLSACT_FOREIGN" in said(facts, "warning", to="iptables", filters_first=True)


@pytest.mark.parametrize(
    ("release", "severity"),
    [("3.31.7", "critical"), ("3.30.7", ""), (">=3.30,<3.32", "warning")],
)
def test_filters_of_others_where_felix_attaches_by_tcx(release: str, severity: str) -> None:
    facts = node(release, interfaces=[an_interface("eth0", "tc", "foreign")])
    for one in ("critical", "warning"):
        assert ("CLSACT_FOREIGN" in said(facts, one, to="ebpf")) is (one == severity)
        assert "CLSACT_FOREIGN" not in said(facts, one, to="ebpf", restart=False)
        assert "CLSACT_FOREIGN" not in said(facts, one, to="ebpf", attach_type="TC")


def test_xdp_programs_of_others_are_noted() -> None:
    facts = node("3.29.7", interfaces=[an_interface("eth0", "xdp", "foreign")])
    assert "XDP_WIPED" in said(facts, "warning", to="iptables")
    assert "XDP_WIPED" not in said(facts, "warning", to="ebpf")
    mine = node("3.29.7", interfaces=[an_interface("eth0", "xdp", "calico")])
    assert "XDP_WIPED" not in said(mine, "warning", to="iptables")


@pytest.mark.parametrize(
    ("name", "owner", "expected"),
    [
        ("cali_mine", "unproven", ["PIN_FOREIGN"]),
        ("xdp_cali_mine", "foreign", ["PIN_FOREIGN"]),
        ("cali_v4_ct3", "calico", []),
        ("cilium_calls", "foreign", []),
    ],
)
def test_pins_that_felix_takes_for_its_own(name: str, owner: str, expected: list[str]) -> None:
    one = {**a_map("cali_v4_ct3", "3.29"), "path": f"/sys/fs/bpf/tc/globals/{name}", "owner": owner}
    facts = node("3.29.7", one)
    assert closed(facts, to="iptables") == expected
    assert closed(facts, to="iptables", restart=False) == []
    assert closed(facts, to="ebpf") == []


def test_pins_elsewhere_that_felix_takes_for_its_own() -> None:
    paths = ["/sys/fs/bpf/mine/cali_v4_ct3", "/sys/fs/bpf/mine/calls"]
    (gate, *_) = gates(
        node("3.29.7"), {"name": "switch_dataplane", "to": "iptables", "foreign_pins": paths}, {}
    )
    assert (gate["code"], gate["evidence"]) == (
        "PIN_FOREIGN",
        [f"{paths[0]} is not proven Calico's."],
    )


@pytest.mark.parametrize(
    ("release", "pin", "expected"),
    [
        ("3.31.7", {"object_id": 41}, ["PIN_FOREIGN"]),
        ("3.31.7", {"object_id": 40}, []),
        ("3.31.7", {"object_id": 41, "severed": True}, []),
        ("3.31.7", {"object_id": 41, "path": "/sys/fs/bpf/mine/x_ingress"}, []),
        ("3.30.7", {"object_id": 41}, []),
    ],
)
def test_links_of_others_among_those_of_tcx(
    release: str, pin: dict[str, Any], expected: list[str]
) -> None:
    one = {"path": "/sys/fs/bpf/tcx/x_ingress", "kind": "link", "severed": False, **pin}
    facts = node(release, interfaces=[an_interface("x", "tcx", "calico", "foreign")], pins=[one])
    assert closed(facts, to="iptables") == expected


def test_what_only_a_restart_would_do_is_not_asked_without_one() -> None:
    there = {"cgroup": "/cg", "hook": "connect4", "program_id": 7, "name": "mine", "legacy": True}
    facts = node(
        "3.29.7",
        interfaces=[an_interface("eth0", "tc", "calico", "foreign")],
        connect_time=[{**there, "owner": "foreign"}],
        findings=[finding("RELEASE_CONTRADICTION", "node", "It is odd.")],
    )
    expected = ["CLSACT_FOREIGN", "CTLB_FOREIGN_DETACHED", "RELEASE_CONTRADICTION"]
    assert sorted(closed(facts, to="iptables")) == expected
    assert closed(facts, to="iptables", restart=False) == []
    assert "RELEASE_CONTRADICTION" in said(facts, "warning", to="iptables", restart=False)
    assert "RELEASE_CONTRADICTION" in closed(facts, to="ebpf", restart=False)


def test_what_stops_felix_in_ebpf_mode_alone_is_removed_on_the_way_out() -> None:
    severed = finding("CTLB_SEVERED", "/sys/fs/bpf/ctlb/x", "Link 5 has no cgroup.")
    maps = (a_map("cali_v4_ct3", "3.29"), a_map("cali_v4_ct3_old", "3.29"))
    facts = node("3.29.7", *maps, findings=[severed])
    assert sorted(closed(facts, to="ebpf")) == ["CTLB_SEVERED", "CT_OLD_PIN"]
    assert closed(facts, to="iptables") == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"api_server": "192.0.2.1"}, "operation.api_server: '192.0.2.1' is no address with a"),
        ({"api_server": ":6443"}, "operation.api_server: ':6443' is no address"),
        ({"api_server": "192.0.2.1:0"}, "operation.api_server: '192.0.2.1:0' is no address"),
        ({"service_cidrs": "192.0.2.0/24"}, "operation.service_cidrs: '192.0.2.0/24' is not a"),
        ({"service_cidrs": ["x"]}, "operation.service_cidrs: 'x' is no network"),
        ({"vxlan_port": 0}, "operation.vxlan_port"),
        ({"vxlan_port": 65536}, "operation.vxlan_port"),
        ({"foreign_pins": "/x"}, "operation.foreign_pins: '/x' is not a list"),
        ({"foreign_pins": [1]}, "operation.foreign_pins: 1 is not a text"),
        ({"restart": "yes"}, "operation.restart: 'yes' is neither true nor false"),
        ({"api_answers": 1}, "operation.api_answers: 1 is neither true nor false"),
    ],
)
def test_bad_input(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(BadInputError) as caught:
        gates(node("3.29.7"), {"name": "switch_dataplane", "to": "ebpf", **options}, {})
    assert expected in str(caught.value)

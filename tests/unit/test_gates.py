# SPDX-License-Identifier: GPL-3.0-or-later
"""Which gates of the other operations are closed on which node, and how they say so."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.defects import DEFECTS
from ansible_collections.bpfops.calico.plugins.module_utils._calico.gates import GATES, OPERATIONS
from ansible_collections.bpfops.calico.plugins.module_utils._plan.gates import RULES, gates
from tests.unit.node_facts import a_map, finding, node

MINIMAL: dict[str, dict[str, Any]] = {
    "resize_conntrack": {"max_entries": 512000},
    "upgrade": {"to": "v3.29.7"},
    "switch_dataplane": {"to": "ebpf"},
}


def said(facts: dict[str, Any], name: str, severity: str, **options: Any) -> list[str]:
    given = {"name": name, **options}
    return [one["code"] for one in gates(facts, given, {}) if one["severity"] == severity]


def closed(facts: dict[str, Any], name: str, **options: Any) -> list[str]:
    return said(facts, name, "critical", **options)


def kernel(release: str) -> dict[str, Any]:
    return {"kernel": {"release": release, "possible_cpus": 2, "lockdown": None}}


def test_the_table_is_sound() -> None:
    codes = {row.code for row in DEFECTS}
    assert {gate.code for gate in GATES} <= codes
    assert {gate.rule for gate in GATES} == RULES.keys()
    assert all(set(gate.operations) <= set(OPERATIONS) for gate in GATES)
    assert all(gate.asks.endswith(".") and gate.source for gate in GATES)
    assert all(re.fullmatch(r"(preflight_allow_[a-z_]+)?", gate.override) for gate in GATES)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_may_begin_on_a_healthy_node(name: str) -> None:
    facts = node("3.29.7")
    assert closed(facts, name, **MINIMAL.get(name, {})) == []
    answers = gates(facts, {"name": name, **MINIMAL.get(name, {})}, {})
    assert [one["says"] for one in answers if not one["says"].endswith(".")] == []
    assert all(one["refusal"] == "" and not one["overridden"] for one in answers)


@pytest.mark.parametrize(
    ("running", "to", "expected"),
    [
        ("3.30.6", "v3.31.7", ["UPGRADE_VXLAN"]),
        ("3.30.7", "v3.31.7", []),
        ("3.30", "v3.32.1", ["UPGRADE_VXLAN"]),
        ("3.29.7", "v3.31.7", ["UPGRADE_VXLAN"]),
        ("3.29.7", "v3.30.7", []),
        ("3.30.7", "v3.31.3", ["VXLAN_VNI"]),
        ("3.30.7", "v3.31.4", []),
        ("3.27.3", "v3.28.4", ["TC_MISMATCH"]),
        ("3.27.3", "v3.28.5", []),
        ("3.28.5", "v3.29.4", ["TC_MISMATCH"]),
        ("3.28.5", "v3.29.5", []),
        ("3.31.3", "v3.31.3", []),
        ("3.31.7", "v3.31.6", ["DOWNGRADE"]),
        ("3.31.7", "v3.30.7", ["DOWNGRADE"]),
        ("3.30.7", "v3.30.7", []),
    ],
)
def test_ways_between_releases(running: str, to: str, expected: list[str]) -> None:
    assert closed(node(running), "upgrade", to=to) == expected


def test_a_release_that_is_not_known_well_enough() -> None:
    facts = node(">=3.28,<3.31")
    (gate,) = (
        one
        for one in gates(facts, {"name": "upgrade", "to": "v3.28.5"}, {})
        if one["code"] == "DOWNGRADE"
    )
    assert (gate["passed"], gate["severity"]) == (True, "warning")
    operation = {"name": "upgrade", "to": "v3.31.7", "calico_version": "3.30.7"}
    assert [one["code"] for one in gates(facts, operation, {}) if not one["passed"]] == []


def test_an_upgrade_to_a_release_that_cannot_load_the_sizes() -> None:
    grown = node("3.26.4", a_map("cali_v4_ct3", "3.26", max_entries=600000))
    assert closed(grown, "upgrade", to="v3.27.5") == ["CT_SIZE"]
    assert closed(grown, "upgrade", to="v3.28.5") == []
    nat = node(
        "3.26.4", a_map("cali_v4_ct3", "3.26"), a_map("cali_v4_nat_be", "3.26", max_entries=9)
    )
    assert closed(nat, "upgrade", to="v3.27.5") == ["CT_SIZE"]
    routes = node(
        "3.26.4", a_map("cali_v4_ct3", "3.26"), a_map("cali_v4_routes", "3.26", max_entries=9)
    )
    assert closed(routes, "upgrade", to="v3.27.5") == []


def test_what_an_upgrade_does_to_connections_is_noted() -> None:
    assert "CT_NOT_CARRIED" in said(node("3.30.7"), "upgrade", "warning", to="v3.31.7")
    assert "CT_CREATED_AS_RST" in said(node("3.29.7"), "upgrade", "warning", to="v3.30.7")
    assert "CT_NOT_CARRIED" not in said(node("3.29.7"), "upgrade", "warning", to="v3.30.7")


@pytest.mark.parametrize(
    ("release", "distribution", "to", "expected"),
    [
        ("5.9.0", {"id": "debian"}, "v3.31.7", ["KERNEL_TOO_OLD"]),
        ("5.10.0", {"id": "debian"}, "v3.31.7", []),
        ("5.2.0", {"id": "debian"}, "v3.30.7", ["KERNEL_TOO_OLD"]),
        ("4.18.0-305.el8", {"id": "rhel"}, "v3.31.7", []),
        ("4.18.0-304.el8", {"id": "rocky", "id_like": ["rhel"]}, "v3.31.7", ["KERNEL_TOO_OLD"]),
        ("4.18.0-305.el8", {"id": "debian"}, "v3.31.7", ["KERNEL_TOO_OLD"]),
        ("6.12.52", {"id": "debian"}, "v3.30.4", []),
        ("6.12.53", {"id": "debian"}, "v3.30.4", ["KERNEL_PAIR"]),
        ("6.17.5", {"id": "debian"}, "v3.30.4", ["KERNEL_PAIR"]),
        ("6.17.5", {"id": "debian"}, "v3.30.7", []),
    ],
)
def test_kernels(release: str, distribution: dict[str, Any], to: str, expected: list[str]) -> None:
    facts = node(
        "3.30.7" if "3.31" in to else "3.29.7", distribution=distribution, **kernel(release)
    )
    assert closed(facts, "upgrade", to=to) == expected


def test_a_kernel_pair_names_its_own_numbers() -> None:
    facts = node("3.29.7", **kernel("6.17.5"))
    (gate, *_) = gates(facts, {"name": "upgrade", "to": "v3.30.4"}, {})
    assert gate["code"] == "KERNEL_PAIR"
    assert "#11405" in gate["upstream"]
    # Beside one that closes, those whose effect is not sure are no reason.
    (gate, *_) = gates(
        node("3.29.7", **kernel("6.12.53")), {"name": "upgrade", "to": "v3.30.4"}, {}
    )
    assert len(gate["evidence"]) == 1
    # A pair whose effect is not sure goes on with a note.
    assert "KERNEL_PAIR" in said(node("3.29.7"), "upgrade", "warning", to="v3.30.7")


def test_a_kernel_is_asked_of_ebpf_mode_alone() -> None:
    facts = node("3.29.7", **kernel("4.4.0"))
    assert "KERNEL_TOO_OLD" in closed(facts, "switch_dataplane", to="ebpf")
    assert closed(facts, "switch_dataplane", to="iptables") == []


@pytest.mark.parametrize(
    "code", ["PROGRAM_LEFTOVER", "CTLB_LEFTOVER", "PIN_LEFTOVER", "DEVICE_LEFTOVER"]
)
def test_leftovers_are_in_the_way_of_ebpf_mode(code: str) -> None:
    facts = node("3.29.7", findings=[finding(code, "eth0", "It is there.")])
    assert closed(facts, "switch_dataplane", to="ebpf") == [code]
    assert closed(facts, "switch_dataplane", to="iptables") == []


@pytest.mark.parametrize("name", ["repair_tc", "set_log_level"])
def test_interfaces_have_to_be_seen(name: str) -> None:
    assert closed(node("3.29.7", interfaces_known=False), name) == ["TC_UNSEEN"]


@pytest.mark.parametrize(
    ("name", "code", "affected", "spared"),
    [
        ("repair_tc", "TC_MISMATCH", "3.30.7", "3.31.7"),
        ("repair_udp", "UDP_STALE", "3.29.7", "3.30.0"),
    ],
)
def test_nothing_to_repair_is_noted(name: str, code: str, affected: str, spared: str) -> None:
    assert code not in said(node(affected), name, "warning")
    assert code in said(node(spared), name, "warning")
    assert closed(node(spared), name) == []


def test_logging() -> None:
    facts = node("3.31.6")
    assert "LOG_DEBUG_VERIFIER" in said(facts, "set_log_level", "warning", to="Debug")
    assert "LOG_DEBUG_VERIFIER" not in said(facts, "set_log_level", "warning", to="Off")
    assert "LOG_FILTER_STALE" in said(node("3.27.3"), "set_log_level", "warning", to="Off")


@pytest.mark.parametrize("name", [*MINIMAL, "set_log_level"])
def test_a_restart_of_felix_that_does_damage(name: str) -> None:
    severed = finding("CTLB_SEVERED", "/sys/fs/bpf/ctlb/x", "Link 5 has no cgroup.")
    old = a_map("cali_v4_ct3_old", "3.29")
    facts = node("3.29.7", a_map("cali_v4_ct3", "3.29"), old, findings=[severed])
    found = closed(facts, name, **MINIMAL.get(name, {}))
    assert sorted(found) == ["CTLB_SEVERED", "CT_OLD_PIN"]


def test_a_contradiction() -> None:
    facts = node("3.29.7", findings=[finding("RELEASE_CONTRADICTION", "node", "It is odd.")])
    assert closed(facts, "repair_udp") == ["RELEASE_CONTRADICTION"]
    (gate, *_) = gates(node("3.29.7"), {"name": "repair_udp", "calico_version": "3.31"}, {})
    assert gate["evidence"] == ["calico_version is 3.31, but the kernel shows 3.29.7."]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects between programs and pins, planted alone: torn state, split tables, strange places."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._observe.node import twice
from tests.kernel.node_state import (
    LPM_TRIE,
    MAPS,
    PREAMBLE,
    WORKLOADS,
    Interface,
    Node,
    codes,
    look,
    program,
)
from tests.observe import rawbpf

ONE, TWO = WORKLOADS
CT3 = MAPS["cali_v4_ct3"]
HOOKS = ("ingress", "egress")
B_TO_A = 1  # bit 8 of an entry's flags, which is in byte 23


def replaced_conntrack(node: Node) -> None:
    """As after a resize in which felix attaches to no interface anew."""
    (node.globals / "cali_v4_ct3").unlink()
    node.pin_map("cali_v4_ct3", *CT3)


def half_attached(node: Node) -> None:
    replaced_conntrack(node)
    node.workloads[0].unhook("ingress")
    node.attach(ONE, "ingress")


def state_not_pinned(node: Node) -> None:
    (node.globals / "cali_state4").unlink()


def pins_gone(node: Node) -> None:
    for name in MAPS:
        (node.globals / name).unlink()


def programs_gone(node: Node) -> None:
    for interface in node.workloads:
        for hook in HOOKS:
            interface.unhook(hook)


def program_as_map(node: Node) -> None:
    fd = program(rawbpf.SCHED_CLS, "calico_tc_main", [])
    rawbpf.pin(fd, str(node.globals / "cali_v4_routes"))
    os.close(fd)


def drift(node: Node) -> None:
    for interface in node.workloads:
        for hook in HOOKS:
            interface.unhook(hook)
            node.attach(interface.name, hook, 49151, 1)


def filter_of_others(node: Node) -> None:
    pinned = node.scratch / "others"
    fd = program(rawbpf.SCHED_CLS, "others", [])
    rawbpf.pin(fd, str(pinned))
    place = ["dev", ONE, "ingress", "pref", "10", "handle", "1"]
    command = ["tc", "filter", "add", *place, "bpf", "da", "object-pinned", str(pinned)]
    subprocess.run(command, check=True)
    pinned.unlink()
    os.close(fd)


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (replaced_conntrack, [("CT_SPLIT", "cali_v4_ct3")]),
        (half_attached, [("CT_SPLIT", "cali_v4_ct3")]),
        (state_not_pinned, [("MAP_UNPINNED", "")]),
        (pins_gone, [("PROGRAM_LEFTOVER", f"{ONE}, {TWO}")]),
        (programs_gone, [("PIN_LEFTOVER", "")]),
        (program_as_map, [("PIN_NO_MAP", "cali_v4_routes")]),
        (drift, [("TC_DRIFT", "node")]),
        (filter_of_others, [("CLSACT_FOREIGN", "node")]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_exactly_the_planted_defect(
    healthy: Node, plant: Callable[[Node], None], expected: list[tuple[str, str]]
) -> None:
    assert codes(healthy) == []
    plant(healthy)
    whole = [(code, name or str(healthy.globals)) for code, name in expected]
    assert codes(healthy) == whole


def test_a_split_tells_who_uses_which_map(healthy: Node) -> None:
    old = rawbpf.map_id(healthy.fds["cali_v4_ct3"])
    half_attached(healthy)
    new = rawbpf.map_id(healthy.fds["cali_v4_ct3"])
    (found,) = look(healthy).findings
    text = " ".join(found["evidence"])
    assert f"Map {new} is pinned" in text
    by_map = {map_id: text.split(f"Map {map_id}, a ")[1] for map_id in (old, new)}
    assert f"is used by {ONE} ingress." in by_map[new]
    assert f"is used by {ONE} egress, {TWO} ingress, {TWO} egress." in by_map[old]


def test_the_conntrack_map_of_the_main_programs_counts(healthy: Node) -> None:
    """From 3.27 on the entry programs call others, and these look connections up."""
    other = healthy.pin_map("cali_v4_ct3_mine", *CT3, called="cali_v4_ct3")
    main = program(rawbpf.SCHED_CLS, "calico_tc_main", [other])
    rawbpf.put(healthy.fds["cali_progs3"], struct.pack("<I", 3), struct.pack("<I", main))
    os.close(main)
    assert ("CT_SPLIT", "cali_v4_ct3") in codes(healthy)


def test_what_passes_between_two_looks_is_no_finding(
    healthy: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy.workloads[1].unhook("egress")
    assert codes(healthy) == [("TC_MISSING", TWO)]
    monkeypatch.setattr(twice.time, "sleep", lambda _: healthy.attach(TWO, "egress"))
    assert codes(healthy) == []


@pytest.fixture
def unmanaged(healthy: Node) -> Iterator[Interface]:
    """An interface with a Calico program and a name that is none of felix's."""
    made = Interface(f"bpfm{os.getpid()}", f"bpfn{os.getpid()}")
    made.clsact()
    healthy.attach(made.name, "ingress")
    yield made
    made.remove()


def test_an_interface_that_felix_does_not_manage(healthy: Node, unmanaged: Interface) -> None:
    state = healthy.fds["cali_iface4"]
    assert codes(healthy) == []  # felix has written nothing yet, so nothing is known
    for interface in healthy.workloads:
        rawbpf.put(state, struct.pack("<I", interface.ifindex), struct.pack("<I48x", 0x3))
    assert codes(healthy) == [("ATTACH_UNMATCHED", unmanaged.name)]
    rawbpf.put(state, struct.pack("<I", unmanaged.ifindex), struct.pack("<I48x", 0x8))
    assert codes(healthy) == []


def udp_entry(service: bytes, port: int, age: float, kind: int = 0) -> tuple[bytes, bytes]:
    """A flow from 10.65.0.9:40000, on the side that the programs' order of addresses gives it."""
    sides = [(b"\x0a\x41\x00\x09", 40000), (service, port)]
    low, high = sorted(sides, key=lambda side: int.from_bytes(side[0], "little"))
    key = struct.pack("<I4s4sHH", 17, low[0], high[0], low[1], high[1])
    value = bytearray(88)
    struct.pack_into("<QB", value, 8, time.monotonic_ns() - int(age * 1e9), kind)
    value[23] = B_TO_A if low[0] == service else 0
    return key, bytes(value)


def frontend(node: Node, service: bytes, port: int, backends: int, flags: int = 0) -> None:
    key = struct.pack("<I4sHB4sB", 56, service, port, 17, bytes(4), 0)
    rawbpf.put(node.fds["cali_v4_nat_fe3"], key, struct.pack("<5I", 1, backends, 0, 0, flags))


LOW, HIGH = bytes([10, 96, 0, 1]), bytes([10, 96, 0, 200])  # on either side of the client


@pytest.mark.parametrize("service", [LOW, HIGH])
def test_udp_flows_that_bypass_their_service(healthy: Node, service: bytes) -> None:
    name = ".".join(map(str, service))
    table = healthy.fds["cali_v4_ct3"]
    rawbpf.put(table, *udp_entry(service, 53, 1))
    assert codes(healthy) == []  # no such Service
    frontend(healthy, service, 54, 2)
    frontend(healthy, service, 53, 0)
    assert codes(healthy) == []  # another port, and one without backends
    frontend(healthy, service, 53, 2, flags=0x4)
    assert codes(healthy) == []  # not translated
    frontend(healthy, service, 53, 2)
    assert codes(healthy) == [("UDP_STALE", f"{name}:53")]
    assert codes(healthy, count_entries=False) == []
    assert codes(healthy, calico_version="3.28.5") == [("UDP_STALE", f"{name}:53")]
    (found,) = look(healthy).findings
    assert "1 live UDP flows" in found["evidence"][0]
    assert "from 10.65.0.9:40000" in found["evidence"][0]


def test_udp_flows_of_ipv6(healthy: Node) -> None:
    table = healthy.pin_map("cali_v6_ct3", 1, 40, 128, 512000, 1)
    frontends = healthy.pin_map("cali_v6_nat_fe3", LPM_TRIE, 40, 20, 65536, 1)
    low, high = bytes(15) + b"\x01", bytes([0xFD]) + bytes(14) + b"\x02"
    value = bytearray(128)
    struct.pack_into("<Q", value, 8, time.monotonic_ns())
    rawbpf.put(table, struct.pack("<I16s16sHH", 17, low, high, 40000, 53), bytes(value))
    key = struct.pack("<I16sHB16sB", 152, high, 54, 17, bytes(16), 0)
    rawbpf.put(frontends, key, struct.pack("<5I", 1, 2, 0, 0, 0))
    assert codes(healthy) == []  # another port
    key = struct.pack("<I16sHB16sB", 152, high, 53, 17, bytes(16), 0)
    rawbpf.put(frontends, key, struct.pack("<5I", 1, 2, 0, 0, 0))
    assert codes(healthy) == [("UDP_STALE", "[fd00::2]:53")]


@pytest.mark.parametrize(("age", "kind"), [(61, 0), (1, 1), (1, 2)])
def test_udp_entries_that_are_right_or_dead(healthy: Node, age: float, kind: int) -> None:
    frontend(healthy, LOW, 53, 2)
    rawbpf.put(healthy.fds["cali_v4_ct3"], *udp_entry(LOW, 53, age, kind))
    assert codes(healthy) == []


def test_a_flow_from_the_address_of_a_service_is_no_flow_to_it(healthy: Node) -> None:
    frontend(healthy, LOW, 53, 2)
    key, value = udp_entry(LOW, 53, 1)
    turned = bytearray(value)
    turned[23] ^= B_TO_A
    rawbpf.put(healthy.fds["cali_v4_ct3"], key, bytes(turned))
    assert codes(healthy) == []


def test_settings_of_a_mode_that_is_off(healthy: Node) -> None:
    place = Path("/proc/sys/net/ipv4/conf", ONE)
    (place / "accept_local").write_text("1", "ascii")
    (place / "rp_filter").write_text("2", "ascii")
    assert codes(healthy) == []
    programs_gone(healthy)
    pins_gone(healthy)
    assert codes(healthy) == [("SETTINGS_LEFTOVER", "node")]
    (place / "accept_local").write_text("0", "ascii")
    assert codes(healthy) == []


def test_an_entry_program_keeps_its_name(healthy: Node) -> None:
    """The planted filters are Calico's by all evidence, or nothing above proves a thing."""
    assert PREAMBLE == "cali_tc_preambl"
    (found,) = [one for one in look(healthy).facts["interfaces"] if one["name"] == ONE]
    assert [one["owner"] for one in found["programs"]] == ["calico", "calico"]

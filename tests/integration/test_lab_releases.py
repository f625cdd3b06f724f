# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in agent as calico-node of one release of each line: maps, programs, traffic."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest

from tests.integration import lab_release as seen
from tests.integration.lab_release_pins import expected
from tests.lab import pods
from tests.lab.harness import agent, call, filters, lab

pytestmark = pytest.mark.lab

NODES = {
    "3.26.4": "node1",
    "3.27.3": "node2",
    "3.28.5": "node3",
    "3.29.7": "node4",
    "3.30.7": "node5",
    "3.31.7": "node6",
    "3.32.1": "node7",
}
FILTERS = {"3.26.4", "3.27.3", "3.28.5", "3.29.7", "3.30.7"}
TCX = {"3.31.7", "3.32.1"}
NONE = 0xFFFFFFFF


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "7", "--pods", "2", "--release", ",".join(NODES))
    yield
    lab("down")


@pytest.fixture
def traffic() -> Iterator[None]:
    lab("traffic", "start", "--tcp", "28", "--udp", "14", "--interval", "0.02")
    yield
    lab("traffic", "stop")


def _entry_program(release: str, hook: str) -> int:
    node = NODES[release]
    name = pods.interface(int(node[4:]), 1)
    if release in TCX:
        pin = f"/sys/fs/bpf/tcx/{name}_{hook}"
        shown = seen.in_node(node, "bpftool", "-j", "link", "show", "pinned", pin)
        return int(json.loads(shown)["prog_id"])
    (only,) = filters(node)[name, hook]
    return only[2]


@pytest.mark.parametrize("release", NODES)
def test_pins_are_those_of_the_release(release: str) -> None:
    shown = seen.pins(NODES[release])
    found = {
        path[len(seen.GLOBALS) :]: seen.parameters(one)
        for path, one in shown.items()
        if path.startswith(seen.GLOBALS)
    }
    assert found == expected(release, "v4")
    for path, one in shown.items():
        assert one["name"] == path.rpartition("/")[2][:15]


@pytest.mark.parametrize(
    ("release", "families"),
    [("3.27.3", "v6"), ("3.30.7", "v4 v6"), ("3.32.1", "v4 v6")],
)
def test_ipv6_has_its_maps(release: str, families: str) -> None:
    node = "node1"
    seen.fresh(node, release, ipv6="yes")
    try:
        names = {path[len(seen.GLOBALS) :] for path in seen.pins(node) if seen.GLOBALS in path}
        assert names == set(expected(release, families))
        shown = seen.pins(node)
        for name, wanted in expected(release, families).items():
            assert seen.parameters(shown[seen.GLOBALS + name]) == wanted
    finally:
        seen.fresh(node, "3.26.4")


def test_pods_keep_their_connections_over_restarts(traffic: None) -> None:
    for node in NODES.values():
        before = agent(node)
        done = seen.restart(node)
        assert (done.returncode, done.stderr) == (0, "")
        state = agent(node)
        assert (state["conntrack_map_id"], state["dirty"]) == (before["conntrack_map_id"], [])
        assert state["dropped_no_entry"] == 0
    total = json.loads(lab("traffic", "status"))["total"]
    assert (total["tcp"]["alive"], total["tcp"]["died"]) == (28, 0)
    # On a machine with other work the odd datagram is lost; the streams go on.
    assert total["udp"]["talking"] == 14
    assert total["udp"]["lost"] <= total["udp"]["sent"] // 50


@pytest.mark.parametrize("release", sorted(FILTERS))
def test_filters_bear_calicos_names(release: str) -> None:
    names = ["cali_tc_preambl"] * 2
    if release == "3.26.4":
        names = ["calico_from_wor", "calico_to_workl"]
    for hook, name in zip(("ingress", "egress"), names, strict=True):
        interface = pods.interface(int(NODES[release][4:]), 2)
        shown = seen.in_node(NODES[release], "tc", "-j", "filter", "show", "dev", interface, hook)
        (found,) = [one for one in json.loads(shown) if "options" in one]
        options = found["options"]
        assert options["prog"]["name"] == name
        assert options["bpf_name"] == f"{name}:[{options['prog']['id']}]"
        assert (found["protocol"], options["direct-action"]) == ("all", True)


@pytest.mark.parametrize("release", sorted(TCX))
def test_tcx_links_are_pinned_and_no_clsact_is_left(release: str) -> None:
    node = NODES[release]
    assert "clsact" not in seen.in_node(node, "tc", "qdisc", "show")
    names = seen.in_node(node, "ls", "/sys/fs/bpf/tcx").split()
    wanted = [pods.interface(int(node[4:]), pod) for pod in (1, 2)]
    assert sorted(names) == sorted(f"{n}_{hook}" for n in wanted for hook in ("ingress", "egress"))
    link = ["bpftool", "-j", "link", "show", "pinned", f"/sys/fs/bpf/tcx/{names[0]}"]
    before = json.loads(seen.in_node(node, *link))
    assert seen.restart(node).returncode == 0
    after = json.loads(seen.in_node(node, *link))
    assert after["id"] == before["id"]
    assert after["prog_id"] != before["prog_id"]


@pytest.mark.parametrize(
    ("release", "name", "size", "iface", "log_filter", "jumps"),
    [
        ("3.27.3", "tc_pream.rodata", 220, [40], [56], [60]),
        ("3.28.5", "tc_pream.rodata", 512, [76, 332], [92, 348], [96, 352]),
        ("3.29.7", "tc_pream.rodata", 512, [76, 332], [92, 348], [96, 352]),
        ("3.30.7", "tc_pream.rodata", 512, [76, 332], [92, 348], [96, 352]),
        ("3.31.7", "tc_pream.rodata", 528, [80, 344], [96, 360], [100, 364]),
        ("3.32.1", "tc_pream.rodata", 536, [80, 348], [96, 364], [100, 368]),
        ("3.26.4", "from_wep.rodata", 56, [40], [], []),
    ],
)
def test_globals_have_the_layout_of_the_release(
    release: str, name: str, size: int, iface: list[int], log_filter: list[int], jumps: list[int]
) -> None:
    node = NODES[release]
    shown, data = seen.rodata(node, _entry_program(release, "ingress"))
    assert (shown["name"], shown["bytes_value"], shown["type"]) == (name, size, "array")
    assert (int(shown["flags"]), shown["frozen"], len(data)) == (0x480, 1, size)
    padded = pods.interface(int(node[4:]), 1).encode().ljust(15, b"-") + b"\0"
    for at in iface:
        assert data[at : at + 16] == padded
    for at in log_filter:
        assert struct.unpack_from("<I", data, at) == (NONE,)
    if jumps:
        main = struct.unpack_from("<40I", data, jumps[0])[0]
        progs = {"3.27.3": "cali_progs2", "3.31.7": "cali_progs_ing2", "3.32.1": "cali_progs_ing2"}
        pin = seen.GLOBALS + progs.get(release, "cali_progs3")
        looked = seen.in_node(node, "bpftool", "-j", "map", "lookup", "pinned", pin, *_key(main))
        assert json.loads(looked)["value"]


def _key(slot: int) -> list[str]:
    return ["key", *(str(byte) for byte in struct.pack("<I", slot))]


@pytest.mark.parametrize(
    ("release", "name", "size", "flags", "ingress", "egress", "filter_at"),
    [
        ("3.26.4", "cali_iface2", 20, 3, None, None, []),
        ("3.27.3", "cali_iface3", 40, 3, 24, 28, [32, 36]),
        ("3.29.7", "cali_iface4", 52, 3, 24, 28, [44, 48]),
        ("3.32.1", "cali_iface4", 52, 3, 24, 28, [44, 48]),
    ],
)
def test_ifstate_names_the_policies(
    release: str,
    name: str,
    size: int,
    flags: int,
    ingress: int | None,
    egress: int | None,
    filter_at: list[int],
) -> None:
    node = NODES[release]
    interface = pods.interface(int(node[4:]), 1)
    index = int(seen.in_node(node, "cat", f"/sys/class/net/{interface}/ifindex"))
    value = seen.dump(node, "pinned", seen.GLOBALS + name)[struct.pack("<I", index)]
    assert len(value) == size
    assert struct.unpack_from("<I16s", value) == (flags, interface.encode() + b"\0")
    assert all(value[at : at + 4] == b"\xff" * 4 for at in filter_at)
    if ingress is None or egress is None:
        return
    # From 3.31.3 on the field's direction is the tc hook, before it is the policy's.
    letters = "EI" if release == "3.32.1" else "IE"
    maps = {"3.27.3": ["cali_jump2"] * 2, "3.32.1": ["cali_jump_ing2", "cali_jump_egr2"]}
    for at, letter, pin in zip(
        (ingress, egress), letters, maps.get(release, ["cali_jump3"] * 2), strict=True
    ):
        (slot,) = struct.unpack_from("<i", value, at)
        place = ["pinned", seen.GLOBALS + pin, *_key(slot)]
        looked = json.loads(seen.in_node(node, "bpftool", "-j", "map", "lookup", *place))["value"]
        found = seen.program(node, "id", str(int.from_bytes(_raw(looked), "little")))
        assert found["name"] == f"p4{letter}_{interface}"[:15]


def _raw(value: list[str]) -> bytes:
    return bytes(int(byte, 16) for byte in value)


def test_unknown_release_is_refused() -> None:
    done = call("up", "--release", "3.25.0", environment={"BPFOPS_LAB_NAME": "relabno"})
    assert done.returncode == 1
    assert done.stderr.startswith("lab: --release is '3.25.0'; use some of 3.26.4, 3.27.3")
    seen.configure("node7", "3.33.0")
    try:
        done = seen.restart("node7")
    finally:
        seen.fresh("node7", "3.32.1")
    assert done.returncode == 1
    assert done.stderr.startswith("lab-agent: release in /etc/calico/lab-agent.cfg is '3.33.0';")

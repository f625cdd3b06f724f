# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own interfaces, to which felix attaches too."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest

from tests.integration import lab_release as seen
from tests.integration.lab_release import GLOBALS
from tests.lab.harness import agent, lab

pytestmark = pytest.mark.lab

NODE = "node1"
RELEASES = ["3.26.4", "3.27.3", "3.28.5", "3.29.7", "3.31.7", "3.32.1"]
TCX = {"3.31.7", "3.32.1"}
NAMES_26 = {"ingress": "calico_from_hos", "egress": "calico_to_host_"}


@pytest.fixture(scope="module", autouse=True)
def _lab() -> Iterator[None]:
    lab("up", "--nodes", "2", "--pods", "1", "--size", "9000", "--release", "3.29.7")
    yield
    lab("down")


def _programs(interface: str, hook: str, tcx: bool) -> list[tuple[int, str]]:
    """Id and name of what is attached."""
    if tcx:
        pin = f"/sys/fs/bpf/tcx/{interface.replace('.', '')}_{hook}"
        link = json.loads(seen.in_node(NODE, "bpftool", "-j", "link", "show", "pinned", pin))
        found = [link["prog_id"]]
    else:
        shown = seen.in_node(NODE, "tc", "-j", "filter", "show", "dev", interface, hook)
        options = [one["options"] for one in json.loads(shown) if "options" in one]
        found = [one["prog"]["id"] for one in options]
    return [(number, seen.program(NODE, "id", str(number))["name"][:15]) for number in found]


@pytest.mark.parametrize("release", RELEASES)
def test_programs_at_the_hosts_interfaces(release: str) -> None:
    seen.fresh(NODE, release, host="yes")
    wanted = ["eth0"] if release == "3.26.4" else ["bpfout.cali", "eth0", "lo"]
    state = agent(NODE)
    assert (state["host_interfaces"], state["dirty"]) == (wanted, [])
    for interface in wanted:
        for hook in ("ingress", "egress"):
            ((number, name),) = _programs(interface, hook, release in TCX)
            assert name == (NAMES_26[hook] if release == "3.26.4" else "cali_tc_preambl")
            _, data = seen.rodata(NODE, number)
            assert interface.encode().ljust(15, b"-") in data
    clsact = seen.in_node(NODE, "tc", "qdisc", "show")
    assert ("dev bpfin.cali" in clsact) is (release != "3.26.4")
    assert ("clsact ffff: dev eth0" in clsact) is (release not in TCX)
    # Packets through them, and a second start that leaves one program at each hook.
    assert seen.restart(NODE).returncode == 0
    assert all(len(_programs(one, "ingress", release in TCX)) == 1 for one in wanted)
    for target in ("127.0.0.1", "10.65.2.2"):
        seen.in_node(NODE, "ping", "-c1", "-W2", target)


@pytest.mark.parametrize(("release", "jump", "flags"), [("3.28.5", "cali_jump3", 0xA)])
def test_hosts_policies_have_the_direction_of_their_hook(
    release: str, jump: str, flags: int
) -> None:
    seen.fresh(NODE, release, host="yes")
    index = int(seen.in_node(NODE, "cat", "/sys/class/net/eth0/ifindex"))
    value = seen.dump(NODE, "pinned", GLOBALS + "cali_iface4")[struct.pack("<I", index)]
    assert struct.unpack_from("<I16s", value) == (flags, b"eth0".ljust(16, b"\0"))
    for at, letter in ((24, "I"), (28, "E")):
        (slot,) = struct.unpack_from("<I", value, at)
        programs = seen.dump(NODE, "pinned", GLOBALS + jump)
        number = int.from_bytes(programs[struct.pack("<I", slot)], "little")
        assert seen.program(NODE, "id", str(number))["name"] == f"p4{letter}_eth0"


@pytest.mark.parametrize(("release", "stays"), [("3.27.3", True), ("3.27.5", False)])
def test_switched_off_the_pair_stays_in_some_releases(release: str, stays: bool) -> None:
    seen.fresh(NODE, release, host="yes")
    seen.configure(NODE, release, "BPFEnabled = false", host="yes")
    assert seen.restart(NODE).returncode == 0
    links = [one["ifname"] for one in json.loads(seen.in_node(NODE, "ip", "-j", "link"))]
    assert ("bpfin.cali" in links, "bpfout.cali" in links) == (stays, stays)
    # The one without a filter of Calico's keeps its clsact.
    assert ("clsact" in seen.in_node(NODE, "tc", "qdisc", "show")) is stays
    seen.in_node(NODE, "ping", "-c1", "-W2", "10.65.2.2")


def test_without_being_told_the_host_is_left_alone() -> None:
    seen.fresh(NODE, "3.29.7")
    assert agent(NODE)["host_interfaces"] == []
    assert not _programs("eth0", "ingress", tcx=False)

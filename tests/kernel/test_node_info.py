# SPDX-License-Identifier: GPL-3.0-or-later
"""node_info against a node made by raw bpf(2), ip and tc."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._observe.node import report as walk
from tests.kernel.node_state import (
    FILTER_SLOT,
    MAPS,
    PERCPU_HASH,
    PREAMBLE,
    WORKLOADS,
    Node,
    look,
    of,
    pin_of,
)
from tests.kernel.support import bpftool
from tests.observe import rawbpf

ONE, TWO = WORKLOADS


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of our own, taken for the root."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    if not roots:
        pytest.skip("no cgroup2 is mounted")
    place = Path(roots[0], f"bpfops-node-info-{os.getpid()}")
    place.mkdir()
    yield place
    place.rmdir()


def test_maps_and_release(node: Node) -> None:
    node.attach_all()
    rawbpf.put(node.fds["cali_v4_ct3"], bytes(16), bytes(88))
    found = look(node)
    assert [one["path"] for one in found.facts["maps"]] == [
        str(node.globals / name) for name in sorted(MAPS)
    ]
    for name, (_kind, key, value, entries, _flags) in MAPS.items():
        one, shown = pin_of(found, name), bpftool("map", "show", "pinned", str(node.globals / name))
        assert (one["id"], one["type"], one["memory_bytes"]) == (
            shown["id"],
            shown["type"],
            int(shown["bytes_memlock"]),
        )
        assert (one["key_size"], one["value_size"], one["max_entries"]) == (key, value, entries)
        assert one["owner"] == "calico", one["owner_reasons"]
        assert not one["superseded"]
    table = pin_of(found, "cali_v4_ct3")
    assert (table["entries"], table["fill"]) == (1, 0.0)
    assert pin_of(found, "cali_jump3")["entries"] is None
    assert pin_of(look(node, count_entries=False), "cali_v4_ct3")["entries"] is None
    assert found.facts["release"] == "3.28 to 3.29"
    assert any("constants of 512 B" in one for one in found.facts["release_evidence"])
    assert found.facts["kernel"]["release"] == os.uname().release
    assert found.facts["kernel"]["possible_cpus"] > 0
    assert (found.facts["release_range"], found.facts["release_exact"]) == (
        ">=3.28.0,<3.30.0",
        False,
    )
    assert look(node, calico_version="3.29.7").facts["release_exact"]


def test_the_machine(node: Node) -> None:
    facts = look(node).facts
    one, path = facts["distribution"], Path("/etc/os-release")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    told = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    assert (one["id"], one["version_id"]) == (told.get("ID"), told.get("VERSION_ID"))
    (line,) = re.findall(r"MemAvailable: *([0-9]+)", Path("/proc/meminfo").read_text("ascii"))
    assert facts["memory_available_bytes"] == pytest.approx(1024 * int(line), rel=0.1)


def test_filters_of_the_interfaces(node: Node) -> None:
    node.attach_all()
    node.attach_foreign(ONE, "ingress", pref=10)
    found = look(node)
    one, two = of(found, ONE), of(found, TWO)
    assert (one["kind"], one["running"], one["clsact"], one["workload"]) == (
        "veth",
        True,
        True,
        True,
    )
    shown = json.loads(
        subprocess.run(
            ["tc", "-j", "filter", "show", "dev", ONE, "ingress"],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    )
    ids = [entry["options"]["prog"]["id"] for entry in shown if "options" in entry]
    mine = [program for program in one["programs"] if program["hook"] == "ingress"]
    assert [program["program_id"] for program in mine] == ids
    assert [program["owner"] for program in mine] == ["unproven", "calico"]
    for program in two["programs"]:
        assert (program["kind"], program["preference"], program["handle"]) == ("tc", 49152, 1)
        assert program["name"].startswith(f"{PREAMBLE}:[")
        assert (program["owner"], program["constants_bytes"]) == ("calico", 512)
        assert program["log_filters"] == []
    assert {program["hook"] for program in two["programs"]} == {"ingress", "egress"}


def test_a_program_of_another_interface_is_unproven(node: Node) -> None:
    node.workloads[0].clsact()
    fd = node.preamble(TWO)
    pinned = node.scratch / PREAMBLE
    rawbpf.pin(fd, str(pinned))
    command = ["tc", "filter", "add", "dev", ONE, "ingress", "bpf", "da", "object-pinned"]
    subprocess.run([*command, str(pinned)], check=True)
    pinned.unlink()
    os.close(fd)
    found = look(node)
    (program,) = of(found, ONE)["programs"]
    assert program["owner"] == "unproven"
    assert not any("constants" in one for one in found.facts["release_evidence"])
    assert any(TWO in reason for reason in program["owner_reasons"])


def test_log_filters_and_their_slots(node: Node) -> None:
    for interface in node.workloads:
        interface.clsact()
        node.attach(interface.name, "ingress", log_filter=FILTER_SLOT)
    slot = {"map": "cali_jump3", "slot": FILTER_SLOT, "filled": False}
    (program,) = of(look(node), ONE)["programs"]
    assert program["log_filters"] == [slot]
    packed = struct.pack("<I", node.static)
    rawbpf.put(node.fds["cali_jump3"], struct.pack("<I", FILTER_SLOT), packed)
    (program,) = of(look(node), TWO)["programs"]
    assert program["log_filters"] == [{**slot, "filled": True}]


def test_tcx_links(node: Node) -> None:
    try:
        node.attach_tcx(node.workloads[0], "ingress")
    except OSError as error:
        pytest.skip(f"no TCX here: {error}")
    found = look(node)
    (program,) = of(found, ONE)["programs"]
    assert (program["kind"], program["hook"], program["owner"]) == ("tcx", "ingress", "calico")
    (link,) = [one for one in found.facts["pins"] if one["kind"] == "link"]
    assert (link["object_id"], link["severed"]) == (program["link_id"], False)
    node.workloads[0].remove()
    (link,) = [one for one in look(node).facts["pins"] if one["kind"] == "link"]
    assert link["severed"]


def test_the_name_of_the_pin_counts(node: Node) -> None:
    node.pin_map("cali_counters3", PERCPU_HASH, 8, 136, 20000, called="renamed")
    found = look(node)
    assert found.facts["release"] == "3.30"
    assert pin_of(found, "cali_counters3")["name"] == "renamed"
    assert found.facts["superseded_maps"] == [str(node.globals / "cali_counters2")]


def test_a_link_that_is_not_pinned_is_unproven(node: Node, cgroup: Path) -> None:
    fd, directory = node.connect_program(), os.open(cgroup, os.O_RDONLY)
    link = rawbpf.create_link(fd, directory, rawbpf.CONNECT4)
    (program,) = look(node, cgroup_root=str(cgroup)).facts["connect_time"]
    assert (program["legacy"], program["owner"]) == (False, "unproven")
    for opened in (link, directory, fd):
        os.close(opened)


@pytest.mark.parametrize("legacy", [True, False])
def test_connect_time_programs(node: Node, cgroup: Path, legacy: bool) -> None:
    node.attach_all()
    fd, directory = node.connect_program(), os.open(cgroup, os.O_RDONLY)
    pin = node.root / "ctlb" / "calico_connect_v4"
    link = -1
    if legacy:
        rawbpf.attach_cgroup(directory, fd, rawbpf.CONNECT4, 0)
    else:
        link = rawbpf.create_link(fd, directory, rawbpf.CONNECT4)
        pin.parent.mkdir()
        rawbpf.pin(link, str(pin))
    found = look(node, cgroup_root=str(cgroup))
    (program,) = found.facts["connect_time"]
    assert (program["cgroup"], program["hook"]) == (str(cgroup), "connect4")
    assert (program["legacy"], program["owner"]) == (legacy, "calico"), program["owner_reasons"]
    if legacy:
        rawbpf.detach_cgroup(directory, fd, rawbpf.CONNECT4)
    else:
        # At once, while a link whose pin goes stays until the kernel has time for it.
        rawbpf.call(34, struct.pack("<I", link))  # BPF_LINK_DETACH
        os.close(link)
    after = look(node, cgroup_root=str(cgroup))
    assert after.facts["connect_time"] == []
    severed = [one["path"] for one in after.facts["pins"] if one["severed"]]
    assert severed == ([] if legacy else [str(pin)])
    assert [one["code"] for one in after.findings] == ([] if legacy else ["CTLB_SEVERED"])
    os.close(directory)
    os.close(fd)


def test_leftovers_are_named(node: Node) -> None:
    node.attach_all()
    node.pin_map("cali_v4_ct3_old", *MAPS["cali_v4_ct3"])
    node.pin_map("cali_jump2", 3, 4, 4, 10000)
    place = node.globals / "old_jumps" / "123"
    place.mkdir(parents=True)
    rawbpf.pin(node.fds["cali_jump3"], str(place / "cali_jump3"))
    facts = look(node).facts
    assert facts["old_pins"] == [str(node.globals / "cali_v4_ct3_old")]
    assert facts["superseded_maps"] == [str(node.globals / "cali_jump2")]
    assert facts["old_jumps"] == [str(place / "cali_jump3")]
    assert facts["release"] == "3.28 to 3.29"


def test_the_auto_scale_file(node: Node) -> None:
    path = Path(walk.AUTO_SIZE)
    assert look(node).facts["conntrack_size_file"] is None
    path.write_text("1024000\n", "ascii")
    assert look(node).facts["conntrack_size_file"] == 1024000
    path.write_text("many", "ascii")
    found = look(node)
    assert found.facts["conntrack_size_file"] is None
    assert any("'many' is no number of entries" in one for one in found.warnings)


def test_looking_changes_nothing(node: Node) -> None:
    node.attach_all()

    def state() -> list[Any]:
        filters = [
            subprocess.run(
                ["tc", "filter", "show", "dev", name, hook], check=True, stdout=subprocess.PIPE
            ).stdout
            for name in (ONE, TWO)
            for hook in ("ingress", "egress")
        ]
        places = sorted(node.root.rglob("*"))
        pinned = [(str(one), one.stat().st_mtime_ns, one.stat().st_ino) for one in places]
        return [
            filters,
            pinned,
            [bpftool("map", "show", "pinned", str(node.globals / "cali_v4_ct3"))],
        ]

    before = state()
    look(node)
    assert state() == before

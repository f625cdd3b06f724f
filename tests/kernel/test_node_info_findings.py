# SPDX-License-Identifier: GPL-3.0-or-later
"""Each defect planted alone on a healthy node: exactly that finding, and none before."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._observe.node import report as walk
from tests.kernel.node_state import (
    FILTER_SLOT,
    LRU_HASH,
    MAIN_SLOT,
    MAPS,
    PROG_ARRAY,
    WORKLOADS,
    Node,
    codes,
    look,
)
from tests.observe import rawbpf

ONE, TWO = WORKLOADS
CT3 = MAPS["cali_v4_ct3"]


def old_pin(node: Node) -> None:
    node.pin_map("cali_v4_ct3_old", *CT3, called="cali_v4_ct3")


def newer_conntrack(node: Node) -> None:
    node.pin_map("cali_v4_ct4", LRU_HASH, 16, 88, 1000)


def older_conntrack(node: Node) -> None:
    node.pin_map("cali_v4_ct2", 1, 16, 64, 512000, 1)


def older_map(node: Node) -> None:
    node.pin_map("cali_jump2", PROG_ARRAY, 4, 4, 10000)


def wrong_layout(node: Node) -> None:
    node.pin_map("cali_v6_ct3", 1, 40, 96, 10)


def unknown_map(node: Node) -> None:
    node.pin_map("cali_v9_thing", 1, 4, 4, 10)


def other_handle(node: Node) -> None:
    node.workloads[0].unhook("egress")
    node.attach(ONE, "egress", 49152, 2)


def other_preference(node: Node) -> None:
    node.workloads[0].unhook("ingress")
    node.attach(ONE, "ingress", 49151, 1)


def second_filter(node: Node) -> None:
    node.attach(TWO, "egress", 49151, 1)


def no_egress(node: Node) -> None:
    node.workloads[1].unhook("egress")


def nothing_attached(node: Node) -> None:
    for hook in ("ingress", "egress"):
        node.workloads[1].unhook(hook)


def last_preference(node: Node) -> None:
    for hook in ("ingress", "egress"):
        node.workloads[0].unhook(hook)
        node.attach(ONE, hook, 32768, 1)


def stale_log_filter(node: Node) -> None:
    for hook in ("ingress", "egress"):
        node.workloads[0].unhook(hook)
        node.attach(ONE, hook, log_filter=FILTER_SLOT)


def empty_programs(node: Node) -> None:
    node.workloads[0].unhook("ingress")
    node.attach(ONE, "ingress", main=MAIN_SLOT + 1)


def old_jumps(node: Node) -> None:
    place = node.globals / "old_jumps" / "123"
    place.mkdir(parents=True)
    rawbpf.pin(node.fds["cali_jump3"], str(place / "cali_jump3"))


def full_table(node: Node) -> None:
    (node.globals / "cali_iface4").unlink()
    fd = node.pin_map("cali_iface4", 1, 4, 52, 10, 1)
    for number in range(9):
        rawbpf.put(fd, struct.pack("<I", number), bytes(52))


@pytest.mark.parametrize(
    ("plant", "expected"),
    [
        (old_pin, [("CT_OLD_PIN", "cali_v4_ct3_old")]),
        (newer_conntrack, [("CT_NEWER", "cali_v4_ct4")]),
        (older_conntrack, [("CT_SUPERSEDED", "cali_v4_ct2")]),
        (older_map, [("MAP_SUPERSEDED", "cali_jump2")]),
        (wrong_layout, [("CT_LAYOUT", "cali_v6_ct3")]),
        (unknown_map, [("MAP_UNKNOWN", "cali_v9_thing")]),
        (other_handle, [("TC_MISMATCH", ONE)]),
        (other_preference, [("TC_MISMATCH", ONE)]),
        (second_filter, [("TC_DUPLICATE", f"{TWO} egress")]),
        (no_egress, [("TC_MISSING", TWO)]),
        (nothing_attached, [("TC_MISSING", TWO)]),
        (
            last_preference,
            [("TC_PREF_EXHAUSTED", f"{ONE} ingress"), ("TC_PREF_EXHAUSTED", f"{ONE} egress")],
        ),
        (stale_log_filter, [("LOG_FILTER_STALE", ONE)]),
        (empty_programs, [("JUMPS_EMPTY", ONE)]),
        (old_jumps, [("JUMPS_LINGERING", "old_jumps/123")]),
        (full_table, [("IFSTATE_FULL", "cali_iface4")]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_exactly_the_planted_defect(
    healthy: Node, plant: Callable[[Node], None], expected: list[tuple[str, str]]
) -> None:
    assert codes(healthy) == []
    plant(healthy)
    assert codes(healthy) == expected


def test_a_finding_is_complete(healthy: Node) -> None:
    stale_log_filter(healthy)
    (one,) = look(healthy).findings
    assert one["severity"] == "warning"
    assert one["upstream"] == ["#9760", "#9137", "#9148"]
    assert one["affected"] == "3.27 to 3.28.2"
    assert "log_filter" in one["remedy"]
    assert one["evidence"] == [
        f"ingress calls slot {FILTER_SLOT} of cali_jump3, which is empty.",
        f"egress calls slot {FILTER_SLOT} of cali_jump3, which is empty.",
    ]
    assert all(one[field] for field in ("title", "harm", "advice"))


def test_a_foreign_filter_is_no_duplicate(healthy: Node) -> None:
    healthy.attach_foreign(ONE, "ingress", pref=10)
    assert codes(healthy) == []


def test_an_interface_that_is_down_needs_no_program(healthy: Node) -> None:
    nothing_attached(healthy)
    healthy.workloads[1].down()
    assert codes(healthy) == []


def test_the_stated_release_is_contradicted(healthy: Node) -> None:
    assert codes(healthy, calico_version="3.29.7") == []
    assert codes(healthy, calico_version="3.31.7") == [("RELEASE_CONTRADICTION", "node")]


def test_pins_that_the_host_cannot_see(healthy: Node, tmp_path: Path) -> None:
    expected = [("BPFFS_MISSING", str(tmp_path / "tc" / "globals"))]
    assert codes(healthy, bpffs=str(tmp_path)) == expected


def test_a_size_that_the_release_cannot_load(healthy: Node) -> None:
    (healthy.globals / "cali_v4_ct3").unlink()
    healthy.pin_map("cali_v4_ct3", *CT3[:3], 600000, CT3[4])
    for interface in healthy.workloads:
        for hook in ("ingress", "egress"):
            interface.unhook(hook)
            healthy.attach(interface.name, hook)
    assert codes(healthy) == []  # most of 3.28 to 3.29 can
    assert codes(healthy, calico_version="3.28.1") == [("CT_SIZE", "cali_v4_ct3")]
    assert codes(healthy, calico_version="3.28.2") == []


def test_the_configured_size(healthy: Node) -> None:
    (message,) = look(healthy, conntrack_max_entries=600000).warnings[-1:]
    assert "has 512000 entries and felix asks for 600000" in message
    found = look(healthy, conntrack_max_entries=512000)
    assert not any("felix asks" in one for one in found.warnings)


def test_the_auto_scale_file_outweighs_the_configuration(healthy: Node) -> None:
    path = Path(walk.AUTO_SIZE)
    path.write_text("1024000", "ascii")
    assert codes(healthy) == []  # nothing reads it before 3.30
    for interface in healthy.workloads:
        for hook in ("ingress", "egress"):
            interface.unhook(hook)
        interface.down()  # so that none needs a program
    for name in ("cali_counters2", "cali_state4"):
        (healthy.globals / name).unlink()
    healthy.pin_map("cali_counters3", 5, 8, 136, 20000)
    healthy.pin_map("cali_state4", 6, 4, 488, 2)
    expected = [("CT_AUTOSCALE_FILE", str(path))]
    assert codes(healthy) == expected
    assert codes(healthy, conntrack_max_entries=512000) == expected
    assert codes(healthy, conntrack_max_entries=1024000) == []
    path.write_text("512000", "ascii")
    assert codes(healthy) == []


def test_severed_tcx_link(healthy: Node) -> None:
    try:
        healthy.attach_tcx(healthy.workloads[0], "ingress")
    except OSError as error:
        pytest.skip(f"no TCX here: {error}")
    healthy.workloads[0].remove()
    assert ("TCX_SEVERED", f"{healthy.root}/tcx/{ONE}_ingress") in codes(healthy)


def test_connect_time_programs_left_behind(healthy: Node) -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    if not roots:
        pytest.skip("no cgroup2 is mounted")
    root = Path(roots[0], f"bpfops-node-find-{os.getpid()}")
    root.mkdir()
    fd, directory = healthy.connect_program(), os.open(root, os.O_RDONLY)
    try:
        rawbpf.attach_cgroup(directory, fd, rawbpf.CONNECT4, 0)
        # No setting attaches to one hook alone.
        assert codes(healthy, cgroup_root=str(root)) == [("CTLB_UNEXPECTED", str(root))]
        for interface in healthy.workloads:
            interface.remove()
        assert codes(healthy, cgroup_root=str(root)) == []  # the maps are still pinned
        for name in MAPS:
            (healthy.globals / name).unlink()
        assert codes(healthy, cgroup_root=str(root)) == [("CTLB_LEFTOVER", str(root))]
        rawbpf.detach_cgroup(directory, fd, rawbpf.CONNECT4)
        assert codes(healthy, cgroup_root=str(root)) == []
    finally:
        os.close(directory)
        os.close(fd)
        root.rmdir()

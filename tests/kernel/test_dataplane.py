# SPDX-License-Identifier: GPL-3.0-or-later
"""dataplane on a node full of leftovers and of foreign neighbours: only the leftovers go."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.connect_state import calico_program
from tests.kernel.leftover_state import (
    ONE,
    TWO,
    UPLINK,
    Neighbours,
    Scene,
    command,
    tcx_programs,
    veth,
)
from tests.kernel.node_state import MAPS, PROG_ARRAY
from tests.observe import rawbpf


def test_everything_of_calico_goes_and_nothing_else(scene: Scene) -> None:
    scene.clsact()
    first = scene.inventory()["pins"]
    Neighbours(scene.node, scene.cgroup)
    foreign = scene.inventory()
    for path in first:
        if path.startswith("tc/globals/"):
            del foreign["pins"][path]
    scene.fill()
    filled = scene.inventory()
    planned = scene.run(check=True)
    assert scene.inventory() == filled
    done = scene.run()
    assert done.actions == planned.actions
    assert (done.before, done.after) == (planned.before, planned.after)
    # A qdisc goes with the last filter that is Calico's alone: none here, for each has others'.
    assert scene.inventory() == foreign
    assert not scene.records.exists()
    assert done.facts["residue_after"] == {}
    again = scene.run()
    assert (again.actions, again.facts["residue_before"]) == ((), {})
    assert again.facts["left_alone"] == done.facts["left_alone"]


def test_what_may_be_calicos_is_named_and_stays(scene: Scene) -> None:
    scene.clsact()
    Neighbours(scene.node, scene.cgroup)
    left = {Path(one["object"]).name for one in scene.run().facts["left_alone"]}
    assert {"cali_mine", "cali_v6_ct3", "cali_v4_ct3"} <= left
    assert any(re.fullmatch(rf"{TWO} egress program \d+", one) for one in left)
    assert any(re.fullmatch(r"bpfops-leave-\d+ program \d+", one) for one in left)
    assert not left & {"cilium_calls", "calibration", "foreign", "calico_sock_map_v1"}


def test_a_qdisc_goes_when_it_held_calicos_filters_alone(scene: Scene) -> None:
    scene.clsact()
    for hook in ("ingress", "egress"):
        scene.node.attach(ONE, hook)
    scene.node.attach(TWO, "egress")
    scene.node.foreign_filter(TWO, "ingress", 9)
    actions = scene.run(exclude=["pin"]).actions
    assert actions[0].startswith(f"Delete the clsact qdisc of {ONE} with Calico's filters")
    left = scene.inventory()
    assert left["clsact"] == [TWO, UPLINK]
    assert list(left["filters"]) == [f"{TWO} ingress"]


def test_tcx_links_between_foreign_ones(scene: Scene) -> None:
    scene.clsact()
    try:
        first = scene.node.foreign_tcx(ONE, "ingress")
    except OSError as error:
        pytest.skip(f"no TCX here: {error}")
    mine = scene.node.tcx(ONE, "ingress")
    last = scene.node.foreign_tcx(ONE, "ingress", scene.node.root / "tcx" / "theirs_ingress")
    scene.node.tcx(TWO, "egress")
    assert tcx_programs(ONE, 46) == [first, mine, last]
    actions = scene.run().actions
    assert f"program {mine}, from {ONE} ingress" in actions[0]
    left = scene.inventory()
    assert left["tcx"] == {f"{ONE} ingress": [first, last]}
    assert [one for one in left["pins"] if one.startswith("tcx/")] == ["tcx/theirs_ingress"]
    assert left["clsact"] == [ONE, TWO, UPLINK]  # made by nobody who could be told
    assert scene.run().actions == ()


def test_a_severed_tcx_link(scene: Scene) -> None:
    try:
        scene.node.tcx(TWO, "ingress")
    except OSError as error:
        pytest.skip(f"no TCX here: {error}")
    command("ip", "link", "del", TWO)
    pin = scene.node.root / "tcx" / f"{TWO}_ingress"
    assert any(action.startswith(f"Unpin {pin}, link ") for action in scene.run().actions)
    assert not pin.parent.exists()


def test_a_device_that_is_no_pair_stays(scene: Scene) -> None:
    veth("bpfin.cali", "another")
    found = scene.run()
    assert not any("bpfin.cali" in action for action in found.actions)
    assert "bpfin.cali" in scene.inventory()["devices"]
    assert [one["object"] for one in found.facts["left_alone"]] == ["bpfin.cali"]


def test_what_others_attached_to_a_device_is_told(scene: Scene) -> None:
    veth("bpfin.cali", "bpfout.cali")
    scene.node.clsact("bpfout.cali")
    number = scene.node.foreign_filter("bpfout.cali", "ingress", 9)
    (action,) = scene.run(include=["device"]).actions
    assert action.endswith(f"not Calico's on them: program {number} at bpfout.cali ingress")


def test_files_beside_the_records_stay(scene: Scene) -> None:
    prog, policy = scene.records / "prog", scene.records / "policy"
    for place in (prog, policy):
        place.mkdir(parents=True)
        (place / "eth0.json").write_text("{}", "ascii")
    (prog / "notes").write_text("mine", "ascii")
    (prog / "link.json").symlink_to(prog / "notes")
    scene.run()
    assert not policy.exists()
    assert sorted(one.name for one in prog.iterdir()) == ["link.json", "notes"]


def test_chosen_kinds(scene: Scene) -> None:
    scene.clsact()
    scene.fill()
    whole = scene.run(check=True)
    kinds = set(whole.facts["residue_before"])
    assert kinds == {"tc", "xdp", "cgroup", "pin", "device", "record"}
    some = scene.run(include=["xdp", "cgroup", "record"], exclude=["record"])
    assert set(some.facts["residue_after"]) == kinds - {"xdp", "cgroup"}
    assert scene.records.exists()
    found = scene.inventory()
    assert (found["xdp"], found["cgroup"]) == ({}, {})
    assert list(scene.run().facts["residue_before"]) == ["tc", "pin", "device", "record"]
    assert not scene.records.exists()


def test_no_array_goes_under_a_program_that_stays(scene: Scene) -> None:
    scene.clsact()
    scene.node.attach(ONE, "ingress")
    before = scene.inventory()
    expected = f"on {ONE} ingress stays, and calls into .*cali_jump3, .*cali_progs3"
    for check in (True, False):
        with pytest.raises(errors.RefusedError, match=expected):
            scene.run(check=check, exclude=["tc"])
    unproven = scene.node.preamble(TWO)  # another interface in its constants
    pinned = scene.node.scratch / "cali_tc_preambl"
    rawbpf.pin(unproven, str(pinned))
    place = ("dev", ONE, "egress", "bpf", "da", "object-pinned", str(pinned))
    command("tc", "filter", "add", *place)
    pinned.unlink()
    with pytest.raises(errors.RefusedError, match=f"on {ONE} egress stays"):
        scene.run()
    command("tc", "filter", "del", "dev", ONE, "egress")
    assert scene.inventory() == before
    scene.run()
    assert not (scene.node.globals / "cali_jump3").exists()


def test_settings_are_reported_and_restored(scene: Scene) -> None:
    accept, filtering = f"net.ipv4.conf.{ONE}.accept_local", f"net.ipv4.conf.{ONE}.rp_filter"
    for name, value in ((accept, "1"), (filtering, "2")):
        Path("/proc/sys", name.replace(".", "/")).write_text(value, "ascii")
    told = {one["name"]: one for one in scene.run(include=["xdp"]).facts["settings"]}
    assert (told[accept]["value"], told[filtering]["value"]) == ("1", "2")
    assert told[accept]["restorable"]
    wanted = {accept: "0", f"net.ipv4.conf.{TWO}.rp_filter": "1", "net.ipv4.conf.gone.rp_filter": 1}
    for check in (True, False):
        found = scene.run(check=check, include=["xdp"], sysctls=wanted)
        assert found.actions[0] == f"Set {accept} from 1 to 0"
        assert len(found.actions) == 2
        assert found.after["sysctls"][accept] == "0"
    assert Path("/proc/sys", accept.replace(".", "/")).read_text("ascii") == "0\n"
    assert found.warnings[-1] == "sysctls: there is no net.ipv4.conf.gone.rp_filter on this node."
    assert scene.run(include=["xdp"], sysctls=wanted).actions == ()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"sysctls": {"vm.swappiness": "1"}}, "sysctls: 'vm.swappiness' is none of the settings"),
        (
            {"sysctls": {"net.ipv4.conf.all.rp_filter": "-1"}},
            "sysctls: 'net.ipv4.conf.all.rp_filter=-1' is not a whole number",
        ),
        ({"cgroup_root": "/proc"}, "cgroup_root: '/proc' is not on a cgroup2 file system"),
        ({"cgroup_subpath": "../x"}, "cgroup_subpath: '../x' is not a path below"),
        ({"bpffs": "/proc"}, "bpffs: no bpffs is mounted there"),
        ({"pin_dir": "here"}, "pin_dir: 'here' is relative"),
        ({"calico_version": "0"}, "calico_version: '0' is not a Calico version"),
    ],
)
def test_bad_input(scene: Scene, params: dict[str, Any], expected: str) -> None:
    before = scene.inventory()
    with pytest.raises(errors.BpfopsError) as caught:
        scene.run(**params)
    assert expected in str(caught.value)
    assert scene.inventory() == before


def test_without_pyroute2_nothing_is_done(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scene.inventory()
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(errors.MissingLibraryError, match="pyroute2"):
        scene.run()
    monkeypatch.undo()
    assert scene.inventory() == before


def test_a_bpffs_mounted_elsewhere_and_twice(scene: Scene, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", other], check=True)
    try:
        scene.cgroup.link(
            "connect4", calico_program(scene.node, "connect4"), other / "ctlb" / "calico_connect_v4"
        )
        place = other / "tc" / "globals"
        place.mkdir(parents=True)
        rawbpf.pin(scene.node.fds["cali_v4_ct3"], str(place / "cali_v4_ct3"))
        scene.run()
        assert list(scene.node.globals.iterdir()) == []
        assert (place / "cali_v4_ct3").exists()
        assert len(scene.cgroup.programs("connect4")) == 1
        scene.run(bpffs=str(other))
        assert scene.cgroup.programs("connect4") == []
        left = [str(one.relative_to(other)) for one in sorted(other.rglob("*"))]
        # The names with dots are the kernel's own.
        assert [one for one in left if "." not in one] == ["tc", "tc/globals"]
    finally:
        subprocess.run(["umount", other], check=True)


def test_another_pin_directory(scene: Scene) -> None:
    place = scene.node.root / "mine"
    place.mkdir()
    fd = scene.node.fds["cali_v4_ct3"]
    rawbpf.pin(fd, str(place / "cali_v4_ct3"))
    found = scene.run(pin_dir=str(place), include=["pin"], check=True)
    assert any(action.startswith(f"Unpin {place}/cali_v4_ct3,") for action in found.actions)


def test_an_array_is_unpinned_before_other_maps(scene: Scene) -> None:
    paths = [action.split()[1].rstrip(",") for action in scene.run(check=True).actions]
    arrays = [Path(one).name for one in paths[:2]]
    assert sorted(arrays) == [name for name, shape in MAPS.items() if shape[0] == PROG_ARRAY]


def test_the_programs_of_others_still_run(scene: Scene) -> None:
    """A foreign filter counts packets before and after."""
    scene.clsact()
    counter = rawbpf.create_map(2, 4, 8, 1)
    # r0 = &counter[0]; *r0 += 1; return TC_ACT_UNSPEC
    code = (
        rawbpf.insn(0x62, 10, 0, -4, 0)
        + rawbpf.insn(0xBF, 2, 10)
        + rawbpf.insn(0x07, 2, 0, 0, -4)
        + rawbpf.insn(0x18, 1, 1, 0, counter)
        + rawbpf.insn(0)
        + rawbpf.insn(0x85, 0, 0, 0, 1)
        + rawbpf.insn(0x15, 0, 0, 2, 0)
        + rawbpf.insn(0xB7, 1, 0, 0, 1)
        + rawbpf.insn(0xDB, 0, 1, 0, 0)
        + rawbpf.returning(-1)
    )
    fd = rawbpf.load_program(rawbpf.SCHED_CLS, code, "count_packets")
    pinned = scene.node.scratch / "count"
    rawbpf.pin(fd, str(pinned))
    place = ("dev", UPLINK, "egress", "pref", "1", "bpf", "da", "object-pinned", str(pinned))
    command("tc", "filter", "add", *place)
    pinned.unlink()
    scene.fill()

    def sent() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", ("192.0.2.9", 9))
        value = rawbpf.get(counter, bytes(4), 8) or bytes(8)
        return int(struct.unpack("<Q", value)[0])

    command("ip", "address", "add", "192.0.2.1/24", "dev", UPLINK)
    command("ip", "neigh", "replace", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", UPLINK)
    before = sent()
    scene.run()
    assert sent() > before > 0

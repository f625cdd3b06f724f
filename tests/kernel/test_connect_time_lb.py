# SPDX-License-Identifier: GPL-3.0-or-later
"""connect_time_lb against cgroups with programs of Calico and of others on the same hooks."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.connect_state import (
    TYPES,
    Cgroup,
    calico_program,
    cgroup_root,
    foreign_program,
    run,
)
from tests.kernel.node_state import Node
from tests.kernel.private import private_network
from tests.observe import rawbpf


@pytest.fixture
def node(pins: Path) -> Iterator[Node]:
    """Pinned maps, and no interfaces."""
    with private_network():
        made = Node(pins, workloads=())
        yield made
        made.close()


def remove_all(node: Node, cgroup: Cgroup, **params: Any) -> list[str]:
    """Check mode, the run and a run after it; what was done."""
    predicted = run(node, cgroup, check=True, **params)
    done = run(node, cgroup, **params)
    assert done.actions == predicted.actions
    assert (done.before, done.after) == (predicted.before, predicted.after)
    again = run(node, cgroup, **params)
    assert again.actions == ()
    assert list(again.before["programs"]) == list(done.after["programs"])
    return list(done.actions)


def test_six_legacy_programs(node: Node, cgroup: Cgroup) -> None:
    ids = {section: cgroup.legacy(section, calico_program(node, section)) for section in TYPES}
    firewall = cgroup.firewall()
    found = run(node, cgroup, check=True)
    assert [one["method"] for one in found.facts["programs"]] == ["legacy"] * 6
    assert {section: cgroup.programs(section) for section in TYPES} == {
        section: [number] for section, number in ids.items()
    }
    actions = remove_all(node, cgroup)
    assert len(actions) == len(TYPES)
    assert f"program {ids['connect4']}, attached legacy, from connect4" in actions[0]
    assert [cgroup.programs(section) for section in TYPES] == [[]] * len(TYPES)
    assert cgroup.firewalls() == [firewall]


def test_among_others_on_the_same_hook(node: Node, cgroup: Cgroup) -> None:
    first = cgroup.multi("connect4", foreign_program("connect4"))
    linked = cgroup.link("connect4", calico_program(node, "connect4"), pin_of(node))
    multi = cgroup.multi("connect4", calico_program(node, "connect4"))
    named = cgroup.multi("connect4", foreign_program("connect4", "calico_connect_"))
    last = cgroup.link("connect4", foreign_program("connect4", "cil_sock4_conn"))
    assert cgroup.programs("connect4") == [first, linked, multi, named, last]
    result = run(node, cgroup, check=True)
    assert [one["object"].split()[-1] for one in result.facts["left_alone"]] == [str(named)]
    actions = remove_all(node, cgroup)
    removed = zip((linked, multi), actions, strict=True)
    assert all(f", program {number}, attached" in action for number, action in removed)
    assert cgroup.programs("connect4") == [first, named, last]
    assert list(pin_of(node).parent.iterdir()) == []


def pin_of(node: Node) -> Path:
    return node.root / "ctlb" / "calico_connect_v4"


def test_a_link_that_is_pinned_twice_and_held(node: Node, cgroup: Cgroup) -> None:
    fd = calico_program(node, "connect4")
    link = rawbpf.create_link(fd, cgroup.fd, rawbpf.CONNECT4)
    os.close(fd)
    cgroup.held.append(link)
    pin_of(node).parent.mkdir()
    rawbpf.pin(link, str(pin_of(node)))
    (action,) = remove_all(node, cgroup)
    assert action.endswith(f"and unpin {pin_of(node)}")
    assert cgroup.programs("connect4") == []
    assert not pin_of(node).exists()


def test_a_program_that_is_linked_to_two_cgroups(node: Node, cgroup: Cgroup) -> None:
    fd = calico_program(node, "connect4")
    below = Cgroup(cgroup.place / "nested")
    try:
        number = below.link("connect4", os.dup(fd))
        assert cgroup.link("connect4", fd, pin_of(node)) == number
        (action,) = remove_all(node, cgroup)
        assert str(pin_of(node)) in action
        assert (cgroup.programs("connect4"), below.programs("connect4")) == ([], [number])
    finally:
        below.remove()


def test_a_link_without_a_pin_needs_the_release(node: Node, cgroup: Cgroup) -> None:
    number = cgroup.link("connect4", calico_program(node, "connect4"))
    found = run(node, cgroup)
    assert found.actions == ()
    (left,) = found.facts["left_alone"]
    assert left["reasons"][-1] == "Its link is not pinned where Calico pins it."
    assert cgroup.programs("connect4") == [number]
    assert len(remove_all(node, cgroup, calico_version="3.28.4")) == 1
    assert cgroup.programs("connect4") == []


def test_a_severed_link_is_unpinned(node: Node, cgroup: Cgroup) -> None:
    fd = calico_program(node, "connect4")
    link = rawbpf.create_link(fd, cgroup.fd, rawbpf.CONNECT4)
    pin_of(node).parent.mkdir()
    rawbpf.pin(link, str(pin_of(node)))
    rawbpf.call(34, struct.pack("<I", link))  # BPF_LINK_DETACH
    os.close(link)
    foreign = rawbpf.create_link(foreign_program("connect6"), cgroup.fd, TYPES["connect6"])
    rawbpf.pin(foreign, str(node.root / "ctlb" / "calico_connect_v6"))
    rawbpf.call(34, struct.pack("<I", foreign))
    os.close(foreign)
    os.close(fd)
    (finding,) = run(node, cgroup, state="present", on_mismatch="report").findings[1:]
    assert (finding["code"], finding["object"]) == ("CTLB_SEVERED", str(pin_of(node)))
    (action,) = remove_all(node, cgroup)
    assert action.startswith(f"Unpin {pin_of(node)}, link ")
    assert [one.name for one in pin_of(node).parent.iterdir()] == ["calico_connect_v6"]


def test_a_directory_below_the_root(node: Node, cgroup: Cgroup) -> None:
    root = cgroup_root()
    assert root is not None
    below = Cgroup(cgroup.place / "kubepods")
    number = below.legacy("connect4", calico_program(node, "connect4"))
    try:
        assert run(node, cgroup).actions == ()
        assert below.programs("connect4") == [number]
        assert len(remove_all(node, cgroup, cgroup_subpath="kubepods")) == 1
        assert below.programs("connect4") == []
        found = run(node, cgroup, cgroup_subpath="kubepod")
        assert "there is no kubepod below" in found.warnings[-1]
    finally:
        below.remove()


def test_a_bpffs_mounted_elsewhere(node: Node, cgroup: Cgroup, tmp_path: Path) -> None:
    mount = tmp_path / "bpf"
    mount.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", mount], check=True)
    try:
        pin = mount / "ctlb" / "calico_connect_v4"
        cgroup.link("connect4", calico_program(node, "connect4"), pin)
        assert run(node, cgroup).actions == ()
        (action,) = remove_all(node, cgroup, bpffs=str(mount))
        assert str(pin) in action
        assert not pin.exists()
        assert cgroup.programs("connect4") == []
    finally:
        subprocess.run(["umount", mount], check=True)


def present(node: Node, cgroup: Cgroup, **params: Any) -> Any:
    return run(node, cgroup, state="present", calico_version="3.29.4", **params)


def test_the_expected_set(node: Node, cgroup: Cgroup) -> None:
    with pytest.raises(errors.UnverifiedError, match=r"connect4 has no program of Calico\. conn"):
        present(node, cgroup)
    found = present(node, cgroup, on_mismatch="report")
    assert (found.actions, found.facts["expected"]) == ((), ["connect4", "connect6"])
    assert [one["code"] for one in found.findings] == ["CTLB_UNEXPECTED"]
    for section in ("connect4", "connect6"):
        cgroup.legacy(section, calico_program(node, section))
    assert present(node, cgroup).findings == ()
    assert present(node, cgroup, check=True).actions == ()
    with pytest.raises(errors.UnverifiedError, match="where none is expected") as caught:
        present(node, cgroup, load_balancing="Disabled")
    assert len(caught.value.as_failure()["programs"]) == 2
    with pytest.raises(errors.UnverifiedError, match="recvmsg6 has no program"):
        present(node, cgroup, load_balancing="Enabled")
    for section in ("sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6"):
        cgroup.legacy(section, calico_program(node, section))
    assert present(node, cgroup, load_balancing="Enabled").findings == ()
    assert present(node, cgroup, host_nat="Disabled").findings == ()


def test_a_second_program_on_a_hook_is_unexpected(node: Node, cgroup: Cgroup) -> None:
    for section in ("connect4", "connect6", "connect6"):
        cgroup.multi(section, calico_program(node, section))
    with pytest.raises(errors.UnverifiedError, match="where one is expected"):
        present(node, cgroup)


def test_a_release_that_does_not_tell_what_is_expected(node: Node, cgroup: Cgroup) -> None:
    for name in node.fds:
        (node.globals / name).unlink()
    with pytest.raises(errors.RefusedError, match="name the release exactly"):
        run(node, cgroup, state="present")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"cgroup_root": "/proc"}, "cgroup_root: '/proc' is not on a cgroup2 file system"),
        ({"cgroup_root": "/gone"}, "cgroup_root: '/gone' is no directory on this node"),
        ({"cgroup_root": "here"}, "cgroup_root: 'here' is relative"),
        ({"bpffs": "here"}, "bpffs: 'here' is relative"),
        ({"cgroup_subpath": "/a"}, "cgroup_subpath: '/a' is not a path below the cgroup root"),
        ({"cgroup_subpath": "a/.."}, "cgroup_subpath: 'a/..' is not a path below"),
        ({"calico_version": "x"}, "calico_version: 'x' is not a Calico version"),
        ({"calico_version": "2.0"}, "calico_version: '2.0' is not among"),
        ({"families": []}, "families: [] has to name ipv4, ipv6 or both"),
        ({"lock_timeout": -1.0}, "lock_timeout: -1.0 is not 0 seconds or more"),
    ],
)
def test_bad_input(node: Node, cgroup: Cgroup, params: dict[str, Any], expected: str) -> None:
    number = cgroup.legacy("connect4", calico_program(node, "connect4"))
    with pytest.raises(errors.BpfopsError) as caught:
        run(node, cgroup, **params)
    assert expected in str(caught.value)
    assert cgroup.programs("connect4") == [number]

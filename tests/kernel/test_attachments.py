# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments of the running kernel: cgroup, TCX, traffic control and XDP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import (
    attachments,
    links,
    programs,
    tc,
    xdp,
)
from ansible_collections.bpfops.calico.plugins.module_utils._uapi import bpf as uapi
from tests.observe import rawbpf

NAME = "bpfopst0"


@pytest.fixture
def interface() -> Iterator[int]:
    """The index of a veth end of our own."""
    subprocess.run(
        ["ip", "link", "add", NAME, "type", "veth", "peer", "name", "bpfopst1"], check=True
    )
    yield int(Path(f"/sys/class/net/{NAME}/ifindex").read_text("ascii"))
    subprocess.run(["ip", "link", "del", NAME], check=True)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of our own on the cgroup2 hierarchy."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    if not roots:
        pytest.skip("no cgroup2 is mounted")
    place = Path(roots[0], "bpfops-test")
    place.mkdir()
    yield place
    place.rmdir()


def test_cgroup_attachments_and_their_links(cgroup: Path) -> None:
    fd = rawbpf.load_program(
        rawbpf.CGROUP_SOCK_ADDR, rawbpf.returning(1), "bpfops_conn", rawbpf.CONNECT4
    )
    directory = os.open(cgroup, os.O_RDONLY)
    hook = uapi.AttachType.CGROUP_INET4_CONNECT
    assert attachments.cgroup_programs(str(cgroup), hook).prog_ids == ()
    rawbpf.attach_cgroup(directory, fd, rawbpf.CONNECT4, 0)
    legacy = attachments.cgroup_programs(str(cgroup), hook)
    assert list(legacy.prog_ids) == rawbpf.attached_to_cgroup(directory, rawbpf.CONNECT4)
    assert len(legacy.prog_ids) == 1
    assert legacy.legacy
    rawbpf.detach_cgroup(directory, fd, rawbpf.CONNECT4)
    link_fd = rawbpf.create_link(fd, directory, rawbpf.CONNECT4)
    linked = attachments.cgroup_programs(str(cgroup), hook)
    assert linked.prog_ids == legacy.prog_ids
    assert not linked.legacy
    child = cgroup / "pod"
    child.mkdir()
    assert attachments.cgroup_programs(str(child), hook).prog_ids == ()
    assert linked.prog_ids[0] in attachments.cgroup_programs(str(child), hook, True).prog_ids
    child.rmdir()
    with links.Link(link_fd) as link:
        info = link.info()
        assert info.id in set(links.Link.ids())
    assert info.cgroup_id == cgroup.stat().st_ino
    assert (info.prog_id, info.attach_type) == (legacy.prog_ids[0], hook)
    os.close(directory)
    os.close(fd)


def test_tcx_programs_of_an_interface(interface: int) -> None:
    if not attachments.has_tcx():
        pytest.skip("this kernel has no TCX (6.6)")
    fd = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0), "bpfops_tcx")
    hook = uapi.AttachType.TCX_INGRESS
    assert attachments.tcx_programs(interface, hook).prog_ids == ()
    link_fd = rawbpf.create_link(fd, interface, rawbpf.TCX_INGRESS)
    found = attachments.tcx_programs(interface, hook)
    with links.Link(link_fd) as link:
        info = link.info()
    assert found.link_ids == (info.id,)
    assert found.prog_ids == (info.prog_id,)
    assert (info.ifindex, info.attach_type) == (interface, hook)
    assert attachments.tcx_programs(interface, hook).prog_ids == ()  # it went with its descriptor
    with pytest.raises(errors.SyscallError, match="ENODEV"):
        attachments.tcx_programs(2**30, hook)
    os.close(fd)


def shown_filters(hook: str) -> list[dict[str, Any]]:
    command = ["tc", "-j", "filter", "show", "dev", NAME, hook]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return [entry for entry in answer if "options" in entry and "bpf_name" in entry["options"]]


def test_filters_of_traffic_control(interface: int) -> None:
    pytest.importorskip("pyroute2")
    fds = [
        rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0), f"bpfops_tc{number}")
        for number in range(2)
    ]
    ids = [programs.Program(os.dup(fd)).info().id for fd in fds]
    assert not tc.has_clsact(interface)
    assert tc.filters(interface, tc.INGRESS) == []
    tc.add_clsact(interface)
    assert tc.has_clsact(interface)
    wanted = tc.Filter(tc.INGRESS, 49152, 1, "first")
    tc.add_filter(interface, wanted, fds[0])
    tc.add_filter(interface, tc.Filter(tc.EGRESS, 10, 2, "other"), fds[1])
    with pytest.raises(errors.SyscallError, match="EEXIST"):
        tc.add_filter(interface, wanted, fds[0])
    assert tc.filters(interface, tc.INGRESS) == [wanted._replace(prog_id=ids[0])]
    (shown,) = shown_filters("ingress")
    assert (shown["pref"], shown["options"]["bpf_name"]) == (49152, "first")
    assert shown["options"]["prog"]["id"] == ids[0]
    tc.replace_filter(interface, wanted._replace(name="second"), fds[1])
    (shown,) = shown_filters("ingress")
    assert (shown["options"]["bpf_name"], shown["options"]["prog"]["id"]) == ("second", ids[1])
    tc.delete_filter(interface, wanted)
    assert shown_filters("ingress") == []
    assert len(shown_filters("egress")) == 1
    with pytest.raises(errors.SyscallError, match="ENOENT"):
        tc.delete_filter(interface, wanted)
    tc.delete_clsact(interface)
    assert not tc.has_clsact(interface)


def test_xdp_program_of_an_interface(interface: int) -> None:
    pytest.importorskip("pyroute2")
    fd = rawbpf.load_program(rawbpf.XDP, rawbpf.returning(2), "bpfops_xdp")
    assert xdp.attached(interface) is None
    xdp.attach(interface, fd, xdp.XdpMode.GENERIC)
    found = xdp.attached(interface)
    (shown,) = json.loads(
        subprocess.run(
            ["ip", "-j", "link", "show", "dev", NAME], check=True, stdout=subprocess.PIPE
        ).stdout
    )
    assert found is not None
    assert found.prog_id == shown["xdp"]["prog"]["id"]
    xdp.detach(interface, xdp.XdpMode.GENERIC)
    assert xdp.attached(interface) is None
    with pytest.raises(errors.SyscallError, match="ENODEV"):
        xdp.attached(2**30)

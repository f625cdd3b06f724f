# SPDX-License-Identifier: GPL-3.0-or-later
"""connect_time_lb while others change the cgroup, and when it is killed."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import removal
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import attachments, links
from ansible_collections.bpfops.calico.plugins.module_utils._plan.removal import CgroupAt, Step
from tests.kernel.connect_state import (
    TYPES,
    Cgroup,
    calico_program,
    foreign_program,
    run,
)
from tests.kernel.node_state import Node
from tests.kernel.private import private_network
from tests.kernel.support import die_before
from tests.observe import rawbpf


@pytest.fixture
def node(pins: Path) -> Iterator[Node]:
    """Pinned maps, and no interfaces."""
    with private_network():
        made = Node(pins, workloads=())
        yield made
        made.close()


def test_a_program_that_was_replaced_since(
    node: Node, cgroup: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = calico_program(node, "connect4")
    cgroup.held.append(os.dup(fd))  # the old program lives on, as one does that is pinned
    old = cgroup.legacy("connect4", fd)
    replaced: list[int] = []
    detach = removal.detach_cgroup

    def late(path: str, attach_type: int, prog_id: int) -> bool:
        replaced.append(cgroup.legacy("connect4", foreign_program("connect4")))
        return detach(path, attach_type, prog_id)

    monkeypatch.setattr(removal, "detach_cgroup", late)
    found = run(node, cgroup)
    assert cgroup.programs("connect4") == replaced
    assert any(
        f"program {old} was gone or in use, or something else" in one for one in found.warnings
    )


def test_a_program_of_another_name_stays(node: Node, cgroup: Cgroup) -> None:
    """Ids begin anew one day."""
    number = cgroup.legacy("connect4", calico_program(node, "connect4"))
    target = CgroupAt(str(cgroup.place), TYPES["connect4"], number, "calico_sendmsg_")
    removal.carry_out([Step("cgroup", "it", "Detach it", target)])
    assert cgroup.programs("connect4") == [number]
    removal.carry_out([Step("cgroup", "it", "", target._replace(name="calico_connect_"))])
    assert cgroup.programs("connect4") == []


def test_the_kernel_refuses_a_hook_that_has_changed(
    node: Node, cgroup: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 6.17 on: asked for with the revision that was seen."""
    number = cgroup.legacy("connect4", calico_program(node, "connect4"))
    revision = attachments.cgroup_programs(str(cgroup.place), TYPES["connect4"]).revision
    if not revision:
        pytest.skip("this kernel tells no revision of a cgroup (6.17)")
    fd = foreign_program("connect4")
    other = cgroup.legacy("connect4", fd)
    with pytest.raises(errors.SyscallError, match="ESTALE"):
        attachments._detach(cgroup.fd, TYPES["connect4"], other, revision)
    assert cgroup.programs("connect4") == [other]
    assert not attachments.detach_cgroup(str(cgroup.place), TYPES["connect4"], number)
    query = attachments._query

    def late(*arguments: Any) -> Any:
        seen = query(*arguments)
        if other in seen.prog_ids:
            newer.append(cgroup.legacy("connect4", foreign_program("connect4")))
        return seen

    newer: list[int] = []
    cgroup.held.append(fd_of(other))
    monkeypatch.setattr(attachments, "_query", late)
    assert not attachments.detach_cgroup(str(cgroup.place), TYPES["connect4"], other)
    assert cgroup.programs("connect4") == newer


def test_a_cgroup_that_vanishes_on_the_way(
    node: Node, cgroup: Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    for section in ("connect4", "connect6"):
        cgroup.legacy(section, calico_program(node, section))
    detach = removal.detach_cgroup

    def late(path: str, attach_type: int, prog_id: int) -> bool:
        if cgroup.place.exists():
            cgroup.place.rmdir()
        return detach(path, attach_type, prog_id)

    monkeypatch.setattr(removal, "detach_cgroup", late)
    found = run(node, cgroup)
    assert len(found.actions) == len([one for one in found.warnings if " was gone" in one])
    assert f"{cgroup.place} vanished while it was looked at." in found.warnings


def killed_at(number: int, node: Node, cgroup: Cgroup) -> bool:
    """Run in a child that ends before a step as kill -9 would end it; whether it had the step."""
    child = os.fork()
    if child == 0:
        die_before(number, ((removal, "detach_cgroup"), (links.Link, "detach"), (Path, "unlink")))
        run(node, cgroup)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_killed_before_any_step(node: Node, cgroup: Cgroup) -> None:
    deaths, pin = 0, node.root / "ctlb" / "calico_connect_v46"
    for number in range(10):
        foreign = cgroup.multi("connect6", foreign_program("connect6"))
        cgroup.legacy("connect4", calico_program(node, "connect4"))
        cgroup.link("connect6", calico_program(node, "connect6"), pin)
        died = killed_at(number, node, cgroup)
        deaths += died
        run(node, cgroup)
        assert run(node, cgroup).actions == ()
        assert cgroup.programs("connect4") == []
        assert settled(cgroup, "connect6", [foreign])
        assert list(pin.parent.iterdir()) == []
        rawbpf.detach_cgroup(cgroup.fd, fd_of(foreign), TYPES["connect6"])
        if not died:
            break
    assert deaths == 3  # detach a program, unpin a link, detach it


def settled(cgroup: Cgroup, section: str, expected: list[int], seconds: float = 5) -> bool:
    """Wait for the kernel, which frees a link that nothing refers to when it has time."""
    deadline = time.monotonic() + seconds
    while cgroup.programs(section) != expected:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def fd_of(number: int) -> int:
    """A descriptor of a program by its id."""
    return rawbpf.call(13, struct.pack("<III", number, 0, 0))

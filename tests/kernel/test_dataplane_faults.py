# SPDX-License-Identifier: GPL-3.0-or-later
"""dataplane while others change the node, and when it is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import removal
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import (
    interfaces,
    links,
    tc,
    xdp,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.removal import DeviceAt
from tests.kernel.connect_state import program_id
from tests.kernel.leftover_state import (
    ONE,
    TWO,
    UPLINK,
    Neighbours,
    Scene,
    command,
    ifindex,
    veth,
)
from tests.kernel.support import die_before
from tests.observe import rawbpf


def before_first(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, change: Callable[[], None]
) -> None:
    """Let something happen right before a call of the executor."""
    call = getattr(owner, name)
    done: list[bool] = []

    def late(*args: Any, **keywords: Any) -> Any:
        if not done:
            done.append(True)
            change()
        return call(*args, **keywords)

    monkeypatch.setattr(owner, name, late)


def test_an_interface_that_vanishes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.clsact()
    scene.fill()
    before_first(
        monkeypatch, removal.tc, "delete_clsact", lambda: remove(ONE, TWO, UPLINK, "bpfin.cali")
    )
    found = scene.run()
    assert sum("was gone or in use, or something else" in one for one in found.warnings) >= 3
    assert found.facts["residue_after"] == {}
    assert scene.run().actions == ()


def remove(*names: str) -> None:
    for name in names:
        command("ip", "link", "del", name)


def test_a_filter_that_was_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one of the very same name at the same place."""
    scene.clsact()
    scene.node.attach(ONE, "ingress")
    index = ifindex(ONE)
    ((_, old),) = interfaces.filters_of([index])
    fd = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0), "theirs")
    before_first(monkeypatch, removal.interfaces, "held", lambda: tc.replace_filter(index, old, fd))
    found = scene.run()
    assert f"id {program_id(fd)}" in scene.inventory()["filters"][f"{ONE} ingress"]
    assert any(one.startswith(f"{ONE} clsact was gone or in use") for one in found.warnings)
    os.close(fd)


@pytest.mark.parametrize("kind", ["bpf", "u32"])
def test_a_foreign_filter_that_came_meanwhile(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    scene.clsact()
    scene.node.attach(ONE, "ingress")

    there: list[bool] = []

    def come() -> None:
        if kind == "bpf":
            scene.node.foreign_filter(ONE, "egress", 7)
        else:
            there.append(scene.node.foreign_match(ONE, "egress"))

    before_first(monkeypatch, removal.interfaces, "held", come)
    scene.run()
    if there == [False]:
        pytest.skip("this kernel has no classifier u32")
    found = scene.inventory()
    assert list(found["filters"]) == [f"{ONE} egress"]
    assert f" {kind} " in found["filters"][f"{ONE} egress"]


def test_an_xdp_program_that_was_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.node.xdp(UPLINK)
    ids: list[int] = []

    def replace() -> None:
        command("ip", "link", "set", "dev", UPLINK, "xdpgeneric", "off")
        ids.append(scene.node.foreign_xdp(UPLINK))

    before_first(monkeypatch, removal.xdp, "detach_only", replace)
    found = scene.run()
    assert scene.inventory()["xdp"] == {UPLINK: ids[0]}
    assert any(one.startswith(f"{UPLINK} xdpgeneric program") for one in found.warnings)


def test_a_device_that_is_another_one_by_now(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    veth("bpfin.cali", "bpfout.cali")
    delete = removal._DO[DeviceAt]

    def late(target: Any) -> bool:
        command("ip", "link", "del", "bpfin.cali")
        veth("bpfin.cali", "theirs")
        veth("bpfout.cali", "mine")
        return delete(target)

    monkeypatch.setitem(removal._DO, DeviceAt, late)
    found = scene.run()
    assert {"bpfin.cali", "bpfout.cali"} <= set(scene.inventory()["devices"])
    assert any(".cali was gone or in use, or something else" in one for one in found.warnings)


def test_pins_that_were_replaced_or_are_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, replaced = scene.node.globals / "cali_state4", scene.node.globals / "cali_v4_ct3"
    foreign = rawbpf.create_map(1, 16, 88, 7, 1)

    def change() -> None:
        gone.unlink()
        replaced.unlink()
        rawbpf.pin(foreign, str(replaced))

    before_first(monkeypatch, removal, "open_pin", change)
    with pytest.raises(errors.UnverifiedError) as caught:
        scene.run()  # another map of Calico's by its name and parameters
    assert str(replaced) in str(caught.value)
    assert caught.value.as_failure()["residue_after"] == {"pin": [str(replaced)]}
    os.close(foreign)
    assert len(scene.run().actions) == 1


def test_a_link_that_felix_updated(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        scene.node.tcx(TWO, "ingress")
    except OSError as error:
        pytest.skip(f"no TCX here: {error}")
    pin = scene.node.root / "tcx" / f"{TWO}_ingress"

    def update() -> None:
        link, new = rawbpf.open_pinned(str(pin)), scene.node.preamble(TWO)
        rawbpf.call(29, link.to_bytes(4, "little") + new.to_bytes(4, "little") + bytes(8))
        os.close(link)
        os.close(new)

    opened = links.Link.from_id
    calls: list[int] = []

    def late(link_id: int) -> Any:
        calls.append(link_id)
        if len(calls) == 1:
            update()
        return opened(link_id)

    monkeypatch.setattr(removal.Link, "from_id", late)
    with pytest.raises(errors.UnverifiedError, match=f"{TWO} ingress link"):
        scene.run()
    monkeypatch.undo()
    scene_again = scene.inventory()
    assert list(scene_again["tcx"]) == [f"{TWO} ingress"]


STEPS = (
    (tc, "delete_clsact"),
    (tc, "delete_filter"),
    (xdp, "detach_only"),
    (links.Link, "detach"),
    (removal, "detach_cgroup"),
    (Path, "unlink"),
    (Path, "rmdir"),
    (interfaces, "delete"),
)


def killed_at(number: int, scene: Scene) -> bool:
    """Run in a child that ends before a step as kill -9 would end it; whether it had the step."""
    child = os.fork()
    if child == 0:
        die_before(number, STEPS)
        scene.run()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_killed_before_any_step(scene: Scene) -> None:
    """One node, filled once and killed step by step: each run goes on where the last one ended."""
    scene.clsact()
    scene.fill()
    with suppress(OSError):  # no TCX in this kernel
        scene.node.tcx(TWO, "ingress")
    Neighbours(scene.node, scene.cgroup)
    expected = len(scene.run(check=True).actions)
    deaths = 0
    while killed_at(1, scene):
        deaths += 1
        assert deaths <= 2 * expected
    assert deaths >= expected - 2
    left = scene.run()
    assert left.facts["residue_before"] == {}
    assert left.actions == ()


@pytest.mark.parametrize("number", range(0, 30, 3))
def test_a_run_after_a_killed_one_ends_where_one_run_does(scene: Scene, number: int) -> None:
    scene.clsact()
    scene.fill()
    assert killed_at(number, scene)
    scene.run()
    left = scene.inventory()
    assert (left["filters"], left["xdp"], left["cgroup"], left["tcx"]) == ({}, {}, {}, {})
    assert left["clsact"] == []
    assert sorted(left["pins"]) == ["tc", "tc/globals"]
    assert not any(name.startswith("bpf") for name in left["devices"])
    assert not scene.records.exists()


def test_a_pin_and_a_directory_in_use(scene: Scene) -> None:
    """What something is mounted on cannot be removed."""
    pin, place = scene.node.globals / "cali_state4", scene.node.root / "ctlb"
    place.mkdir()
    for path in (pin, place):
        subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        with pytest.raises(errors.UnverifiedError) as caught:
            scene.run()
        assert str(caught.value) == f"Done, but this is there still, or again: {pin}, {place}."
    finally:
        for path in (pin, place):
            subprocess.run(["umount", path], check=True)
    assert len(scene.run().actions) == 2
    assert not place.exists()

# SPDX-License-Identifier: GPL-3.0-or-later
"""tc_attachment step by step, interrupted, beside another writer, and on hundreds of interfaces."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import tc_attachment as work
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import tc
from tests.kernel.node_state import Node
from tests.kernel.own_network import (
    WORKLOADS,
    both,
    forgotten_arrays,
    places,
    run,
    shown,
)
from tests.kernel.private import private_network

ONE, TWO = WORKLOADS
HOOKS = ("ingress", "egress")
CALLS = ("add", "replace", "delete")


class InterruptionError(Exception):
    """The end of a run before one of its steps."""


@pytest.fixture
def node(pins: Path) -> Iterator[Node]:
    """One pair unequal, with a stale filter at the wanted place; one hook with two filters."""
    pytest.importorskip("pyroute2")
    with private_network():
        made = Node(pins, WORKLOADS)
        made.attach_all()
        made.workloads[0].unhook("egress")
        made.attach(ONE, "egress", 49150, 2)
        with forgotten_arrays(made):
            made.attach(ONE, "egress", 49152, 1)
            made.attach(TWO, "ingress", 49151, 1)
        yield made
        made.close()


def around(monkeypatch: pytest.MonkeyPatch, before: Callable[[str], None]) -> None:
    """Call ``before`` with its name before each request that changes a filter."""
    for name in CALLS:
        original = getattr(tc.Editor, name)

        def call(self: tc.Editor, *args: Any, name: str = name, to: Any = original) -> None:
            before(name)
            to(self, *args)

        monkeypatch.setattr(tc.Editor, name, call)


def live_programs(node: Node) -> dict[tuple[str, str], int]:
    """The filters that have to be there at every instant."""
    wanted = {(ONE, "egress"): (49150, 2)}
    return {
        (name, hook): next(
            one.program
            for one in shown(name, hook)
            if one[:2] == wanted.get((name, hook), (49152, 1))
        )
        for name in WORKLOADS
        for hook in HOOKS
    }


def test_the_live_program_is_there_before_and_after_each_step(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, steps = live_programs(node), []

    def look(step: str) -> None:
        steps.append(step)
        for (name, hook), program in live.items():
            assert program in [one.program for one in shown(name, hook)], (steps, name, hook)

    around(monkeypatch, look)
    run(node)
    look("end")
    assert steps == ["replace", "delete", "delete", "end"]
    assert places(ONE) == places(TWO) == both(49152, 1)


@pytest.mark.parametrize("last", range(1, 4))
def test_a_run_that_is_killed_is_finished_by_the_next(
    node: Node, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    live, steps = live_programs(node), []

    def stop(step: str) -> None:
        steps.append(step)
        if len(steps) == last:
            raise InterruptionError

    with monkeypatch.context() as patched:
        around(patched, stop)
        with pytest.raises(InterruptionError):
            run(node)
    for (name, hook), program in live.items():
        assert program in [one.program for one in shown(name, hook)]
    run(node)
    assert places(ONE) == places(TWO) == both(49152, 1)
    for (name, hook), program in live.items():
        assert [one.program for one in shown(name, hook)] == [program]
    assert run(node).actions == ()


def test_a_run_that_is_killed_between_addition_and_removal(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(node)
    node.workloads[0].unhook("ingress")
    node.attach(ONE, "ingress", 49150, 2)
    with monkeypatch.context() as patched:
        patched.setattr(tc.Editor, "delete", _stop)
        with pytest.raises(InterruptionError):
            run(node)
    (program,) = {one.program for one in shown(ONE, "ingress")}
    assert places(ONE)["ingress"] == [(49150, 2), (49152, 1)]
    run(node)
    assert [one.program for one in shown(ONE, "ingress")] == [program]
    assert places(ONE) == both(49152, 1)


def _stop(*_args: object) -> None:
    raise InterruptionError


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None], times: int = 1) -> None:
    """Another writer is at it after the plan was made, before the first change."""
    original, calls = work.carry_out, []

    def carried_out(changes: Any) -> Any:
        calls.append(1)
        if len(calls) <= times:
            change()
        return original(changes)

    monkeypatch.setattr(work, "carry_out", carried_out)


def test_a_filter_replaced_meanwhile_is_seen(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def felix_attaches_again() -> None:
        node.workloads[0].unhook("egress")
        node.attach(ONE, "egress", 49150, 2)

    meanwhile(monkeypatch, felix_attaches_again)
    before = {one.program for one in shown(ONE, "egress")}
    run(node)
    (left,) = shown(ONE, "egress")
    assert left.program not in before
    assert places(ONE) == both(49152, 1)


def test_a_filter_replaced_between_addition_and_removal(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = tc.Editor.replace
    newer: list[int] = []

    def replaced(self: tc.Editor, *args: Any) -> None:
        original(self, *args)
        if not newer:
            place = ["pref", "49150", "handle", "2", "bpf"]
            command = ["tc", "filter", "del", "dev", ONE, "egress", "protocol", "all", *place]
            subprocess.run(command, check=True)
            node.attach(ONE, "egress", 49150, 2)
            newer.extend(one.program for one in shown(ONE, "egress") if one[:2] == (49150, 2))

    monkeypatch.setattr(tc.Editor, "replace", replaced)
    run(node)
    assert [one.program for one in shown(ONE, "egress")] == newer
    assert places(ONE) == both(49152, 1)


def test_the_wanted_place_is_taken_meanwhile(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    run(node)
    node.workloads[0].unhook("egress")
    node.attach(ONE, "egress", 49150, 1)
    meanwhile(monkeypatch, lambda: node.attach_foreign(ONE, "egress", 49152))
    run(node)
    assert places(ONE) == both(49151, 1)
    assert len(shown(ONE, "egress")) == 2


def test_the_wanted_place_is_taken_right_before(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(node)
    node.workloads[0].unhook("egress")
    node.attach(ONE, "egress", 49150, 1)
    steps: list[str] = []

    def take(step: str) -> None:
        steps.append(step)
        if len(steps) == 1:
            node.attach_foreign(ONE, "egress", 49152)

    around(monkeypatch, take)
    run(node)
    assert places(ONE) == both(49151, 1)
    assert len(shown(ONE, "egress")) == 2


def test_a_writer_that_does_not_rest(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def again() -> None:
        node.workloads[0].unhook("egress")
        node.attach(ONE, "egress", 49150, 2)

    meanwhile(monkeypatch, again, times=99)
    with pytest.raises(errors.UnverifiedError, match=f"{ONE} whose filters something else keeps"):
        run(node)
    assert len(shown(ONE, "egress")) == 1


def test_a_refused_request_keeps_the_filter_and_the_others_go_on(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: tc.Editor, ifindex: int, *_args: Any) -> None:
        raise errors.SyscallError("netlink", 12, "no memory", f"ifindex {ifindex}")

    monkeypatch.setattr(tc.Editor, "replace", refuse)
    before = shown(ONE, "egress")
    with pytest.raises(errors.UnverifiedError, match="no memory"):
        run(node)
    assert shown(ONE, "egress") == before
    assert places(TWO) == both(49152, 1)


@pytest.mark.parametrize("which", [0, 1])
def test_an_interface_that_vanishes_is_a_warning(
    node: Node, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    name = WORKLOADS[which]
    meanwhile(monkeypatch, node.workloads[which].remove)
    done = run(node)
    assert done.warnings == (f"{name} vanished while it was repaired.",)
    assert places(WORKLOADS[1 - which]) == both(49152, 1)


def test_an_interface_that_vanishes_after_the_addition(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(step: str) -> None:
        if step == "replace":
            node.workloads[0].remove()

    around(monkeypatch, vanish)
    assert run(node).warnings == (f"{ONE} vanished while it was repaired.",)
    assert places(TWO) == both(49152, 1)


def test_pyroute2_is_needed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(errors.MissingLibraryError, match=r"pyroute2 .* install it with .* pip\."):
        run(node)


def test_the_lock_is_held(node: Node, own_lock: Path) -> None:
    before = shown(ONE, "egress")
    with own_lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(errors.RefusedError, match="lock_timeout"):
            run(node, lock_timeout=0)
    assert shown(ONE, "egress") == before


PAIRS = 250


@pytest.mark.scale
def test_hundreds_of_pairs_within_two_seconds(pins: Path) -> None:
    pytest.importorskip("pyroute2")
    with private_network():
        names = tuple(f"cali{number:04}" for number in range(PAIRS))
        node = Node(pins, ())
        node.many(names, {"ingress": (49152, 1), "egress": (49151, 2)})
        began, spent = time.monotonic(), time.process_time()
        done = run(node)
        took, spent = time.monotonic() - began, time.process_time() - spent
        print(f"{PAIRS} unequal pairs: {took:.2f} s, {spent:.2f} s of a CPU")
        assert len(done.actions) == PAIRS
        assert all(places(name) == both(49152, 1) for name in names[:: PAIRS // 10])
        assert run(node).actions == ()
        assert spent < 2  # other work on the machine does not count
        node.close()

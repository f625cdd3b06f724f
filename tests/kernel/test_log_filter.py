# SPDX-License-Identifier: GPL-3.0-or-later
"""log_filter on real entry programs: slots are filled, packets pass, entries are reset."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.modules import log_filter
from tests.kernel.log_filter_runs import HOOKS, PACKETS, calling, fill, program, run
from tests.kernel.log_state import MAIN, NAME, SHAPES, SLOTS, LogNode, felix, sent
from tests.kernel.node_state import NONE
from tests.kernel.private import private_network
from tests.observe import rawbpf


@pytest.fixture(params=sorted(SHAPES))
def node(pins: Path, request: pytest.FixtureRequest) -> Iterator[LogNode]:
    with calling(pins, request.param) as made:
        yield made


def test_what_is_in_the_slots(node: LogNode) -> None:
    planned = run(node, check=True)
    assert [node.slot(hook) for hook in HOOKS] == [None, None]
    done = run(node)
    assert done == planned
    for hook in HOOKS:
        shown = program(node.slot(hook))
        assert (shown["type"], shown["name"]) == ("sched_cls", f"bpfops_pass{SLOTS[hook]}")
        assert shown["map_ids"] == [rawbpf.map_id(node.arrays(hook)[1])]
    before = [node.slot(hook) for hook in HOOKS]
    assert run(node).actions == ()
    assert [node.slot(hook) for hook in HOOKS] == before


def test_without_a_main_program_packets_are_dropped_as_before(node: LogNode) -> None:
    rawbpf.delete(node.arrays("egress")[1], struct.pack("<I", MAIN))
    assert sent(PACKETS, "egress") == 0
    run(node)
    assert node.slot("egress") is not None
    assert sent(PACKETS, "egress") == 0


def test_ifstate(node: LogNode) -> None:
    before = node.entry()
    if node.shape.constants == 528:
        done = run(node, method="ifstate")
        assert done.actions == ()
        assert "resets the indices itself" in done.warnings[0]
        assert node.entry() == before
        return
    planned = run(node, check=True, method="ifstate")
    assert node.entry() == before
    done = run(node, method="ifstate")
    assert done == planned
    assert len(done.actions) == 1
    assert done.facts["felix"] == "stopped"
    assert node.entry() == before[:-8] + b"\xff" * 8
    assert [node.slot(hook) for hook in HOOKS] == [None, None]
    assert run(node, method="ifstate").actions == ()


def test_both(node: LogNode) -> None:
    run(node)
    done = run(node, method="both", calico_version="3.28.1" if len(node.entry()) == 52 else "3.27")
    assert [one.split()[0] for one in done.actions] == (
        [] if node.shape.constants == 528 else ["Write"]
    )
    assert run(node, method="both").actions == ()


def test_a_program_that_is_no_longer_needed_is_taken_out(node: LogNode) -> None:
    run(node)
    own = {hook: node.slot(hook) for hook in HOOKS}
    node.attach("egress", NONE)
    assert len(run(node, check=True).actions) == 1
    done = run(node, method="ifstate", felix_about_to_restart=True)
    assert f"program {own['egress']} out of slot 27" in done.actions[-1]
    assert (node.slot("ingress"), node.slot("egress")) == (own["ingress"], None)
    with pytest.raises(subprocess.CalledProcessError):
        program(own["egress"])
    assert sent(PACKETS, "egress") == PACKETS
    node.attach("ingress", NONE)
    assert len(run(node).actions) == 1
    assert node.slot("ingress") is None


def test_a_log_filter_that_is_there_is_left_alone(node: LogNode) -> None:
    run(node)
    fill(node)
    before, array = node.entry(), node.arrays("ingress")[1]
    lost = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.using(array, 0), "bpfops_pass30")
    done = run(node, method="both", felix_about_to_restart=True)
    os.close(lost)
    assert (done.actions, done.facts["log_filters"]) == ((), [])
    assert node.entry() == before
    assert program(node.slot("ingress"))["name"] == "calico_log_filt"


def test_programs_with_a_tcx_type(pins: Path) -> None:
    pytest.importorskip("pyroute2")
    with private_network():
        node = LogNode(pins, "3.31")
        try:
            for hook in HOOKS:
                node.attach(hook, SLOTS[hook], tcx=True)
        except OSError as error:
            node.close()
            pytest.skip(f"no TCX here: {error}")
        assert len(run(node).actions) == 2
        for hook in HOOKS:
            assert sent(PACKETS, hook) == PACKETS
        assert node.counted() == (0, 2 * PACKETS)
        assert run(node).actions == ()
        node.close()


@pytest.mark.parametrize("node", ["3.27"], indirect=True)
@pytest.mark.parametrize("sign", ["arguments", "maps"])
def test_a_running_felix(node: LogNode, sign: str) -> None:
    before = node.entry()
    with felix(node, sign):
        with pytest.raises(errors.RefusedError, match=r"calico-node .*felix_about_to_restart"):
            run(node, method="both")
        assert node.entry() == before
        assert node.slot("ingress") is None
        assert run(node).facts["felix"] == "running"
        run(node, method="ifstate", felix_about_to_restart=True)
    assert node.entry() == before[:-8] + b"\xff" * 8
    assert run(node, method="both").facts["felix"] == "stopped"


@pytest.mark.parametrize("node", ["3.27"], indirect=True)
def test_other_processes_of_calico_do_not_write(node: LogNode) -> None:
    with felix(node, "nothing"):
        assert run(node, method="ifstate").facts["felix"] == "stopped"
    assert node.entry().endswith(b"\xff" * 8)


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
def test_the_entry_of_another_interface(node: LogNode) -> None:
    node.state((26, 27), name="caliother")
    before = node.entry()
    done = run(node, method="ifstate")
    assert done.actions == ()
    assert f"{NAME} has no entry in {node.globals}/cali_iface4" in done.warnings[0]
    assert node.entry() == before


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
@pytest.mark.parametrize(
    ("release", "written"), [("3.28.2", True), ("3.28.3", False), ("3.29.0", False)]
)
def test_releases_that_reset_it_themselves(node: LogNode, release: str, written: bool) -> None:
    done = run(node, method="ifstate", calico_version=release)
    assert bool(done.actions) == written
    assert bool(done.warnings) != written


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
@pytest.mark.parametrize(("release", "written"), [("3.28.2", True), ("3.28.3", False)])
def test_log_filters_that_are_there_end_with_the_logging(
    node: LogNode, release: str, written: bool
) -> None:
    fill(node)
    before = node.entry()
    assert run(node, method="both", calico_version=release).actions == ()
    assert run(node, method="passthrough", logging_ends=True).actions == ()
    planned = run(node, check=True, logging_ends=True, method="both", calico_version=release)
    assert node.entry() == before
    done = run(node, logging_ends=True, method="both", calico_version=release)
    assert (done, done.warnings) == (planned, ())
    assert node.entry() == (before[:-8] + b"\xff" * 8 if written else before)
    assert (done.before != done.after) == written
    assert program(node.slot("ingress"))["name"] == "calico_log_filt"
    assert run(node, logging_ends=True, method="both", calico_version=release).actions == ()


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
def test_only_the_interfaces_that_are_named(node: LogNode) -> None:
    assert run(node, interfaces=["caliother", "eth*"]).actions == ()
    assert len(run(node, interfaces=["calil*"]).actions) == 2
    assert run(node, interfaces=["eth*"]).actions == ()
    assert node.slot("ingress") is not None


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Something else is at it between the plan and the first step."""
    original = log_filter.carry_out

    def carried_out(planned: Any) -> Any:
        change()
        return original(planned)

    monkeypatch.setattr(log_filter, "carry_out", carried_out)


def take(node: LogNode, hook: str) -> None:
    """felix puts a policy into the slot."""
    fd = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0), "p4I_x")
    rawbpf.put(node.arrays(hook)[0], struct.pack("<I", SLOTS[hook]), struct.pack("<I", fd))
    os.close(fd)


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
@pytest.mark.parametrize("filled", [False, True])
def test_a_slot_is_taken(node: LogNode, monkeypatch: pytest.MonkeyPatch, filled: bool) -> None:
    if filled:
        run(node)
        node.attach("ingress", NONE)
    meanwhile(monkeypatch, lambda: take(node, "ingress"))
    done = run(node)
    assert "slot 26 of cali_jump3 was changed by something else" in done.warnings[0]
    assert program(node.slot("ingress"))["name"] == "p4I_x"
    assert program(node.slot("egress"))["name"] == "bpfops_pass27"


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
def test_an_entry_that_changes_hands(node: LogNode, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: node.state((5, 6), name="caliother"))
    done = run(node, method="ifstate")
    assert f"the entry of {NAME} was changed by something else" in done.warnings[0]
    assert node.entry().endswith(struct.pack("<2i", 5, 6))


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
def test_reading_back_counts(node: LogNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_filter, "carry_out", lambda planned: ())
    with pytest.raises(errors.UnverifiedError, match="slot 26 of cali_jump3 is empty"):
        run(node)
    with pytest.raises(errors.UnverifiedError, match=f"the entry of {NAME} in .* has a log filter"):
        run(node, method="ifstate")


@pytest.mark.parametrize("node", ["3.28"], indirect=True)
def test_pyroute2_is_needed(node: LogNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    with pytest.raises(errors.MissingLibraryError):
        run(node)


def test_programs_of_other_nodes_are_not_ours(pins: Path) -> None:
    """Ids are global: what stands in the arrays of another node is left alone."""
    pytest.importorskip("pyroute2")
    with private_network():
        first, second = pins / "first", pins / "second"
        for place in (first, second):
            place.mkdir()
        one = LogNode(first, "3.28")
        one.attach("egress", SLOTS["egress"])
        run(one)
        held = one.slot("egress")
        with private_network():
            two = LogNode(second, "3.28")
            two.attach("egress", NONE)
            assert run(two).actions == ()
            two.close()
        assert one.slot("egress") == held
        assert held is not None
        one.close()

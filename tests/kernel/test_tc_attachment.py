# SPDX-License-Identifier: GPL-3.0-or-later
"""tc_attachment on real filters, looked at by tc."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel import tc
from tests.kernel.node_state import MAIN_SLOT, Node
from tests.kernel.own_network import (
    WORKLOADS,
    both,
    everything,
    forgotten_arrays,
    places,
    run,
    shown,
    tcx,
)
from tests.kernel.private import private_network

ONE, TWO = WORKLOADS


@pytest.fixture
def node(pins: Path) -> Iterator[Node]:
    """Two workloads with all programs, and nothing wrong."""
    pytest.importorskip("pyroute2")
    with private_network():
        made = Node(pins, WORKLOADS)
        made.attach_all()
        yield made
        made.close()


def attach(node: Node, hook: str, *where: tuple[int, int], name: str = ONE) -> None:
    """Filters at these places in place of the one that is there."""
    next(one for one in node.workloads if one.name == name).unhook(hook)
    for preference, handle in where:
        node.attach(name, hook, preference, handle)


def test_a_healthy_node_is_left_alone(node: Node) -> None:
    before = everything()
    done = run(node)
    assert (done.actions, done.findings, done.warnings) == ((), (), ())
    assert everything() == before
    assert [one["name"] for one in done.facts["interfaces"]] == list(WORKLOADS)


@pytest.mark.parametrize(
    ("ingress", "egress", "wanted"),
    [
        ((49152, 1), (49152, 2), (49152, 1)),
        ((49152, 2), (49152, 1), (49152, 1)),
        ((49150, 1), (49152, 1), (49152, 1)),
        ((49152, 2), (49151, 1), (49152, 1)),
        ((49151, 2), (49150, 2), (49152, 1)),
        ((32768, 1), (32768, 1), (49152, 1)),
        ((40959, 1), (40959, 1), (49152, 1)),
        ((40960, 1), (40960, 1), (40960, 1)),
        ((49152, 2), (49152, 2), (49152, 2)),
    ],
)
def test_pairs(
    node: Node, ingress: tuple[int, int], egress: tuple[int, int], wanted: tuple[int, int]
) -> None:
    attach(node, "ingress", ingress)
    attach(node, "egress", egress)
    programs = {hook: shown(ONE, hook)[0].program for hook in ("ingress", "egress")}
    other = shown(TWO, "ingress") + shown(TWO, "egress")
    before = everything()
    planned = run(node, check=True)
    assert everything() == before
    done = run(node)
    assert done == planned
    assert places(ONE) == both(*wanted)
    for hook, program in programs.items():
        (left,) = shown(ONE, hook)
        was = ingress if hook == "ingress" else egress
        suffix = "*fsobj" if was == wanted else program
        assert (left.program, left.name) == (program, f"cali_tc_preambl:[{suffix}]")
    assert shown(TWO, "ingress") + shown(TWO, "egress") == other
    moves = sum(place != wanted for place in (ingress, egress))
    assert len(done.actions) == moves
    assert run(node).actions == ()


def test_the_lowest_preference_is_an_option(node: Node) -> None:
    for hook in ("ingress", "egress"):
        attach(node, hook, (49151, 1))
    assert run(node).actions == ()
    assert len(run(node, lowest_preference=49152).actions) == 2
    assert places(ONE) == both(49152, 1)


@pytest.mark.parametrize(
    ("live", "stale"),
    [
        ((49152, 1), (49151, 1)),
        ((49151, 1), (49152, 1)),
        ((49152, 1), (49152, 2)),
        ((49152, 2), (49152, 1)),
        ((49150, 1), (49151, 1)),
    ],
)
@pytest.mark.parametrize("order", ["live first", "stale first"])
def test_the_filter_with_the_pinned_arrays_stays(
    node: Node, live: tuple[int, int], stale: tuple[int, int], order: str
) -> None:
    attach(node, "egress")
    if order == "live first":
        node.attach(ONE, "egress", *live)
    with forgotten_arrays(node):
        node.attach(ONE, "egress", *stale)
    if order == "stale first":
        node.attach(ONE, "egress", *live)
    (program,) = [one.program for one in shown(ONE, "egress") if one[:2] == live]
    done = run(node)
    assert "TC_DUPLICATE" in [one["code"] for one in done.findings]
    (left,) = shown(ONE, "egress")
    assert left.program == program
    assert places(ONE) == both(49152, 1)
    assert run(node).actions == ()


def test_of_filters_with_the_same_arrays_the_one_loaded_last_stays(node: Node) -> None:
    node.attach(ONE, "ingress", 49151, 1)
    first, second = sorted(one.program for one in shown(ONE, "ingress"))
    run(node)
    assert [one.program for one in shown(ONE, "ingress")] == [second]
    assert first != second


def test_without_pinned_arrays_nobody_can_tell(node: Node) -> None:
    node.attach(ONE, "ingress", 49151, 1)
    for name in ("cali_jump3", "cali_progs3"):
        (node.globals / name).unlink()
    before = everything()
    done = run(node)
    assert done.actions == ()
    assert "no pinned program array tells" in " ".join(done.warnings)
    assert everything() == before


def test_a_filter_whose_main_program_is_gone_is_the_stale_one(node: Node) -> None:
    (good,) = shown(ONE, "ingress")
    node.attach(ONE, "ingress", 49151, 1, main=MAIN_SLOT + 1)
    run(node)
    assert shown(ONE, "ingress") == [good]


def test_foreign_filters_keep_place_and_order(node: Node) -> None:
    attach(node, "ingress", (49150, 1))
    node.attach_foreign(ONE, "ingress", pref=49151)
    node.attach_foreign(ONE, "egress", pref=10)
    order = [one.name for one in shown(ONE, "ingress")]
    foreign = [shown(ONE, "ingress")[1], shown(ONE, "egress")[0]]
    done = run(node)
    assert places(ONE) == both(49150, 1)
    assert [one.name for one in shown(ONE, "ingress")] == order
    assert [shown(ONE, "ingress")[1], shown(ONE, "egress")[0]] == foreign
    assert len(done.actions) == 1
    assert run(node).actions == ()


def test_filters_that_are_no_bpf_filters_count(node: Node) -> None:
    attach(node, "ingress", (49150, 1))
    command = ["tc", "filter", "add", "dev", ONE, "ingress", "pref", "49152", "protocol", "all"]
    added = subprocess.run([*command, "u32", "match", "u32", "0", "0"], check=False)
    if added.returncode:
        pytest.skip("this kernel has no classifier u32")
    run(node)
    assert places(ONE) == both(49151, 1)


def test_no_common_preference(node: Node) -> None:
    attach(node, "ingress", (49150, 1))
    node.attach_foreign(ONE, "ingress", pref=49151)
    node.attach_foreign(ONE, "egress", pref=49151)
    before = everything()
    done = run(node)
    assert done.actions == ()
    assert "so they stay unequal" in " ".join(done.warnings)
    assert everything() == before


def test_unknown_constants_are_left_alone(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    attach(node, "egress")
    monkeypatch.setattr("tests.kernel.node_state.constants", lambda *args: bytes(560))
    node.attach(ONE, "egress", 49152, 2)
    before = everything()
    done = run(node)
    assert done.actions == ()
    (warning,) = done.warnings
    assert warning.startswith(f"{ONE} egress: cali_tc_preambl:[")
    assert everything() == before


def test_a_filter_beside_tcx_is_stale(node: Node) -> None:
    tcx(node, "ingress")
    attach(node, "egress")
    tcx(node, "egress")
    done = run(node)
    assert places(ONE) == {"ingress": [], "egress": []}
    assert places(TWO) == both(49152, 1)
    (action,) = done.actions
    assert action.startswith("Remove the stale program")
    assert run(node).actions == ()


@pytest.mark.parametrize("gone", ["hook", "clsact"])
def test_what_is_missing_is_reported(node: Node, gone: str) -> None:
    if gone == "hook":
        attach(node, "egress")
    else:
        subprocess.run(["tc", "qdisc", "del", "dev", ONE, "clsact"], check=True)
    before = everything()
    done = run(node)
    assert done.actions == ()
    assert [(one["code"], one["object"]) for one in done.findings] == [("TC_MISSING", ONE)]
    assert everything() == before


@pytest.mark.parametrize("gone", ["hook", "clsact"])
def test_a_program_that_is_still_loaded_is_attached_again(node: Node, gone: str) -> None:
    policies = {"ingress": 7, "egress": 9}  # a policy's ingress is the hook egress
    held = {hook: node.preamble(ONE, policy=slot) for hook, slot in policies.items()}
    with forgotten_arrays(node):
        strangers = [node.preamble(ONE, policy=slot) for slot in (7, 9)]
    strangers.append(node.preamble(ONE, policy=11))
    node.state_entry(ONE, ingress_policy=9, egress_policy=7)
    if gone == "hook":
        attach(node, "egress")
    else:
        subprocess.run(["tc", "qdisc", "del", "dev", ONE, "clsact"], check=True)
    done = run(node)
    assert len(done.actions) == (1 if gone == "hook" else 2)
    assert places(ONE) == both(49152, 1)
    (left,) = shown(ONE, "egress")
    assert left.program == node.program_id(held["egress"])
    for fd in (*held.values(), *strangers):
        os.close(fd)
    assert run(node).actions == ()


def test_felix_adds_the_qdisc_first(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    held = node.preamble(ONE, policy=9)
    node.state_entry(ONE, ingress_policy=9, egress_policy=7)
    subprocess.run(["tc", "qdisc", "del", "dev", ONE, "clsact"], check=True)
    original = tc.Editor.add_clsact

    def late(self: tc.Editor, ifindex: int) -> None:
        node.workloads[0].clsact()
        original(self, ifindex)

    monkeypatch.setattr(tc.Editor, "add_clsact", late)
    assert len(run(node).actions) == 1
    assert places(ONE) == {"ingress": [], "egress": [(49152, 1)]}
    os.close(held)


def test_the_state_of_another_interface_proves_nothing(node: Node) -> None:
    held = node.preamble(ONE, policy=9)
    node.state_entry(ONE, called="calibefore", ingress_policy=9, egress_policy=7)
    attach(node, "egress")
    assert run(node).actions == ()
    os.close(held)

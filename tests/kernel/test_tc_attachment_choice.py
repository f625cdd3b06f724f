# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces tc_attachment works on, what it refuses, and how it takes programs off."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.node_state import Node
from tests.kernel.own_network import (
    WORKLOADS,
    both,
    everything,
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


def test_a_host_interface_needs_its_name_and_consent(node: Node) -> None:
    for params in (
        {"interfaces": ["*"]},
        {"interfaces": ["l?"], "allow_host_traffic_loss": True},
        {"interfaces": ["lo"]},
    ):
        with pytest.raises(errors.RefusedError, match=r"interfaces: .*lo.*allow_host_traffic_loss"):
            run(node, **params)
    assert run(node, interfaces=["lo"], allow_host_traffic_loss=True).actions == ()


def test_what_felix_says_of_an_interface_counts(node: Node) -> None:
    node.state_entry(ONE, flags=0x8)
    with pytest.raises(errors.RefusedError, match=f"interfaces: {ONE} is not of workloads"):
        run(node)
    node.state_entry(ONE, flags=0x7)
    assert run(node).actions == ()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"state": "absent"}, "interfaces: needed with state=absent"),
        ({"interfaces": []}, "interfaces: .* has to name interfaces"),
        ({"interfaces": ["cali1", ""]}, "interfaces: .* has to name interfaces"),
        ({"lowest_preference": 32768}, "lowest_preference: 32768 is not a whole number"),
        ({"lowest_preference": 49153}, "lowest_preference: 49153 is not a whole number"),
        ({"pin_dir": "x"}, "pin_dir: 'x' is relative"),
        ({"calico_version": "new"}, "calico_version: 'new'"),
    ],
)
def test_bad_input(node: Node, params: dict[str, Any], message: str) -> None:
    before = everything()
    with pytest.raises(errors.BpfopsError, match=message):
        run(node, **params)
    assert everything() == before


def test_a_name_that_is_not_there_is_a_warning(node: Node) -> None:
    assert run(node, interfaces=[ONE, "calinone"]).warnings == ("calinone is not on this node.",)


def test_absent(node: Node) -> None:
    node.attach_foreign(TWO, "ingress", pref=10)
    before = everything()
    planned = run(node, check=True, state="absent", interfaces=["cali?"])
    assert everything() == before
    done = run(node, state="absent", interfaces=["cali?"])
    assert done == planned
    assert len(done.actions) == 3
    qdiscs = subprocess.check_output(["tc", "qdisc", "show"], text=True)
    assert f"clsact ffff: dev {ONE}" not in qdiscs
    assert f"clsact ffff: dev {TWO}" in qdiscs
    assert [len(shown(TWO, hook)) for hook in ("ingress", "egress")] == [1, 0]
    assert run(node, state="absent", interfaces=["cali?"]).actions == ()


def test_absent_takes_tcx_links_and_their_pins(node: Node) -> None:
    tcx(node, "ingress")
    run(node, state="absent", interfaces=[ONE])
    assert not list((node.root / "tcx").iterdir())
    assert places(ONE) == {"ingress": [], "egress": []}
    assert places(TWO) == both(49152, 1)


def test_pins_of_links_that_are_attached_to_nothing_go(node: Node) -> None:
    tcx(node, "ingress")
    tcx(node, "egress")
    node.workloads[0].remove()
    pinned = node.root / "tcx"
    assert run(node, interfaces=[TWO]).actions == ()
    assert len(list(pinned.iterdir())) == 2
    done = run(node, check=True)
    assert [one.partition(",")[0] for one in done.actions] == [
        f"Unpin {pinned}/{ONE}_egress",
        f"Unpin {pinned}/{ONE}_ingress",
    ]
    assert len(list(pinned.iterdir())) == 2
    assert run(node).actions == done.actions
    assert not list(pinned.iterdir())

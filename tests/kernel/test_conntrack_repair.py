# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map repairs what Calico and killed runs leave behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.conntrack_node import SECOND, CtNode, key, now, value
from tests.kernel.node_state import PROG_ARRAY, named_map, program
from tests.kernel.support import shown
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


def test_an_old_pin_of_felix_is_merged_and_removed(node: CtNode) -> None:
    """The dual-stack defect of 3.28 to 3.30: the live map has entries, and so has _old."""
    live = node.table("cali_v4_ct3", 1000)
    old = node.table("cali_v4_ct3", 500, pinned_as="cali_v4_ct3_old")
    rawbpf.put(live, key(1), value(word=1))
    rawbpf.put(old, key(1), value(now() - SECOND, word=2))
    rawbpf.put(old, key(2), value(now() - SECOND, word=3))
    result = node.run(state="settled", calico_version=V3_29)
    assert [one["code"] for one in result.findings] == ["CT_OLD_PIN"]
    assert node.words("cali_v4_ct3") == {key(1): 1, key(2): 3}
    assert (node.pins(), shown(node.path("cali_v4_ct3"))["max_entries"]) == (["cali_v4_ct3"], 1000)


def test_an_old_pin_alone_is_put_back(node: CtNode) -> None:
    """felix was killed between its two steps."""
    old = node.table("cali_v4_ct3", 500, pinned_as="cali_v4_ct3_old")
    rawbpf.put(old, key(2), value(word=3))
    node.run(state="settled", calico_version=V3_29)
    assert node.pins() == ["cali_v4_ct3"]
    assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(old)
    assert node.run(state="settled", calico_version=V3_29).actions == ()


def test_an_old_pin_that_does_not_fit_is_refused(node: CtNode) -> None:
    live = node.table("cali_v4_ct3", 100)
    old = node.table("cali_v4_ct3", 500, pinned_as="cali_v4_ct3_old")
    for number in range(60):
        rawbpf.put(live, key(number), value())
        rawbpf.put(old, key(number + 1000), value())
    with pytest.raises(errors.RefusedError, match="takes 100, and has to hold 120") as raised:
        node.run(state="settled", calico_version=V3_29)
    assert raised.value.code == "CT_SHRINK"
    assert (len(node.dump("cali_v4_ct3")), node.pins()) == (60, ["cali_v4_ct3", "cali_v4_ct3_old"])


def test_maps_that_programs_use_without_a_pin(node: CtNode) -> None:
    """Defect 5.7: three maps in use. All entries come to the one at the pin."""
    live = node.table("cali_v4_ct4", 1000)
    strays = [node.unpinned("cali_v4_ct4", 1000) for _ in range(2)]
    foreign = node.unpinned("cali_v4_ct4", 1000)  # of a program that uses no pinned map of ours
    node.use(live)
    users = [node.use(stray) for stray in strays]
    other = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.using(foreign, 0), "other_node")
    for number, fd in enumerate((live, *strays, foreign)):
        rawbpf.put(fd, key(number), value(word=number))
    sized = node.run(calico_version=V3_31)
    assert [one["code"] for one in sized.findings] == ["CT_SPLIT", "CT_SPLIT"]
    kept = [f"old_cali_v4_ct4_{rawbpf.map_id(fd)}" for fd in strays]
    assert node.own_pins() == sorted(kept)
    assert node.words("cali_v4_ct4") == {key(0): 0, key(1): 1, key(2): 2}
    assert node.run(calico_version=V3_31).actions == ()
    rawbpf.put(strays[0], key(9), value(word=9))
    for user in users:
        node.end(user)
    node.run(state="settled", calico_version=V3_31, timeout=0.0)
    assert node.words("cali_v4_ct4") == {key(0): 0, key(1): 1, key(2): 2, key(9): 9}
    assert node.own_pins() == []
    os.close(other)


def test_programs_in_arrays_of_this_node_and_of_another(node: CtNode) -> None:
    """A program that runs by a tail call may refer to no other map that is pinned."""
    node.table("cali_v4_ct4", 1000)
    stray, foreign = (node.unpinned("cali_v4_ct4", 1000) for _ in range(2))
    pinned = node.pin("cali_progs3", PROG_ARRAY, 0, 4, 4, 400)
    other = node.hold(named_map("cali_progs3", PROG_ARRAY, 4, 4, 400))
    for array, table in ((pinned, stray), (other, foreign)):
        called = node.hold(program(rawbpf.SCHED_CLS, "calico_tc_main", [table]))
        rawbpf.put(array, bytes(4), called.to_bytes(4, "little"))
        node.hold(program(rawbpf.SCHED_CLS, "cali_tc_preambl", [array]))
    sized = node.run(calico_version=V3_31)
    assert [one["object"] for one in sized.findings] == [f"map id {rawbpf.map_id(stray)}"]
    assert node.own_pins() == [f"old_cali_v4_ct4_{rawbpf.map_id(stray)}"]


def test_stuck_on_a_parameter_mismatch(node: CtNode) -> None:
    """3.27: programs stay on a map without a pin, and the pin has a size that nothing loads."""
    live, stray = node.table("cali_v4_ct3", 1000), node.unpinned("cali_v4_ct3", 512000)
    user = node.use(stray)
    rawbpf.put(live, key(1), value(word=1))
    rawbpf.put(stray, key(2), value(word=2))
    node.run(calico_version="3.27.5", max_entries=512000)
    assert shown(node.path("cali_v4_ct3"))["max_entries"] == 512000
    assert node.words("cali_v4_ct3") == {key(1): 1, key(2): 2}
    rawbpf.put(stray, key(3), value(word=3))
    node.end(user)
    node.run(state="settled", calico_version="3.27.5")
    assert node.words("cali_v4_ct3") == {key(1): 1, key(2): 2, key(3): 3}
    assert (node.own_pins(), node.pins()) == ([], ["cali_v4_ct3"])


def test_what_an_interrupted_run_left_is_removed(node: CtNode) -> None:
    node.table("cali_v4_ct3", 1000)
    node.own.mkdir()
    rawbpf.pin(rawbpf.create_map(2, 4, 16, 1), str(node.own / "note_old_cali_v4_ct3"))
    live = node.open(node.path("cali_v4_ct3"))
    rawbpf.pin(live, str(node.own / "old_cali_v4_ct3"))
    assert len(node.run(state="settled", calico_version=V3_29).actions) == 1
    assert (node.own_pins(), node.pins()) == ([], ["cali_v4_ct3"])
    rawbpf.pin(rawbpf.create_map(2, 4, 16, 1), str(node.own / "note_old_cali_v4_ct3"))
    node.run(state="settled", calico_version=V3_29)
    assert node.own_pins() == []

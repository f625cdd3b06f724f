# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map, state sized, while others write, after it was killed, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import conntrack_map
from tests.kernel.conntrack_node import SECOND, UDP, CtNode, fill, key, now, value
from tests.kernel.support import shown
from tests.observe import rawbpf

V3_29, V3_30, V3_31 = "3.29.7", "3.30.7", "3.31.7"


@pytest.fixture
def node(pins: Path) -> Iterator[CtNode]:
    made = CtNode(pins)
    yield made
    made.close()


def test_a_table_that_fills_up_while_it_is_copied_stays_as_it_is(
    node: CtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = node.table("cali_v4_ct3", 1000)
    fill(old, 300)
    copy = conntrack_map.copy_entries

    def copy_and_add(*args: Any) -> int:
        copied = copy(*args)
        for number in range(300, 500):
            rawbpf.put(old, key(number, UDP), value(seen=now()))
        return copied

    monkeypatch.setattr(conntrack_map, "copy_entries", copy_and_add)
    with pytest.raises(errors.SyscallError, match="E2BIG"):
        node.run(calico_version=V3_29, max_entries=400)
    assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(old)
    assert (len(node.dump("cali_v4_ct3")), node.own_pins(), node.pins()) == (
        500,
        [],
        ["cali_v4_ct3"],
    )


def test_what_reaches_the_old_map_up_to_the_swap_is_carried_over(
    node: CtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = node.table("cali_v4_ct3", 1000)
    wanted = fill(old, 10)
    converge = conntrack_map.converge

    def converge_and_write(*args: Any) -> Any:
        done = converge(*args)
        wanted[key(50)] = value(word=50)
        rawbpf.put(old, key(50), wanted[key(50)])
        return done

    monkeypatch.setattr(conntrack_map, "converge", converge_and_write)
    node.run(calico_version=V3_29, max_entries=2000)
    assert node.dump("cali_v4_ct3") == wanted


def test_a_run_that_dies_right_after_the_swap_leaves_a_note(
    node: CtNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was deleted before it stays deleted, what came since comes, and first words are 0."""
    old = node.table("cali_v4_ct3", 1000)
    fill(old, 3, seen=now() - 5 * SECOND, first=now())
    params: dict[str, Any] = {"calico_version": V3_30, "running_version": V3_29}

    def die(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(conntrack_map, "finish", die)
        node.run(**params)
    rawbpf.put(old, key(9), value(first=now()))
    rawbpf.delete(node.open(node.path("cali_v4_ct3")), key(1))
    rawbpf.delete(old, key(2))
    assert node.run(**params).actions == ()
    node.run(calico_version=V3_30, state="settled")
    found = node.dump("cali_v4_ct3")
    assert set(found) == {key(0), key(9)}
    assert {raw[:8] for raw in found.values()} == {bytes(8)}


def test_back_to_the_old_size_before_it_was_settled(node: CtNode) -> None:
    """A roll-back: programs go on with the map that they have never left."""
    old = node.table("cali_v4_ct3", 1000)
    wanted = fill(old, 100, seen=now() - SECOND)
    node.use(old)
    node.run(calico_version=V3_29, max_entries=2000)
    new = node.open(node.path("cali_v4_ct3"))
    rawbpf.put(new, key(1), value(word=77))
    rawbpf.put(new, key(900), value(word=78))
    result = node.run(calico_version=V3_29, max_entries=1000)
    assert result.actions[0].startswith("Put map id")
    assert shown(node.path("cali_v4_ct3"))["id"] == rawbpf.map_id(old)
    assert shown(node.own / "old_cali_v4_ct3")["id"] == rawbpf.map_id(new)
    found = node.dump("cali_v4_ct3")
    assert set(found) == {*wanted, key(900)}
    assert found[key(1)][36] == 77
    assert node.run(calico_version=V3_29, max_entries=1000).actions == ()


def test_a_second_size_before_the_first_was_settled_is_refused(node: CtNode) -> None:
    fill(node.table("cali_v4_ct3", 1000), 10)
    node.run(calico_version=V3_29, max_entries=2000)
    with pytest.raises(errors.RefusedError, match="of an earlier resize; run this module with"):
        node.run(calico_version=V3_29, max_entries=3000)

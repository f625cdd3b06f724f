# SPDX-License-Identifier: GPL-3.0-or-later
"""conntrack_map killed before any of its steps: no entry is lost, and the next run finishes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._execute import (
    conntrack_map,
    conntrack_settle,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import maps, objects
from tests.kernel.conntrack_node import MAPS, SECOND, CtNode, key, now, value
from tests.kernel.support import die_before
from tests.observe import rawbpf

STEPS = (
    (maps.Map, "create"),
    (maps.Map, "update"),
    (conntrack_map, "copy_entries"),
    (conntrack_map, "converge"),
    (conntrack_map, "finish"),
    (conntrack_map, "carry_alive"),
    (conntrack_settle, "carry_alive"),
    (objects.BpfObject, "pin"),
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
)
MOST_STEPS = 60
V3_29, V3_31 = "3.29.7", "3.31.7"
LIVE = range(50)


class Case(NamedTuple):
    """A node to begin with, the task, and what has to be there after it.

    ``kept`` are the entries that some map has to have at any time, ``steps`` the fewest steps.
    """

    prepare: Callable[[CtNode], None]
    task: dict[str, Any]
    entries: set[int]
    table: str
    pins: list[str]
    own: bool
    steps: int
    kept: frozenset[int] = frozenset(LIVE)


def fill(fd: int, numbers: Any, name: str = "cali_v4_ct3") -> None:
    for number in numbers:
        rawbpf.put(fd, key(number), value(now() - 2 * SECOND, word=number, size=MAPS[name][3]))


def one_table(node: CtNode) -> None:
    fill(node.table("cali_v4_ct3", 1000), LIVE)


def not_settled(node: CtNode) -> None:
    """Resized; programs have written both maps since, and one entry was deleted."""
    old = node.table("cali_v4_ct3", 1000)
    for number in LIVE:
        rawbpf.put(old, key(number), value(now() - 30 * SECOND, word=number))
    node.run(calico_version=V3_29, max_entries=2000)
    rawbpf.put(old, key(100), value(word=100))
    new = node.open(node.path("cali_v4_ct3"))
    rawbpf.put(new, key(101), value(word=101))
    rawbpf.delete(new, key(0))


def left_by_felix(node: CtNode) -> None:
    fill(node.table("cali_v4_ct3", 1000), LIVE)
    fill(node.table("cali_v4_ct3", 1000, pinned_as="cali_v4_ct3_old"), range(45, 70))


def split(node: CtNode) -> None:
    fill(node.table("cali_v4_ct4", 1000), LIVE)
    stray = node.unpinned("cali_v4_ct4", 1000)
    fill(stray, range(45, 70))
    node.use(stray)


def legacy(node: CtNode) -> None:
    fill(node.table("cali_v4_ct2", 1000), LIVE, "cali_v4_ct2")


def with_file(node: CtNode) -> None:
    node.autoscale.write_text("4000", "ascii")
    fill(node.table("cali_v4_ct4", 4000), LIVE)


ALL = set(LIVE)
CASES = {
    "size": Case(
        one_table,
        {"calico_version": V3_29, "max_entries": 2000},
        ALL,
        "cali_v4_ct3",
        ["cali_v4_ct3"],
        True,
        9,
    ),
    "carry": Case(
        one_table,
        {"calico_version": V3_31, "running_version": V3_29},
        ALL,
        "cali_v4_ct4",
        ["cali_v4_ct3", "cali_v4_ct4"],
        True,
        9,
    ),
    "ct2": Case(
        legacy,
        {"calico_version": V3_29},
        ALL,
        "cali_v4_ct3",
        ["cali_v4_ct2", "cali_v4_ct3"],
        True,
        9,
    ),
    "roll-back": Case(
        not_settled,
        {"calico_version": V3_29, "max_entries": 1000},
        {*ALL, 100, 101},
        "cali_v4_ct3",
        ["cali_v4_ct3"],
        True,
        9,
        frozenset(ALL - {0}),
    ),
    "settle": Case(
        not_settled,
        {"calico_version": V3_29, "state": "settled"},
        {*ALL, 100, 101} - {0},
        "cali_v4_ct3",
        ["cali_v4_ct3"],
        False,
        2,
        frozenset(ALL - {0}),
    ),
    "old pin": Case(
        left_by_felix,
        {"calico_version": V3_29, "state": "settled"},
        set(range(70)),
        "cali_v4_ct3",
        ["cali_v4_ct3"],
        False,
        2,
        frozenset(ALL - {0}),
    ),
    "split": Case(
        split, {"calico_version": V3_31}, set(range(70)), "cali_v4_ct4", ["cali_v4_ct4"], True, 2
    ),
    "file": Case(
        with_file,
        {"calico_version": V3_31, "max_entries": 2000, "autoscale_file": "lower"},
        ALL,
        "cali_v4_ct4",
        ["cali_v4_ct4"],
        True,
        9,
    ),
}


def numbers(node: CtNode, table: str) -> set[int]:
    return {int.from_bytes(name[4:8], "little") for name in node.dump(table)}


def killed_at(number: int, node: CtNode, task: dict[str, Any]) -> bool:
    """Run in a child that dies before a step; False when it had no such step and finished."""
    child = os.fork()
    if child == 0:
        die_before(number, STEPS)
        node.run(**task)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return os.waitstatus_to_exitcode(status) == 9


def complete(node: CtNode, case: Case) -> bool:
    """Whether a map that felix would take has what the node had before."""
    tables = [name for name in node.pins() if name in ("cali_v4_ct3", "cali_v4_ct4")]
    return not tables or any(case.kept <= numbers(node, name) for name in tables)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_killed_before_any_step(pins: Path, case: Case) -> None:
    for number in range(MOST_STEPS):
        node = CtNode(pins / f"step{number}")
        case.prepare(node)
        died = killed_at(number, node, case.task)
        assert complete(node, case)
        node.run(**case.task)
        assert case.entries == numbers(node, case.table)
        assert (node.pins(), bool(node.own_pins())) == (case.pins, case.own)
        assert not [name for name in node.own_pins() if name.startswith("bpfops")]
        assert node.run(**case.task).actions == ()
        node.close()
        if not died:
            break
    assert case.steps <= number < MOST_STEPS

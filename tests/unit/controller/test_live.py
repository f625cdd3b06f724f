# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view: what it shows of a run, on a terminal and elsewhere."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.plugin_utils._rolling.board import (
    WIDTH,
    Board,
    clock,
    printable,
)
from ansible_collections.bpfops.calico.plugins.plugin_utils._rolling.screen import Screen


def test_a_line_tells_node_task_and_wait() -> None:
    board = Board()
    board.start("node1", "Restart felix", 100)
    board.start("node2", "Look", 110)
    assert board.lines(115) == ["   0:15  node1  Restart felix", "   0:05  node2  Look"]
    board.start("node1", "Wait until felix is healthy", 120)
    board.wait("node1", 3, 60)
    assert board.line("node1", 200) == (
        "   1:40  node1  Wait until felix is healthy  asked 3 of 60 times, 1:20"
    )
    board.start("node1", "Look", 201)
    assert board.line("node1", 201) == "   1:41  node1  Look"


def test_nodes_of_another_batch_begin_anew() -> None:
    board = Board()
    board.start("node1", "Look", 1)
    board.clear()
    assert board.lines(2) == []
    board.wait("node1", 1, 2)
    board.start("node1", "Look", 5)
    assert board.lines(6) == ["   0:01  node1  Look"]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3661, "1:01:01")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_names_do_not_move_the_cursor() -> None:
    board = Board()
    board.start("a\x1b[2Jb", "x\r\ny\u202ez" + "w" * 200, 0)
    (line,) = board.lines(0)
    assert line.isprintable()
    assert len(line) == WIDTH
    assert printable("a\tb\x07") == "a b "


def test_a_terminal_is_drawn_again_below_what_stays() -> None:
    said: list[str] = []
    screen = Screen(said.append, True)
    screen.draw(["one", "two"])
    screen.draw(["one"])
    screen.keep("failed")
    screen.draw(["two"])
    screen.draw([])
    back = "\x1b[{}A\r\x1b[J".format
    assert said == ["one\ntwo\n", back(2) + "one\n", back(1) + "failed\n", "two\n", back(1)]


def test_a_stream_has_only_what_stays() -> None:
    said: list[str] = []
    screen = Screen(said.append, False)
    screen.draw(["one"])
    screen.keep("two")
    assert said == ["two\n"]

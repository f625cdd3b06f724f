# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the callback live."""

from __future__ import annotations

DOCUMENTATION = r"""
name: live
type: notification
short_description: Show which node does what, for how long, and what it waits for
version_added: 0.1.0
description:
  - Shows a line for each node that is at work, on standard error. How long it has been at work, its
    name, what it does, and, while it waits, how often it has asked and for how long.
  - On a terminal the lines are drawn again in place, when standard output goes somewhere else, such
    as C(ansible-playbook ... >run.log). Otherwise there is a line for each task, and while a node
    waits for every tenth time that it asks.
  - Tasks that only compute or include something are left out. What has failed stays.
requirements:
  - Enable it by C(callbacks_enabled = bpfops.calico.live) in C(ansible.cfg), or by
    C(ANSIBLE_CALLBACKS_ENABLED=bpfops.calico.live) in the environment.
author:
  - The bpfops maintainers (@bpfops)
"""

import sys
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

from ..plugin_utils._rolling.board import Board, printable
from ..plugin_utils._rolling.screen import Screen

QUIET = frozenset(
    (
        "assert",
        "debug",
        "include_role",
        "include_tasks",
        "meta",
        "set_fact",
        "validate_argument_spec",
    )
)
"""Actions that take no time."""

EACH = 10
"""Of so many times that a node asks, one is shown where lines stay."""


class CallbackModule(CallbackBase):
    """What Ansible looks for."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "bpfops.calico.live"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._board = Board()
        self._screen = Screen(_write, sys.stderr.isatty() and not sys.stdout.isatty())

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Another batch of nodes."""
        self._board.clear()
        self._screen.draw([])

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A node begins a task."""
        if task.action.rpartition(".")[2] not in QUIET:
            self._board.start(host.get_name(), task.get_name(), time.monotonic())
            self._show(host.get_name(), True)

    def v2_runner_retry(self, result: Any) -> None:
        """A node waits for something."""
        node, said = _part(result, "host").get_name(), _part(result, "result")
        attempt = int(said.get("attempts") or 0)
        self._board.wait(node, attempt, int(said.get("retries") or 0))
        self._show(node, attempt % EACH == 1)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A node has failed."""
        self._fail(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A node does not answer."""
        self._fail(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The end."""
        self._board.clear()
        self._screen.draw([])

    def _fail(self, result: Any, word: str) -> None:
        said = printable(str(_part(result, "result").get("msg") or ""))
        self._screen.keep(f"{word}: {printable(_part(result, 'host').get_name())}  {said}")
        self._screen.draw(self._board.lines(time.monotonic()))

    def _show(self, node: str, stays: bool) -> None:
        now = time.monotonic()
        if self._screen.terminal:
            self._screen.draw(self._board.lines(now))
        elif stays and node in self._board.lanes:
            self._screen.keep(self._board.line(node, now))


def _part(result: Any, name: str) -> Any:
    """ansible-core before 2.19 has these parts of a result with an underscore only."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, f"_{name}")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a live view is shown: a terminal, whose lines are drawn again, or a plain stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_UP = "\x1b[{}A"
_CLEAR = "\x1b[J"


class Screen:
    """Shows lines. On a terminal those that move stay below those that do not."""

    def __init__(self, write: Callable[[str], object], terminal: bool) -> None:
        self._write = write
        self.terminal = terminal
        self._drawn = 0

    def keep(self, line: str) -> None:
        """A line that stays."""
        self._write(f"{self._back()}{line}\n")
        self._drawn = 0

    def draw(self, lines: Sequence[str]) -> None:
        """Lines in the place of those that were drawn last; nothing where that cannot be."""
        if self.terminal:
            self._write(self._back() + "".join(f"{line}\n" for line in lines))
            self._drawn = len(lines)

    def _back(self) -> str:
        return _UP.format(self._drawn) + "\r" + _CLEAR if self._drawn else ""

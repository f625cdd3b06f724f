# SPDX-License-Identifier: GPL-3.0-or-later
"""What is going on where in a run, for people who look at it."""

from __future__ import annotations

from dataclasses import dataclass, field

WIDTH = 120


@dataclass
class Lane:
    """One node: since when it is at work, what it does, and since when that."""

    began: float
    doing: str
    since: float
    waits: str = ""


@dataclass
class Board:
    """All nodes that are at work; times are seconds of any clock that only goes forward."""

    lanes: dict[str, Lane] = field(default_factory=dict)

    def start(self, node: str, task: str, now: float) -> None:
        """A node begins a task."""
        lane = self.lanes.get(node)
        self.lanes[node] = Lane(lane.began if lane else now, printable(task), now)

    def wait(self, node: str, attempt: int, attempts: int) -> None:
        """What the node waits for is not so yet."""
        if node in self.lanes:
            self.lanes[node].waits = f"asked {attempt} of {attempts} times"

    def clear(self) -> None:
        """Nobody is at work."""
        self.lanes.clear()

    def line(self, node: str, now: float) -> str:
        """What one of the nodes does."""
        lane = self.lanes[node]
        parts = [clock(now - lane.began).rjust(7), printable(node), lane.doing]
        parts += [f"{lane.waits}, {clock(now - lane.since)}"] if lane.waits else []
        return "  ".join(parts)[:WIDTH]

    def lines(self, now: float) -> list[str]:
        """A line for each node, in the order in which they began."""
        return [self.line(node, now) for node in self.lanes]


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, with hours when there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def printable(text: str) -> str:
    """The text in one line, without anything that moves a terminal's cursor."""
    return "".join(one if one.isprintable() else " " for one in " ".join(text.split()))

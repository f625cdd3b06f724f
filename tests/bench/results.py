# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a run has measured, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from tests.bench.audits import Audits
from tests.bench.copies import Samples
from tests.bench.lateness import Delays, Distribution
from tests.bench.passes import Case, PassSamples
from tests.bench.plays import Seconds
from tests.bench.resizes import Missed
from tests.bench.scale import Scale


@dataclass
class Results:
    """What was measured so far; ``failed`` says why a part is missing or incomplete."""

    scale: Scale
    copies: Samples = field(default_factory=dict)
    passes: PassSamples = field(default_factory=lambda: PassSamples({}, []))
    delays: Delays = field(default_factory=lambda: Delays({}, {}))
    plays: Seconds = field(default_factory=dict)
    audits: Audits = field(default_factory=dict)
    switches: list[Missed] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def seconds(self, way: str, entries: int) -> float | None:
        """Median of the runs of a way to copy."""
        return middle(run.seconds for run in self.copies.get((way, entries), []))

    def peak_mib(self, way: str, entries: int) -> float | None:
        """Greatest peak memory of the runs of a way to copy."""
        return max((run.peak_mib for run in self.copies.get((way, entries), [])), default=None)

    def spread_mib(self, way: str, sizes: Iterable[int]) -> float | None:
        """How far the peak memory of a way differs between tables of these sizes."""
        peaks = [self.peak_mib(way, entries) for entries in sizes]
        known = [peak for peak in peaks if peak is not None]
        return max(known) - min(known) if len(known) == len(peaks) else None

    def pass_ratio(self, case: Case) -> float | None:
        """Median of a pass to the median of the full C batch copies beside it."""
        whole = middle(run.seconds for run in self.passes.copies)
        return ratio(middle(run.seconds for run in self.passes.passes.get(case, [])), whole)

    def further_task(self, task: str) -> float | None:
        """Seconds that one more task adds to a play."""
        many = self.scale.tasks
        short, long = self.play(task, 1), self.play(task, many)
        return None if short is None or long is None else (long - short) / (many - 1)

    def audit(self, node: str) -> float | None:
        """Median seconds of the audits of a node."""
        return middle(run.seconds for run in self.audits.get(node, []))

    def play(self, task: str, count: int) -> float | None:
        """Median of the plays of so many tasks."""
        return middle(self.plays.get((task, count), []))


def middle(values: Iterable[float]) -> float | None:
    """The median, or None of no values."""
    known = list(values)
    return median(known) if known else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """A quotient, or None where a figure is missing."""
    return None if part is None or not whole else part / whole


def p50(runs: list[Distribution]) -> float | None:
    """Median of the runs' medians in µs."""
    return middle(run.p50_us for run in runs)


def p99(runs: list[Distribution]) -> float | None:
    """Median of the runs' 99th percentiles in µs."""
    return middle(run.p99_us for run in runs)


def worst(runs: list[Distribution]) -> float | None:
    """The greatest delay of all runs in µs."""
    return max((run.worst_us for run in runs), default=None)

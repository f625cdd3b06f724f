# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over two maps that differ little."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import maps
from tests.bench.scale import Scale
from tests.bench.tools import BenchError, Sample, measure, program, say, subject

EVERY = {0: 0, 1: 100, 10: 10}
"""Percent of the entries that changed: every how many-th entry that is."""

TIME_MARGIN = 1_000_000_000
"""ns by which a pass looks back behind the time from which on it knows of no change."""


class Case(NamedTuple):
    """What a pass finds and how it looks for it."""

    percent: int
    by_time: bool = True
    batches: bool = False


class PassSamples(NamedTuple):
    """Runs of the passes, and of the C batch copy of the whole map next to them."""

    passes: dict[Case, list[Sample]]
    copies: list[Sample]


CASES = [
    Case(percent, by_time, batches)
    for by_time in (True, False)
    for batches in (False, True)
    for percent in EVERY
]


def has_map_iterators() -> bool:
    """Whether this kernel can run a program over the entries of a map (5.9, with BTF)."""
    btf = Path("/sys/kernel/btf/vmlinux")
    return btf.exists() and b"\0bpf_iter_bpf_map_elem\0" in btf.read_bytes()


def measure_passes(scale: Scale, found: PassSamples) -> None:
    """Add every case in random order with full C batch copies in between."""
    maps.fill(maps.OLD, scale.pass_entries)
    copy_by_c(scale.pass_entries)
    todo: list[Case | None] = [None, *CASES]
    for case in (case for _ in range(scale.pass_rounds) for case in maps.shuffled(todo)):
        say(f"pass over {scale.pass_entries}: {case or 'full copy by C'}")
        if case is None:
            found.copies.append(copy_by_c(scale.pass_entries))
        else:
            done = _pass(case, scale.pass_entries)
            found.passes.setdefault(case, []).append(done)
    maps.drop(maps.OLD, maps.NEW)


def copy_by_c(entries: int) -> Sample:
    """Fill a new map with the entries of the old one."""
    maps.create(maps.NEW, 2 * entries)
    maps.settle()
    done = measure(program("copymap"), "batch", maps.OLD, maps.NEW)
    maps.require_entries(maps.NEW, entries)
    return done


def change(percent: int) -> int:
    """Change so many percent of the old map; the time since when a pass has to look."""
    time.sleep(1.1 * TIME_MARGIN / 1e9)  # what changed before stays outside the margin
    since = time.monotonic_ns() - TIME_MARGIN
    maps.touch(maps.OLD, EVERY[percent])
    return since


def _pass(case: Case, entries: int) -> Sample:
    since = change(case.percent)
    maps.settle()
    options = ["--since", str(since)] if case.by_time else []
    options += ["--batches"] if case.batches else []
    done = measure(*subject("carry", maps.OLD, maps.NEW, *options))
    expected = -(-entries // EVERY[case.percent]) if case.percent else 0
    if done.entries != expected:
        raise BenchError(f"A pass changed {done.entries} entries where {expected} differ.")
    return done

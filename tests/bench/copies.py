# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to copy a whole map, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tests.bench import maps, resizes
from tests.bench.scale import Scale
from tests.bench.tools import HERE, BenchError, Sample, measure, program, say, subject

Samples: TypeAlias = "dict[tuple[str, int], list[Sample]]"
"""Runs by name of the way and number of entries."""


@dataclass(frozen=True)
class Way:
    """A way to copy a full map of so many entries into one of twice its size."""

    title: str
    run: Callable[[int], Sample]
    ours: bool = False


def measure_copies(scale: Scale, samples: Samples) -> None:
    """Add every way at every size, in random order, each run into a new map."""
    for entries in scale.copies:
        maps.fill(maps.OLD, entries)
        for name in _order(scale, entries):
            say(f"copy of {entries}: {name}")
            samples.setdefault((name, entries), []).append(WAYS[name].run(entries))
            maps.drop(maps.NEW, maps.MOVED)
            resizes.drop()
    maps.drop(maps.OLD)


def _order(scale: Scale, entries: int) -> Iterator[str]:
    for turn in range(scale.copies[entries]):
        with_bpftool = turn < scale.bpftool.get(entries, 0)
        slow = () if with_bpftool else (BPFTOOL, BPFTOOL_PIPE)
        yield from maps.shuffled([name for name in WAYS if name not in slow])


def _into_new(*command: str) -> Callable[[int], Sample]:
    def copy(entries: int) -> Sample:
        maps.create(maps.NEW, 2 * entries)
        maps.settle()
        done = measure(*command)
        maps.require_entries(maps.NEW, entries)
        return done

    return copy


def _migrate(*options: str) -> Callable[[int], Sample]:
    def migrate(entries: int) -> Sample:
        maps.pin_again(maps.OLD, maps.MOVED)
        maps.settle()
        done = measure(*subject("migrate", maps.MOVED, str(2 * entries), *options))
        maps.require_entries(maps.MOVED, entries)
        if maps.max_entries(maps.MOVED) != 2 * entries:
            raise BenchError("bpf_map did not migrate to a map of the size that was asked for.")
        return done

    return migrate


def _resize(entries: int) -> Sample:
    resizes.take(maps.OLD)
    maps.settle()
    return resizes.resize(entries)


def _c(way: str) -> Callable[[int], Sample]:
    return _into_new(program("copymap"), way, maps.OLD, maps.NEW)


BATCH, FELIX, FELIX_KEYS = "c-batch", "c-felix", "c-felix-keys"
BPFTOOL, BPFTOOL_PIPE = "bpftool", "bpftool-pipe"
COPY, COPY_2, MIGRATE, MIGRATE_TIME = "copy", "copy-2", "migrate", "migrate-time"
RESIZE = "resize"

_COPY = subject("copy", maps.OLD, maps.NEW)
_RESTORE = [program("spend"), str(HERE / "dump-and-restore")]

WAYS = {
    BATCH: Way("(a) C, libbpf batch calls of 4096", _c("batch")),
    COPY: Way("ours: the copy, one thread", _into_new(*_COPY), ours=True),
    COPY_2: Way("ours: the copy, two threads", _into_new(*_COPY, "--threads", "2"), ours=True),
    MIGRATE: Way("ours: whole migration by bpf_map", _migrate(), ours=True),
    MIGRATE_TIME: Way(
        "ours: whole migration by bpf_map, timestamp_offset=8", _migrate("--timestamp"), ours=True
    ),
    RESIZE: Way("ours: conntrack_map, sized and then settled with 1 % changed", _resize, ours=True),
    FELIX: Way("(b) C, felix's way: batch reads, keys seen, element updates", _c("felix")),
    FELIX_KEYS: Way("(b) C, the same with next-key and look-up reads", _c("felix-keys")),
    BPFTOOL: Way(
        "(c) bpftool dump to a file, awk, bpftool batch",
        _into_new(*_RESTORE, "files", maps.OLD, maps.NEW),
    ),
    BPFTOOL_PIPE: Way(
        "(c) the same, all three at once in a pipe",
        _into_new(*_RESTORE, "pipe", maps.OLD, maps.NEW),
    ),
}

# SPDX-License-Identifier: GPL-3.0-or-later
"""What others notice of a copy on their CPU: a real-time thread, and packets."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.bench import maps, passes, resizes
from tests.bench.processes import line, started, tell
from tests.bench.scale import Scale
from tests.bench.tools import BenchError, measure, program, say, subject

NOTHING, COPY = "nothing", "copy"
DELTA, COMPARE, PRUNE = "delta", "compare", "prune"
SIZED, SETTLED = "sized", "settled"

TITLES = {
    NOTHING: "nothing running",
    COPY: "the copy, one thread",
    DELTA: "delta passes by time, 1 % changed before the first",
    COMPARE: "passes that compare everything",
    PRUNE: "prune passes",
    SIZED: "conntrack_map, sized",
    SETTLED: "conntrack_map, settled, 1 % changed",
}
PASSES = (DELTA, COMPARE, PRUNE, SIZED, SETTLED)


class Distribution(NamedTuple):
    """Delays of one run in µs."""

    samples: int
    p50_us: float
    p99_us: float
    worst_us: float
    realtime: bool


class Delays(NamedTuple):
    """By load: how late the thread woke up, and the round trips of packets."""

    wakeups: dict[str, list[Distribution]]
    packets: dict[str, list[Distribution]]


def measure_delays(scale: Scale, found: Delays) -> None:
    """Add both probes under every load, in random order.

    Without a second CPU there are no packets: whoever sends them would wait for the copy.
    """
    cpus = sorted(os.sched_getaffinity(0))
    busy, other = cpus[-1], cpus[0]
    probes = [(found.wakeups, [program("lateness"), str(busy)])]
    if busy != other:
        probes.append((found.packets, _packet_probe(busy, other)))
    maps.fill(maps.OLD, scale.pass_entries)
    for _ in range(scale.lateness_rounds):
        for load in random.sample(list(TITLES), len(TITLES)):
            for results, probe in probes:
                say(f"delays under: {TITLES[load]}")
                results.setdefault(load, []).append(_delays(probe, load, busy, scale))
    maps.drop(maps.OLD, maps.NEW)
    resizes.drop()


def _packet_probe(busy: int, other: int) -> list[str]:
    """Packets sent from one CPU whose softirq runs on the other, in their own network."""
    script = (
        "ip link set lo up; mount -t sysfs sysfs /sys; "
        'echo "$1" >/sys/class/net/lo/queues/rx-0/rps_cpus; exec "$2" "$3"'
    )
    command = ["unshare", "--net", "--mount", "sh", "-ec", script, "sh"]
    return [*command, cpu_mask(busy), program("udprtt"), str(other)]


def cpu_mask(cpu: int) -> str:
    """The mask of one CPU as sysfs takes it: words of 32 bits, separated by commas."""
    return f"{1 << cpu % 32:x}" + ",00000000" * (cpu // 32)


def _delays(probe: list[str], load: str, cpu: int, scale: Scale) -> Distribution:
    with _load(load, cpu, scale) as run, started(probe) as prober:
        run()
        output, _ = prober.communicate()
    if prober.returncode:
        raise BenchError(f"{probe[0]} failed with status {prober.returncode}.")
    return Distribution(**json.loads(output))


@contextmanager
def _load(load: str, cpu: int, scale: Scale) -> Iterator[Callable[[], None]]:
    """A load that is ready to run on a CPU; calling it returns when it is over."""
    if load == NOTHING:
        maps.settle()
        yield lambda: time.sleep(scale.lateness_seconds)
        return
    command = ["taskset", "--cpu-list", str(cpu), *_command(load, scale)]
    with started(command) as process:

        def run() -> None:
            tell(process)
            line(process)

        yield run


def _command(load: str, scale: Scale) -> list[str]:
    if load == COPY:
        maps.create(maps.NEW, 2 * scale.pass_entries)
        maps.settle()
        return subject("--gate", "copy", maps.OLD, maps.NEW)
    if load in (SIZED, SETTLED):
        return _resize(load, scale.pass_entries)
    passes.copy_by_c(scale.pass_entries)
    since = passes.change(1 if load == DELTA else 0)
    maps.settle()
    options = ["--since", str(since)] if load == DELTA else []
    seconds = str(scale.lateness_seconds)
    name = "prune" if load == PRUNE else "carry"
    return subject("--gate", "--at-least", seconds, name, maps.OLD, maps.NEW, *options)


def _resize(load: str, entries: int) -> list[str]:
    resizes.take(maps.OLD)
    if load == SETTLED:
        measure(*resizes.sized(entries))
        passes.change(1)
    maps.settle()
    return subject("--gate", load, str(resizes.PINS), str(2 * entries))

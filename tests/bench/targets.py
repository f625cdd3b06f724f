# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures to reach, each next to the measured one; the verdict is computed, never written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.bench import audits, copies, lateness, plays
from tests.bench.copies import WAYS
from tests.bench.passes import Case, has_map_iterators
from tests.bench.results import Results, middle, p99, ratio, worst

SIZES = (512_000, 4_000_000)
MEMORY_SIZES = (10_000, 512_000, 4_000_000)

DEFAULT_PATH = (copies.COPY, copies.MIGRATE, copies.MIGRATE_TIME, copies.RESIZE)
FELIX = (copies.FELIX, copies.FELIX_KEYS)


class Target(NamedTuple):
    """A measured figure and its bound; it is met up to the bound, or from it on."""

    operation: str
    measured: float | None
    bound: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the figure keeps the bound; None when it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def targets(results: Results) -> list[Target]:
    """All targets in the order of the tables below them."""
    return [
        *_copies(results),
        *_memory(results),
        *_passes(results),
        *_delays(results),
        *_switches(results),
        *_plays(results),
        *_audits(results),
    ]


def _copies(results: Results) -> Iterator[Target]:
    for entries in SIZES:
        batch = results.seconds(copies.BATCH, entries)
        bpftool = results.seconds(copies.BPFTOOL, entries)
        for way in DEFAULT_PATH:
            ours = results.seconds(way, entries)
            title = f"{short(way)}, {entries:,} entries"
            yield Target(f"{title}, to (a)", ratio(ours, batch), 1.1)
            for other in FELIX:
                name = "(b)" if other == copies.FELIX else "(b) with next-key reads"
                figure = ratio(ours, results.seconds(other, entries))
                yield Target(f"{title}, to {name}", figure, 0.5)
            figure = ratio(bpftool, ours)
            yield Target(f"{title}, (c) to it", figure, 20, at_least=True)
        figure = ratio(results.seconds(copies.COPY_2, entries), batch)
        yield Target(f"{short(copies.COPY_2)}, {entries:,} entries, to (a)", figure, 0.6)


def short(way: str) -> str:
    """A way of ours by its title, without saying so."""
    return WAYS[way].title.removeprefix("ours: ")


def _memory(results: Results) -> Iterator[Target]:
    sizes = ", ".join(f"{size:,}" for size in MEMORY_SIZES)
    for way in (name for name, one in WAYS.items() if one.ours):
        title = f"{short(way)}: difference of peak memory at {sizes} entries"
        yield Target(title, results.spread_mib(way, MEMORY_SIZES), 3, " MiB")


def _passes(results: Results) -> Iterator[Target]:
    title = f"1 % of {results.scale.pass_entries:,} entries changed, to (a)"
    if has_map_iterators():
        yield Target(f"delta pass by time, {title}", results.pass_ratio(Case(1)), 0.25)
    figure = results.pass_ratio(Case(1, batches=True))
    yield Target(f"the same without map iterators, {title}", figure, 0.45)


def _delays(results: Results) -> Iterator[Target]:
    wakeups, packets = results.delays
    title = "wake-up lateness under"
    copy = wakeups.get(lateness.COPY, [])
    yield Target(f"{title} {lateness.TITLES[lateness.COPY]}, p99", p99(copy), 200, " µs")
    for load in lateness.PASSES:
        runs, name = wakeups.get(load, []), lateness.TITLES[load]
        yield Target(f"{title} {name}, p99", p99(runs), 1500, " µs")
        yield Target(f"{title} {name}, worst", worst(runs), 5000, " µs")
    nothing = p99(packets.get(lateness.NOTHING, []))
    for load in (lateness.COPY, *lateness.PASSES):
        figure = ratio(p99(packets.get(load, [])), nothing)
        # "Unchanged": the probes that the bound comes from saw 72 to 111 µs without a cause.
        yield Target(
            f"UDP round trip p99 under {lateness.TITLES[load]}, to nothing running", figure, 1.5
        )


def _switches(results: Results) -> Iterator[Target]:
    scale, runs = results.scale, results.switches
    load = f"{scale.switch_flows:,} flows, {scale.switch_rate:,} changes a second"
    # A machine that is busy with other work does not reach the rate, and shows nothing.
    kept = [one for one in runs if one.rate >= scale.switch_rate * 0.9]
    yield Target(f"flows missing at the switch, {load}", middle(one.lost for one in kept), 30)
    still = max((one.still_missing for one in kept), default=None)
    yield Target(f"of them still missing after settling, {load}", still, 0)


def _plays(results: Results) -> Iterator[Target]:
    one = ratio(results.play(plays.NO_OP, 1), results.play(plays.PING, 1))
    yield Target("no-op play of one bpf_map, to one of ansible.builtin.ping", one, 1.3)
    more = ratio(results.further_task(plays.NO_OP), results.further_task(plays.PING))
    yield Target("each further no-op bpf_map task, to one more ping", more, 1.3)


def _audits(results: Results) -> Iterator[Target]:
    scale = results.scale
    title = f"node_info, {scale.audit_pods} pods and {scale.audit_entries:,} conntrack entries"
    yield Target(title, results.audit(audits.FULL), 3, " s")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of conntrack_map: the whole of it, and the flows that a node's programs miss meanwhile."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.bench import maps
from tests.bench.processes import line, started, tell
from tests.bench.scale import Scale
from tests.bench.tools import BenchError, Sample, measure, program, say, subject

PINS = maps.BPFFS / "tc" / "globals"
TABLE = str(PINS / "cali_v4_ct3")
KEPT = maps.BPFFS / "bpfops"


class Missed(NamedTuple):
    """Flows that programs missed while they were moved to another map one by one.

    ``rate`` is in changes a second. ``missing_at_switch`` flows were not in the new map when their
    program began to use it; for ``lost`` of them a packet came before a pass did. ``still_missing``
    are those that the map did not have after settling either; ``missing``, ``stale`` and
    ``revived`` are all entries that were not there then, older than they should be, or there
    although deleted.
    """

    rate: float
    switch_seconds: float
    missing_at_switch: int
    lost: int
    still_missing: int
    missing: int
    stale: int
    revived: int


def sized(entries: int) -> list[str]:
    """The command that makes the table twice as large as its entries."""
    return subject("sized", str(PINS), str(2 * entries))


def _settled(*options: str, entries: int) -> list[str]:
    return subject(*options, "settled", str(PINS), str(2 * entries))


def take(path: str) -> None:
    """Let the map at ``path`` be the node's conntrack map, alone."""
    PINS.mkdir(parents=True, exist_ok=True)
    drop()
    maps.pin_again(path, TABLE)


def drop() -> None:
    """Remove the node's conntrack map, and what is kept of one before."""
    maps.drop(TABLE, *map(str, KEPT.glob("*")))


def resize(entries: int) -> Sample:
    """Size, then settle with 1 % of the entries changed in between; both in one figure."""
    first = measure(*sized(entries))
    maps.touch(maps.OLD, 100)
    second = measure(*_settled(entries=entries))
    _require_settled(entries)
    seconds, peak = first.seconds + second.seconds, max(first.peak_mib, second.peak_mib)
    return Sample(seconds, entries, peak)


def _require_settled(entries: int) -> None:
    maps.require_entries(TABLE, entries)
    if maps.max_entries(TABLE) != 2 * entries or list(KEPT.glob("old_*")):
        raise BenchError("conntrack_map left a map of another size, or an old one.")


def measure_switches(scale: Scale, found: list[Missed]) -> None:
    """Add runs in which programs move to the new map while flows come and go at full rate."""
    for _ in range(scale.switch_rounds):
        say(f"programs that move, {scale.switch_rate} changes a second")
        maps.fill(maps.OLD, scale.switch_flows, scale.switch_flows * 11 // 10)
        take(maps.OLD)
        maps.drop(maps.OLD)
        found.append(_switch(scale))
        drop()


def _switch(scale: Scale) -> Missed:
    numbers = (scale.switch_rate, scale.switch_shards, scale.switch_flows)
    with started([program("switch"), TABLE, *map(str, numbers)]) as player:
        measure(*sized(scale.switch_flows))
        with started(
            subject("--gate", "settled", str(PINS), str(2 * scale.switch_flows))
        ) as settling:
            tell(settling)
            tell(player, "switch")
            line(settling)
        tell(player, "end")
        return Missed(**json.loads(line(player)))

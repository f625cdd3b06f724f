# SPDX-License-Identifier: GPL-3.0-or-later
"""felix's sweeps over the conntrack maps: expiry, and the map's automatic doubling."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from . import bpf, config, entries
from .entries import LAYOUTS
from .felix import Felix
from .plan import SCALED_SIZE, Plan

TIME_WAIT = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait")
# Part of the map that makes felix double it, at once or when it has counted to three.
THRESHOLDS_30 = (0.95, 0.90)
THRESHOLDS_31 = (0.90, 0.85)
ENOUGH = 3


class Sweep(NamedTuple):
    """What one sweep over one map has seen."""

    live: int
    expired: int
    max_entries: int


class Scanner:
    """Sweeps the maps that this start of felix holds, whatever the programs use."""

    def __init__(self, process: Felix) -> None:
        self._plan = process.plan
        self._tables = process.conntrack_maps()
        self._rules = rules(process.plan)
        self._live: dict[str, int] = {}
        self._counters: dict[str, int] = dict.fromkeys(self._tables, 0)
        self._sweeps = self._expired = 0

    def run(self, interval: float) -> NoReturn:
        """Sweep for ever."""
        while True:
            self.sweep()
            time.sleep(interval)

    def sweep(self) -> None:
        """Drop what has expired; a map that is too full makes felix start again."""
        for name, fd in self._tables.items():
            done = self._sweep(fd)
            self._expired += done.expired
            if self._too_full(name, done):
                self._double(done.max_entries)
        self._sweeps += 1
        figures = {"sweeps": self._sweeps, "expired": self._expired}
        config.SCAN_FILE.write_text(json.dumps(figures))

    def _sweep(self, fd: int) -> Sweep:
        shape = bpf.info(fd)
        layout = LAYOUTS[shape.key, shape.value]
        found, now = bpf.as_dict(fd), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        gone = [
            (key, value)
            for key, value in found.items()
            if entries.expired(layout, (key, value), found.get, now, self._rules)
        ]
        for key, value in gone:
            self._drop(fd, key, value)
        return Sweep(len(found) - len(gone), len(gone), shape.max_entries)

    def _drop(self, fd: int, key: bytes, value: bytes) -> None:
        """From 3.30 on the entry goes only if no packet came meanwhile."""
        if self._rules.rst_seen:
            now = bpf.lookup(fd, key)
            if now is None or entries.last_seen(now) != entries.last_seen(value):
                return
        bpf.delete(fd, key)

    def _too_full(self, name: str, done: Sweep) -> bool:
        # As felix has it: the counter grows when there are fewer entries than before.
        if self._live.get(name, 0) > done.live:
            self._counters[name] += 1
        self._live[name] = done.live
        if not self._plan.release.scales_conntrack:
            return False
        if config.choice("BPFMapSizeConntrackScaling", ("DoubleIfFull", "Disabled")) == "Disabled":
            return False
        at_once, counted = THRESHOLDS_30 if self._plan.release.line == "3.30" else THRESHOLDS_31
        part = done.live / done.max_entries
        return part > at_once or (part > counted and self._counters[name] >= ENOUGH)

    def _double(self, max_entries: int) -> NoReturn:
        SCALED_SIZE.write_text(str(2 * max_entries))
        subprocess.Popen(["lab-agent", "restart"], start_new_session=True)
        while True:
            time.sleep(1)


def rules(plan: Plan) -> entries.Rules:
    """How the release judges entries, with what it reads from the kernel."""
    try:
        time_wait = int(TIME_WAIT.read_text())
    except OSError:
        time_wait = None
    return entries.rules_of(plan.release.version, time_wait)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What changed between two dumps of conntrack maps, and whether each change has a good reason."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from tests.lab import conntrack
from tests.lab.agent import entries
from tests.lab.agent.entries import Layout
from tests.lab.errors import LabError
from tests.lab.settings import POD_POOL, POD_POOL6

EXAMPLES = 20
# First client of made-up flows by the length of keys; each has as many ports, from this one on.
CLIENTS = {16: IPv4Address("198.18.2.0"), 40: IPv6Address("2001:2::200")}
PORTS = 32768
# Nanoseconds by which an entry has to be older than a program to be no new flow of its, and since
# when passes before the last one may not have seen it.
TOLERANCE, RECENT = 50_000_000, 5_000_000_000


@dataclass
class Difference:
    """Keys by what became of them between two dumps; ``why`` has those with a good reason."""

    only_a: list[bytes] = field(default_factory=list)
    only_b: list[bytes] = field(default_factory=list)
    forward: list[bytes] = field(default_factory=list)
    recreated: list[bytes] = field(default_factory=list)
    backward: list[bytes] = field(default_factory=list)
    same_last_seen: list[bytes] = field(default_factory=list)
    equal: int = 0
    why: dict[bytes, str] = field(default_factory=dict)

    def kinds(self) -> Iterator[tuple[str, list[bytes]]]:
        """Name and keys of each kind of difference."""
        yield "only_in_a", self.only_a
        yield "only_in_b", self.only_b
        yield "last_seen_forward", self.forward
        yield "recreated", self.recreated
        yield "last_seen_backward", self.backward
        yield "last_seen_same", self.same_last_seen

    def unexplained(self) -> list[tuple[str, bytes]]:
        """Kind and key of each difference that may be a loss."""
        return [(kind, key) for kind, keys in self.kinds() for key in keys if key not in self.why]

    def report(self, limit: int | None = EXAMPLES) -> dict[str, object]:
        """Counts, and what is not explained, ``limit`` of them (None: every difference)."""
        every = [(kind, key) for kind, keys in self.kinds() for key in keys]
        strange = self.unexplained()
        shown = every if limit is None else strange[:limit]
        return {
            "equal": self.equal,
            **{kind: len(keys) for kind, keys in self.kinds()},
            "explained": dict(Counter(self.why.values())),
            "unexplained": len(strange),
            "differences": [
                {
                    "kind": kind,
                    "why": self.why.get(key),
                    "key": key.hex(),
                    "flow": entries.describe(key),
                }
                for kind, key in shown
            ],
        }


class Dump:
    """A dump's entries and its description."""

    def __init__(self, file: Path) -> None:
        self.about = _about(file)
        self.layout = _layout(file, self.about)
        self.rules = entries.rules_of(self.about.get("release"), self.about.get("tcp_time_wait"))
        data = file.read_bytes()
        if len(data) % self.layout.record:
            raise LabError(
                f"{file} has {len(data)} bytes, which is no multiple of {self.layout.record}."
            )
        records = struct.iter_unpack(f"{self.layout.key}s{self.layout.value}s", data)
        self.entries: dict[bytes, bytes] = dict(records)

    def time(self, which: str) -> int | None:
        """CLOCK_MONOTONIC nanoseconds at which reading ``began`` or ``ended``."""
        return self.about.get(f"{which}_ns")


class Deletions:
    """A writer's log: the last time at which it deleted each key, and when it changed maps."""

    def __init__(self, file: Path | None, layout: Layout) -> None:
        records = struct.iter_unpack(f"<Q{layout.key}s", file.read_bytes() if file else b"")
        self._times: dict[bytes, int] = {key: when for when, key in records}
        about = conntrack.description(file) if file else None
        moved = json.loads(about.read_text()) if about and about.exists() else {}
        times = (int(moved.get(name, 0)) for name in ("loaded_ns", "switched_ns", "ended_ns"))
        self._loaded, self._switched, self._ended = times

    def time(self, key: bytes) -> int:
        """CLOCK_MONOTONIC nanoseconds; 0: never."""
        return self._times.get(key, 0)

    def late(self, key: bytes, seen: int) -> bool:
        """Whether it was deleted while programs moved, when nothing tells that from a new flow.

        From the old map: the copy may be a new flow's entry. From the new one: what the old map
        has may be a flow that began there after the pass before.
        """
        when = self.time(key)
        begun = self._loaded - TOLERANCE
        if not self._loaded or when < max(seen, begun):
            return False
        if when <= self._switched:
            return seen >= begun
        return when <= self._ended and seen >= self._loaded - RECENT


class _Judge:
    """Finds the good reason of a change, if there is one."""

    def __init__(self, before: Dump, after: Dump, deleted: Deletions) -> None:
        self._before, self._after, self._deleted = before, after, deleted

    def gone(self, key: bytes, value: bytes) -> str | None:
        """An entry that the second dump has no more."""
        if self._deleted.time(key) > entries.last_seen(value):
            return "deleted"
        now = self._after.time("ended")
        before = self._before
        entry, find = (key, value), before.entries.get
        if now and entries.expired(before.layout, entry, find, now, self._after.rules):
            return "expired"
        return None

    def came(self, key: bytes, value: bytes) -> str | None:
        """An entry that only the second dump has."""
        began, seen = self._before.time("began"), entries.last_seen(value)
        if self._deleted.late(key, seen):
            return "late"
        if began is None or seen < max(began, self._deleted.time(key)):
            return None
        return "new"

    def same(self, old: bytes, new: bytes) -> bool:
        """Equal in everything that both layouts and releases mean the same by."""
        before, after = self._before, self._after
        if before.layout == after.layout and before.rules.rst_seen == after.rules.rst_seen:
            return old == new
        return entries.essence(before.layout, old) == entries.essence(after.layout, new)

    def recreated(self, old: bytes, new: bytes) -> bool:
        """A flow that lost its entry and got another one; from 3.30 on nothing shows it."""
        if self._before.rules.rst_seen or self._after.rules.rst_seen:
            return False
        return old[:8] != new[:8]


def compare(a: Path, b: Path, deleted: Path | None = None) -> Difference:
    """What changed from dump ``a`` to dump ``b``; ``deleted``: log of a writer's deletions.

    When ``a`` is what a writer expects, only its flows' entries count in ``b``.
    """
    before, after = Dump(a), Dump(b)
    if before.layout.key != after.layout.key:
        raise LabError(f"{a} and {b} are dumps of different families.")
    judge = _Judge(before, after, Deletions(deleted, before.layout))
    found = Difference()
    if (first := before.about.get("first_flow")) is not None:
        after.entries = {k: v for k, v in after.entries.items() if flow_number(k) >= first}
    for key, value in after.entries.items():
        if key not in before.entries:
            found.only_b.append(key)
            _explain(found, key, judge.came(key, value))
    for key, old in before.entries.items():
        _sort_in(found, judge, (key, old), after.entries.get(key))
    return found


def flow_number(key: bytes) -> int:
    """Number of a made-up flow as `fill` and the writer count them; -1 for another one."""
    ports = struct.unpack("<HH", key[-4:])
    for side, port in zip(entries.addresses(key), ports, strict=True):
        host = int(side) - int(CLIENTS[len(key)])
        if 0 <= host < 1 << 17 and port >= PORTS:
            return int(host * PORTS + port - PORTS)
    return -1


def between_pods(key: bytes) -> bool:
    """Whether both sides are pods of the lab: the flow is live, not made up."""
    pools = (POD_POOL, POD_POOL6)
    return all(any(side in pool for pool in pools) for side in entries.addresses(key))


def _sort_in(
    found: Difference, judge: _Judge, entry: tuple[bytes, bytes], new: bytes | None
) -> None:
    key, old = entry
    if new is None:
        found.only_a.append(key)
        _explain(found, key, judge.gone(key, old))
    elif judge.same(old, new):
        found.equal += 1
    elif entries.last_seen(new) == entries.last_seen(old):
        found.same_last_seen.append(key)
    elif entries.last_seen(new) < entries.last_seen(old):
        found.backward.append(key)
    elif judge.recreated(old, new):
        found.recreated.append(key)
    else:
        found.forward.append(key)
        _explain(found, key, "packet")


def _explain(found: Difference, key: bytes, why: str | None) -> None:
    if why:
        found.why[key] = why


def _about(file: Path) -> dict[str, Any]:
    path = conntrack.description(file)
    if not path.exists():
        raise LabError(f"{path} is missing; `dump` writes it beside the dump.")
    about: dict[str, Any] = json.loads(path.read_text())
    return about


def _layout(file: Path, about: dict[str, Any]) -> Layout:
    sizes = about["key_size"], about["value_size"]
    if sizes not in entries.LAYOUTS:
        raise LabError(f"{file} has keys of {sizes[0]} and values of {sizes[1]} bytes.")
    return entries.LAYOUTS[sizes]

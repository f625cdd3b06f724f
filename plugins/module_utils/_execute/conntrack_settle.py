# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows old conntrack maps while programs use them, then carries the last changes over.

While an interface is moved to the new map, a flow that is not there yet is taken for a new one. So
passes run on until no program refers to the old map. They run in the kernel where it can. The last
one runs from user space, which misses nothing, and only then the old map's pins go.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

from .._calico.codecs.conntrack_layout import LAST_SEEN
from .._calico.conntrack_expiry import Expiry
from .._errors import UnverifiedError
from .._kernel import bpffs
from .._kernel.maps import Map
from .._kernel.passes import carry, prune
from .._kernel.programs import ProgInfo
from .._kernel.readers import Side
from .._kernel.rules import Older, Rule
from .._observe.conntrack_carry import TOLERANCE, carry_alive, newer, readable
from .._observe.conntrack_map import users_of
from .._observe.conntrack_places import places_of
from .._observe.program_users import running_programs
from .._plan.conntrack_map_state import (
    NOTE_SPEC,
    Action,
    Pending,
    Source,
    following_path,
    note_path,
)
from .migrate import TIME_MARGIN

PAUSE = 0.02
"""Seconds between two passes, which leave the CPU to others."""

_FRESH_PERCENT = 5
"""New entries, in percent of the live map, after which those of ended flows are taken out."""


class Following(NamedTuple):
    """What decides on expired entries, entries a call and a step, and seconds to wait."""

    expiry: Expiry
    batch_size: int
    kernel_step: int
    timeout: float
    own_dir: str
    pin_dir: str


def settle(actions: Sequence[Action], how: Following) -> list[dict[str, Any]]:
    """Carry all sources over and drop each as soon as no program refers to it.

    A pin tells whoever restarts felix that everything is there and is followed from now on, and
    whoever removes it ends the wait. Raises UnverifiedError, naming the programs, when some still
    use a source then or after ``timeout`` seconds; what was carried over stays, and the next run
    goes on. Raises SyscallError.
    """
    deadline = time.monotonic() + how.timeout
    sign = following_path(how.own_dir)
    with ExitStack() as stack:
        waiting = [_Settling(action, how, stack) for action in actions]
        done = []
        announced = False
        while waiting:
            looked, programs = time.monotonic_ns(), running_programs(how.pin_dir)
            users = users_of(programs)
            for one in waiting:
                one.look(programs, looked)
            for one in [one for one in waiting if not users.get(one.source.id)]:
                done.append(one.finish())
                waiting.remove(one)
            if waiting and time.monotonic() >= deadline:
                raise _late(waiting, users, f"After timeout of {how.timeout:g} s")
            if waiting and announced and not Path(sign).exists():
                raise _late(waiting, users, f"When {sign} was removed, which ends the wait,")
            for one in waiting:
                one.follow()
            if waiting and not announced:
                announced = True
                stack.enter_context(_announced(sign))
            time.sleep(PAUSE if waiting else 0)
    return done


def _asleep() -> int:
    """ns by which CLOCK_BOOTTIME, that of programs, is ahead of CLOCK_MONOTONIC."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


@contextmanager
def _announced(path: str) -> Iterator[None]:
    bpffs.make_directory(str(Path(path).parent))
    with Map.create(NOTE_SPEC) as sign:
        bpffs.replace(sign, path)
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)


class _Settling:
    """One old map on its way out."""

    def __init__(self, action: Action, how: Following, stack: ExitStack) -> None:
        self.action = action
        self.source: Source = action.source or Source(0, ())
        self._how = how
        self._old = stack.enter_context(Map.from_id(self.source.id))
        live = stack.enter_context(Map.open(action.path))
        self._live = Side(live, live.info().spec)
        self._began = time.monotonic_ns()
        self._since = [self.source.since]
        self._unwritten = self.source.unwritten
        self._live_id = live.info().id
        self._alone = False
        self._sums = Pending()
        self.passes = 0
        self.pruned = self._pruned_at = 0

    def look(self, programs: Sequence[ProgInfo], now: int) -> None:
        """Remember until when no program could write the live map: all had the old one still.

        Where it was so at the last look, that is until the first one was loaded.
        """
        writers = [one.load_time for one in programs if self._live_id in one.map_ids]
        before = any(self.source.id in one.map_ids for one in programs)
        if not self.source.unwritten:
            return
        if before and not writers:
            self._unwritten = now - TOLERANCE
        elif self._alone:
            self._unwritten = max(self._unwritten, min(writers, default=0) - _asleep() - TOLERANCE)
        self._alone = before and not writers

    def follow(self) -> None:
        """One pass; each but the first looks only at what changed since the pass before the last.

        A pass in the kernel can miss an entry that is replaced at that moment, so one alone does
        not count.
        """
        now = time.monotonic_ns()
        with readable(self._old) as side:
            self._make_room(side)
            if self.passes:
                done = carry(
                    side, self._live, self._rule(), self._how.batch_size, self._how.kernel_step
                )
                self._add(Pending(done.inserted, done.updated))
            else:
                self._add(self._carry_alive(side))
        self._since = [*self._since, max(0, now - TIME_MARGIN)][-2:]

    def _make_room(self, side: Side) -> None:
        """Take out what has ended in the old map, before new flows have filled the live one.

        Only while no program writes the live map: later, what is not in the old one may be new.
        """
        fresh = self._sums.inserted - self._pruned_at
        many = fresh >= self._live.spec.max_entries * _FRESH_PERCENT // 100
        if self._alone and (many or not self.passes):
            self._prune(side)
            self._pruned_at = self._sums.inserted

    def _prune(self, side: Side) -> None:
        older, how = Older(LAST_SEEN, self._unwritten), self._how
        self.pruned += prune(side, self._live, how.batch_size, older, how.kernel_step).deleted

    def finish(self) -> dict[str, Any]:
        """The last pass, and the end of the old map's pins.

        What was copied, was not written since, and is no longer in the old map was deleted there;
        it goes first, as the new map may be short of room.
        """
        with readable(self._old) as side:
            if self.source.unwritten:
                self._prune(side)
            last = self._carry_alive(side)
        first, self._sums = self._sums, Pending()
        self._add(last)
        for path in reversed(self.source.paths):
            Path(path).unlink(missing_ok=True)
            Path(note_path(path)).unlink(missing_ok=True)
        return {
            "family": f"ipv{self.action.family}",
            "path": self.action.path,
            "from_id": self.source.id,
            "entries": first.inserted + last.inserted,
            "inserted": first.inserted + last.inserted,
            "updated": first.updated + last.updated,
            "expired": last.expired,
            "deleted": last.deleted,
            "pruned": self.pruned,
            "passes": self.passes,
            "duration_ms": (time.monotonic_ns() - self._began) // 1_000_000,
        }

    def _rule(self) -> Rule:
        return newer(self._since[0], self.source.clear, self._unwritten)

    def _carry_alive(self, side: Side) -> Pending:
        how = self._how
        calls = (how.batch_size, how.kernel_step)
        return carry_alive(side, self._live, self._rule(), how.expiry, *calls)

    def _add(self, done: Pending) -> None:
        self._sums = Pending(*(a + b for a, b in zip(self._sums, done)))
        self.passes += 1


def _late(
    waiting: Sequence[_Settling], users: dict[int, tuple[str, ...]], when: str
) -> UnverifiedError:
    told = "; ".join(
        f"map id {one.source.id} is used by {', '.join(users[one.source.id])}"
        f"{places_of(one.source.id)}"
        for one in waiting
    )
    return UnverifiedError(
        f"{when} programs still use an old conntrack map: {told}. They "
        "move when felix loads its programs again; run this again afterwards."
    )

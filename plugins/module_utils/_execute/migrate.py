# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a pinned map's entries over into a new map and puts that in its place.

The order is fixed, and each step leaves a state from which the next run can finish:

1. the new map is created and filled while no path leads to it: nothing else writes it, so it
   can be made exactly equal, deletions included, and a kill just frees it;
2. the old map gets its second pin, if one is wanted, before it loses its first;
3. rename(2) swaps the pin: there is no instant without a map at the path;
4. one more pass picks up what reached the old map between the last pass and the swap.
"""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from .._errors import UnverifiedError
from .._kernel import bpffs, user_passes
from .._kernel.copy import copy_entries
from .._kernel.iterator import DEFAULT_STEP
from .._kernel.maps import Map
from .._kernel.objects import BpfObject
from .._kernel.passes import carry, prune
from .._kernel.readers import Side, count_entries
from .._kernel.rules import Pass, Replaces, Rule
from .._uapi.bpf import ARRAY_TYPES, LRU_TYPES
from .._uapi.maps import MapSpec

TIME_MARGIN = 1_000_000_000
"""ns by which a pass reaches back behind the start of the one before: a program stores the time
that it read a moment ago."""


class Options(NamedTuple):
    """How to migrate: entries a call, threads of the first copy, bound of delta passes, and
    entries that a pass in the kernel visits before it returns.

    ``timestamp_offset`` is that of an unsigned 64-bit number in the value by which the newer of
    two entries wins once the new map is in use. With ``clear_word`` the first 8 bytes of values
    become 0.
    """

    batch_size: int
    threads: int
    delta_passes: int
    keep_old_pin: str | None = None
    timestamp_offset: int | None = None
    clear_word: bool = False
    kernel_step: int = DEFAULT_STEP


class Migration(NamedTuple):
    """What a migration did."""

    entries: int
    passes: list[Pass]
    duration_ms: int


def migrate(path: str, wanted: MapSpec, options: Options) -> Migration:
    """Replace the map at ``path`` by one with the parameters ``wanted`` and the same entries.

    Raises SyscallError, and UnverifiedError when an LRU map evicted entries during the copy;
    then the old map is still at ``path`` and the new one is gone.
    """
    began = time.monotonic_ns()
    with Map.open(path) as old_map, Map.create(wanted) as new_map:
        old, new = Side(old_map, old_map.info().spec), Side(new_map, wanted)
        entries = copy_entries(old, new, options.batch_size, options.threads)
        # Counted, as an LRU map may have evicted some; the passes then show it.
        held = count_entries(*new) if wanted.type in LRU_TYPES else entries
        passes, since = converge(old, new, Progress(held, began), options)
        if old_map.frozen():
            new_map.freeze()
        swap(old_map, new_map, path, options.keep_old_pin)
        if not new_map.frozen():
            passes += finish(old, new, since, options)
    return Migration(entries, passes, (time.monotonic_ns() - began) // 1_000_000)


class Progress(NamedTuple):
    """What the copy did: entries in the new map, and its start in ns of CLOCK_MONOTONIC."""

    held: int
    began: int


def converge(old: Side, new: Side, progress: Progress, options: Options) -> tuple[list[Pass], int]:
    """Delta passes until one changes nothing, no less than the one before, or at the bound.

    A map that is written all the time never becomes equal; when a pass stops gaining on the
    writers, more of them would not either. Ends with a prune if entries were deleted meanwhile.
    Each pass reaches back to the start of the one before the last, as one pass alone may
    miss an entry whose neighbours change. Returns the passes, and the time since when changes may
    be missing.
    """
    passes: list[Pass] = []
    held, before = progress
    since = before
    while len(passes) < options.delta_passes:
        rule = Rule(
            options.timestamp_offset,
            max(0, before - TIME_MARGIN),
            clear_word=options.clear_word,
        )
        before, since = since, time.monotonic_ns()
        passes.append(carry(old, new, rule, options.batch_size, options.kernel_step))
        held += passes[-1].inserted
        if held < passes[-1].seen:  # entries came in whose time is older than they are
            before = since = 0
        elif not passes[-1].changed or _gains_nothing(passes):
            break
    _require_no_eviction(new, held)
    if held > passes[-1].seen and old.spec.type not in ARRAY_TYPES:
        passes.append(prune(old, new, options.batch_size, step=options.kernel_step))
    return passes, before


def finish(old: Side, new: Side, since: int, options: Options) -> list[Pass]:
    """Pick up what reached the old map up to the swap; what others wrote to the new one stays.

    Programs still write the old map until they are loaded again, so its value is the fresher one,
    unless the entries can say so themselves. Without times a pass from user space would take
    twice as long as the copy, so one in the kernel is repeated when it finds something.
    """
    if options.timestamp_offset is not None:
        rule = Rule(
            options.timestamp_offset,
            max(0, since - TIME_MARGIN),
            Replaces.NEWER,
            clear_word=options.clear_word,
        )
        return [user_passes.carry(old, new, rule, options.batch_size)]
    passes = [carry(old, new, Rule(), options.batch_size, options.kernel_step)]
    if passes[0].changed:
        passes.append(carry(old, new, Rule(), options.batch_size, options.kernel_step))
    return passes


def _gains_nothing(passes: list[Pass]) -> bool:
    return len(passes) > 1 and passes[-1].changed >= passes[-2].changed


def _require_no_eviction(new: Side, held: int) -> None:
    if new.spec.type not in LRU_TYPES:
        return
    kept = count_entries(new.map, new.spec)
    if kept < held:
        raise UnverifiedError(
            f"max_entries: {new.spec.max_entries} is too small for an LRU map, which kept only "
            f"{kept} of {held} entries; the old map is still in place."
        )


def swap(old: BpfObject, new: BpfObject, path: str, keep_old_pin: str | None) -> None:
    """Put ``new`` at ``path``; keep the old map under a second pin first, if one is given."""
    if keep_old_pin and not bpffs.kind_at(keep_old_pin):
        bpffs.make_directory(os.path.dirname(keep_old_pin))
        old.pin(keep_old_pin)
    bpffs.replace(new, path)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves and removes filters of tc hooks without ever leaving a hook empty."""

from __future__ import annotations

import errno
from typing import Callable, Iterable, Iterator, NamedTuple, Sequence

from .._errors import SyscallError
from .._kernel import machine, tc
from .._kernel.programs import Program
from .._plan.removal import FilterAt
from .._plan.tc_attachment import Change

_PARENTS = {"ingress": tc.INGRESS, "egress": tc.EGRESS}
_ROUNDS = 3


class Done(NamedTuple):
    """``changed``: the filters of these interfaces were others by then. ``notes`` are sentences.

    ``failed`` are sentences about what the kernel refused.
    """

    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """The changes that count in the end, and sentences: see ``Done``."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    failed: tuple[str, ...]


def repair(
    changes: Sequence[Change], again: Callable[[tuple[str, ...]], Sequence[Change]]
) -> Outcome:
    """Carry out; interfaces that something else changed meanwhile get a new plan by ``again``.

    Raises MissingLibraryError, SyscallError.
    """
    final: dict[str, list[Change]] = {change.interface: [] for change in changes}
    for change in changes:
        final[change.interface].append(change)
    done = carry_out(changes)
    notes, failed = [*done.notes], [*done.failed]
    for _ in range(_ROUNDS):
        if not done.changed:
            break
        final.update({name: [] for name in done.changed})
        renewed = again(done.changed)
        for change in renewed:
            final[change.interface].append(change)
        done = carry_out(renewed)
        notes += done.notes
        failed += done.failed
    failed += [f"{name} whose filters something else keeps changing" for name in done.changed]
    every = tuple(change for found in final.values() for change in found)
    return Outcome(every, _each(notes), _each(failed))


def carry_out(changes: Iterable[Change]) -> Done:
    """Do the changes hook by hook; one that fails does not keep the others from theirs.

    Before each addition and each removal the hook is asked again: a change is left off when a
    filter is not as it was seen. A filter goes only once the program that takes over was seen at
    its place. Raises MissingLibraryError.
    """
    changed, notes, failed = [], [], []
    with tc.editing() as editor:
        for change in changes:
            try:
                if not _carry_out(editor, change):
                    changed.append(change.interface)
            except SyscallError as error:
                if machine.interface_names().get(change.ifindex) != change.interface:
                    notes.append(f"{change.interface} vanished while it was repaired.")
                else:
                    failed.append(f"{change.interface} {change.hook}: {error}")
    return Done(_each(changed), _each(notes), _each(failed))


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _carry_out(editor: tc.Editor, change: Change) -> bool:
    """Whether everything was as seen up to the end."""
    if change.clsact:
        _add_clsact(editor, change.ifindex)
    parent = _PARENTS[change.hook]
    here = editor.filters(change.ifindex, parent)
    if not _all_there(here, change.seen):
        return _require(change)
    if change.put and not _put(editor, change, change.put, here):
        return False
    if not change.drop:
        return True
    here = editor.filters(change.ifindex, parent)
    wanted = (*((change.put,) if change.put else ()), *change.drop)
    if not _all_there(here, wanted):
        return _require(change)
    for one in change.drop:
        editor.delete(change.ifindex, _filter(one))
    return True


def _add_clsact(editor: tc.Editor, ifindex: int) -> None:
    try:
        editor.add_clsact(ifindex)
    except SyscallError as error:
        if error.errno != errno.EEXIST:  # felix was faster
            raise


def _require(change: Change) -> bool:
    """False; raises SyscallError when it is the interface that is gone."""
    if machine.interface_names().get(change.ifindex) != change.interface:
        raise SyscallError("netlink", errno.ENODEV, "the interface is gone", change.interface)
    return False


def _all_there(here: Iterable[tc.Filter], wanted: Iterable[FilterAt]) -> bool:
    found = {(one.prio, one.handle, one.prog_id) for one in here}
    return found.issuperset((one.preference, one.handle, one.prog_id) for one in wanted)


def _put(editor: tc.Editor, change: Change, put: FilterAt, here: Iterable[tc.Filter]) -> bool:
    """Add the filter, or let it replace a stale one; False when another filter is there."""
    place = (put.preference, put.handle)
    there = [one for one in here if (one.prio, one.handle) == place]
    stale = {(one.preference, one.handle, one.prog_id) for one in change.seen}
    if any((one.prio, one.handle, one.prog_id) not in stale for one in there):
        return False
    write = editor.replace if there else editor.add
    try:
        with Program.from_id(put.prog_id or 0) as program:
            write(change.ifindex, _filter(put), program.fd)
    except SyscallError as error:
        if error.errno == errno.EEXIST or error.call != "netlink":
            return False  # taken since, or the program went with its last filter
        raise
    return True


def _filter(one: FilterAt) -> tc.Filter:
    return tc.Filter(_PARENTS[one.hook], one.preference, one.handle, one.name, one.prog_id)


def unfinished(changes: Iterable[Change]) -> Iterator[str]:
    """What is not as planned at the hooks, read again; interfaces that are gone are passed."""
    names = machine.interface_names()
    with tc.editing() as editor:
        for change in changes:
            if names.get(change.ifindex) != change.interface:
                continue
            here = editor.filters(change.ifindex, _PARENTS[change.hook])
            found = {(one.prio, one.handle): one.prog_id for one in here}
            put = change.put
            if put and found.get((put.preference, put.handle)) != put.prog_id:
                yield f"{change.interface} {change.hook} without program {put.prog_id}"
            for one in change.drop:
                if found.get((one.preference, one.handle)) == one.prog_id:
                    place = f"{one.preference}, handle {one.handle:#x}"
                    yield f"{change.interface} {change.hook} still at preference {place}"

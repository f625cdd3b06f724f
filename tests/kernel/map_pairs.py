# SPDX-License-Identifier: GPL-3.0-or-later
"""Two maps and a pass between them, in the kernel or from user space, and what it has to do.

Maps are made, filled and read back by raw bpf(2).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ansible_collections.bpfops.calico.plugins.module_utils._errors import SyscallError
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import (
    iterator,
    passes,
    user_passes,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.readers import Side
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.rules import (
    Older,
    Replaces,
    Rule,
)
from tests.observe import rawbpf

Entries = dict[bytes, bytes]
Counted = tuple[int, int, int]  # seen, inserted, updated


class Way(NamedTuple):
    carry: Callable[[Side, Side, Rule], Counted]
    prune: Callable[..., int]


def kernel_carry(source: Side, target: Side, rule: Rule) -> Counted:
    done = iterator.carry(source, target, rule)
    assert done is not None, "the kernel refused"
    if done.refused:
        raise SyscallError("pass", done.errno, "refused")
    return done[:3]


def kernel_prune(source: Side, target: Side, older: Older | None = None) -> int:
    assert iterator.missing_keys(source, target) is not None, "the kernel refused"
    return passes.prune(source, target, older=older).deleted


def user_carry(source: Side, target: Side, rule: Rule) -> Counted:
    return user_passes.carry(source, target, rule)[:3]


def user_prune(source: Side, target: Side, older: Older | None = None) -> int:
    return user_passes.prune(source, target, older=older).deleted


WAYS = {"kernel": Way(kernel_carry, kernel_prune), "user": Way(user_carry, user_prune)}


class Made(NamedTuple):
    """A map of the test, to be written and read raw, and as the code under test gets it."""

    fd: int
    side: Side

    def fill(self, entries: Entries) -> Made:
        for key, value in entries.items():
            rawbpf.put(self.fd, key, value)
        return self

    def dump(self) -> Entries:
        return rawbpf.dump(self.fd, self.side.spec.key_size, self.side.spec.value_size)


Maker = Callable[..., Made]


def new_map(fd: int) -> Made:
    opened = Map(fd)
    return Made(fd, Side(opened, opened.info().spec))


def made_maps() -> Iterator[Maker]:
    """For a fixture: makes maps that are closed after the test."""
    made: list[Made] = []

    def maker(kind: int, key: int = 4, value: int = 24, entries: int = 600, flags: int = 0) -> Made:
        made.append(new_map(rawbpf.create_map(kind, key, value, entries, flags)))
        return made[-1]

    yield maker
    for each in made:
        os.close(each.fd)


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little")


def stamped(time: int, word: int, size: int = 24) -> bytes:
    """A value with its time at 8 and something else around it."""
    return struct.pack("<QQ", word, time).ljust(size, b"\x5a")


SINCE = 1 << 63  # so that a comparison of signed numbers shows
OLD, NOW, NEW = SINCE - 7, SINCE, SINCE + 7


def source_entries() -> Entries:
    return {number(i): stamped((OLD, NOW, NEW)[i % 3], i % 2) for i in range(300)}


def target_entries(array: bool) -> Entries:
    """Of every three in a row one is missing; older, equal and newer; equal and different."""
    times = (OLD, NOW, NEW, NOW)
    made = {number(i): stamped(times[i % 4], i % 5 % 2) for i in range(400)}
    return made if array else {key: value for key, value in made.items() if key[0] % 7}


def time_of(value: bytes) -> int:
    return int(struct.unpack_from("<Q", value, 8)[0])


def stays(rule: Rule, ours: bytes, theirs: bytes) -> bool:
    if rule.replaces is Replaces.NEVER:
        return True
    if rule.replaces is Replaces.NEWER:
        tolerance = rule.tolerance if time_of(theirs) >= rule.live_from else 0
        return time_of(ours) <= time_of(theirs) + tolerance
    return ours == theirs


def model(source: Entries, target: Entries, rule: Rule) -> tuple[Entries, Counted]:
    """What the target has to hold after a pass, and what the pass has to count."""
    after, inserted, updated = dict(target), 0, 0
    for key, value in source.items():
        if rule.timestamp_offset is not None and time_of(value) < rule.since:
            continue
        if rule.clear_word:
            value = bytes(8) + value[8:]  # noqa: PLW2901
        if key not in target:
            inserted += 1
        elif stays(rule, value, target[key]):
            continue
        else:
            updated += 1
        after[key] = value
    return target if rule.dry_run else after, (len(source), inserted, updated)

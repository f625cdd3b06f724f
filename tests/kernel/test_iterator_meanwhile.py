# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes in the kernel: chunks, and what else uses the maps meanwhile."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel import iterator
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.rules import Replaces, Rule
from tests.kernel.map_pairs import WAYS, Maker, Way, made_maps, number
from tests.kernel.support import HASH, LRU_HASH, NO_PREALLOC
from tests.observe import rawbpf


@pytest.fixture
def make() -> Iterator[Maker]:
    yield from made_maps()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.mark.parametrize(
    ("step", "most"), [(1, 1), (64, 64), (100, 64), (1000, 512), (1024, 1024), (1 << 40, 1 << 19)]
)
def test_chunks(make: Maker, monkeypatch: pytest.MonkeyPatch, step: int, most: int) -> None:
    """Between two returns the kernel walks ``step`` entries at most, and nearly as many."""
    count, real = 4096, os.read
    reads: list[int] = []
    entries = {number(i): bytes(24) for i in range(count)}
    source, target = make(HASH, entries=count).fill(entries), make(HASH, entries=count)

    def read(fd: int, size: int) -> bytes:
        reads.append(size)
        return real(fd, size)

    monkeypatch.setattr(iterator.os, "read", read)
    assert iterator.carry(source.side, target.side, Rule(), step) == (count, count, 0, 0, 0)
    assert target.dump() == entries
    assert len(reads) == count // most + 1
    reads.clear()
    rawbpf.delete(source.fd, number(7))
    missing = iterator.missing_keys(source.side, target.side, step)
    assert missing == (count, [number(7)])
    assert len(reads) >= count // step


def test_long_keys_are_seen_once_however_many_are_missing(make: Maker) -> None:
    """512 bytes are the longest key of a hash map; the kernel holds back 32 KiB of output."""
    keys = [number(i, 512) for i in range(1000)]
    target = make(HASH, 512, 8, 2000).fill(dict.fromkeys(keys, bytes(8)))
    missing = iterator.missing_keys(make(HASH, 512, 8).side, target.side)
    assert missing is not None
    assert missing.seen == 1000
    assert sorted(missing.keys) == sorted(keys)


def test_a_pass_does_not_change_what_an_lru_source_evicts(make: Maker) -> None:
    """The same entries survive as without a pass, when half as many new ones come in."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # each CPU has its own free list
    try:
        assert survivors(make, walk=False) == survivors(make, walk=True)
    finally:
        os.sched_setaffinity(0, cpus)


def survivors(make: Maker, walk: bool) -> set[bytes]:
    entries = {number(i): bytes(24) for i in range(2000)}
    source = make(LRU_HASH, entries=2000).fill(entries)
    if walk:
        done = iterator.carry(source.side, make(HASH, entries=4000).side, Rule())
        assert done is not None
        assert done.inserted == done.seen > 1000
    source.fill({number(i): bytes(24) for i in range(10_000, 11_000)})
    left = set(source.dump()) & set(entries)
    assert 0 < len(left) < 2000
    return left


class Call(NamedTuple):
    """A prepared bpf(2) call on one entry; the buffers must live as long as it."""

    command: int
    packed: bytes
    buffers: tuple[object, ...]


def put(fd: int, key: bytes, value: bytes) -> Call:
    name, data = ctypes.create_string_buffer(key), ctypes.create_string_buffer(value)
    packed = struct.pack("<IIQQQ", fd, 0, rawbpf.address(name), rawbpf.address(data), 0)
    return Call(2, packed, (name, data))


def delete(fd: int, key: bytes) -> Call:
    name = ctypes.create_string_buffer(key)
    return Call(3, struct.pack("<IIQQQ", fd, 0, rawbpf.address(name), 0, 0), (name,))


@contextmanager
def hammering(calls: list[Call]) -> Iterator[None]:
    """A process that makes these calls again and again, as fast as it can."""
    child = os.fork()
    while not child:
        for call in calls:
            with suppress(OSError):
                rawbpf.call(call.command, call.packed)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def rounds(most: int) -> Iterator[None]:
    """So many, or as many as begin within half a second: few on an emulated CPU."""
    end = time.monotonic() + 0.5
    for _ in range(most):
        yield
        if time.monotonic() > end:
            return


def of(key: bytes, byte: bytes) -> bytes:
    """A value that tells which key it belongs to, in every part of it."""
    return (key + byte * 4) * (WIDE // 8)


def fits(held: dict[bytes, bytes]) -> bool:
    return all(value == of(key, value[4:5]) for key, value in held.items())


WIDE = 2000  # bytes: the longer a value takes to copy, the likelier others come between
STABLE = [number(i) for i in range(300)]
OTHERS = [number(i) for i in range(10_000, 10_300)]


@pytest.mark.parametrize(("kind", "flags"), [(HASH, 0), (HASH, NO_PREALLOC), (LRU_HASH, 0)])
def test_a_writer_of_the_source_meanwhile(way: Way, make: Maker, kind: int, flags: int) -> None:
    """What was there before arrives, if not at once: a rewritten entry can be passed over."""
    source = make(kind, 4, WIDE, 2000, flags).fill({key: of(key, b"\x01") for key in STABLE})
    calls = [put(source.fd, key, of(key, b"\x02")) for key in [*STABLE, *OTHERS]]
    calls += [delete(source.fd, key) for key in OTHERS]
    with hammering(calls):
        for _ in rounds(30):
            target = make(HASH, 4, WIDE, 2000, NO_PREALLOC)
            for _ in range(3):
                way.carry(source.side, target.side, Rule())
            held = target.dump()
            assert held.keys() >= set(STABLE)
            assert held.keys() <= {*STABLE, *OTHERS}
            assert fits(held)


@pytest.mark.parametrize("replaces", [Replaces.NEVER, Replaces.DIFFERENT])
def test_a_writer_of_the_target_meanwhile(way: Way, make: Maker, replaces: Replaces) -> None:
    """Entries that come and go under the pass are no errors."""
    source = make(HASH, 4, WIDE, 2000).fill({key: of(key, b"\x01") for key in STABLE})
    target = make(HASH, 4, WIDE, 2000)
    calls = [put(target.fd, key, of(key, b"\x03")) for key in STABLE]
    calls += [delete(target.fd, key) for key in STABLE]
    inserted = 0
    with hammering(calls):
        for _ in rounds(100):
            seen, new, updated = way.carry(source.side, target.side, Rule(replaces=replaces))
            inserted += new
            assert seen == len(STABLE)
            assert updated == 0 or replaces is Replaces.DIFFERENT
    assert inserted
    assert fits(target.dump())


def test_an_entry_that_others_make_meanwhile_wins(way: Way, make: Maker) -> None:
    source = make(HASH, 4, WIDE, 2000).fill({key: of(key, b"\x01") for key in STABLE})
    for _ in rounds(20):
        target = make(HASH, 4, WIDE, 2000)
        with hammering([put(target.fd, key, of(key, b"\x03")) for key in STABLE]):
            way.carry(source.side, target.side, Rule(replaces=Replaces.NEVER))
        held = target.dump()
        assert set(held) == set(STABLE)
        assert fits(held)

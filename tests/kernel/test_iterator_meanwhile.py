# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes in the kernel: chunks, and what else uses the maps meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel import iterator
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.pass_programs import (
    Replaces,
    Rule,
)
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


@contextmanager
def hammering(work: Iterator[None]) -> Iterator[None]:
    """A thread that does a piece of ``work`` again and again."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            next(work)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    over.set()
    thread.join()


def marked(key: bytes, byte: bytes) -> bytes:
    return (key + byte) * 4 + bytes(4)


def rewriting(fd: int, stable: list[bytes], others: list[bytes]) -> Iterator[None]:
    while True:
        for stays, comes in zip(stable, others, strict=True):
            rawbpf.put(fd, stays, marked(stays, b"\x02"))
            rawbpf.put(fd, comes, marked(comes, b"\x02"))
            yield
        for goes in others:
            rawbpf.delete(fd, goes)
            yield


@pytest.mark.parametrize(("kind", "flags"), [(HASH, 0), (HASH, NO_PREALLOC), (LRU_HASH, 0)])
def test_a_writer_of_the_source_meanwhile(way: Way, make: Maker, kind: int, flags: int) -> None:
    """What was there before stays: after one more pass, as a rewritten entry can be passed over."""
    stable = [number(i) for i in range(500)]
    others = [number(i) for i in range(10_000, 10_500)]
    before = {key: marked(key, b"\x01") for key in stable}
    source = make(kind, entries=4000, flags=flags).fill(before)
    with hammering(rewriting(source.fd, stable, others)):
        for _ in range(30):
            target = make(HASH, entries=4000)
            for _ in range(2):
                way.carry(source.side, target.side, Rule())
            held = target.dump()
            assert held.keys() >= before.keys()
            assert all(value[:4] == key == value[5:9] for key, value in held.items())
            assert held.keys() <= {*stable, *others}


def claiming(fd: int, keys: list[bytes], claimed: list[bytes]) -> Iterator[None]:
    for key in keys:
        rawbpf.put(fd, key, marked(key, b"\x03"))
        claimed.append(key)
        yield
    while True:
        yield


def test_an_entry_that_others_make_meanwhile_wins(way: Way, make: Maker) -> None:
    keys = [number(i) for i in range(20_000)]
    source = make(HASH, entries=20_000).fill({key: marked(key, b"\x01") for key in keys})
    target, claimed = make(HASH, entries=20_000), list[bytes]()
    with hammering(claiming(target.fd, keys[::-7], claimed)):
        _, inserted, updated = way.carry(source.side, target.side, Rule(replaces=Replaces.NEVER))
        early = len(claimed)
    held = target.dump()
    assert updated == 0
    assert len(held) == len(keys)
    assert len(keys) - early - 1 <= inserted <= len(keys)
    assert all(held[key] == marked(key, b"\x03") for key in claimed)

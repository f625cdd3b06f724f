# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes in the kernel and passes from user space do the same, as a model in Python says."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import SyscallError
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.readers import Side
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.rules import (
    Older,
    Replaces,
    Rule,
)
from tests.kernel.map_pairs import (
    NEW,
    NOW,
    OLD,
    SINCE,
    WAYS,
    Maker,
    Way,
    made_maps,
    model,
    number,
    source_entries,
    target_entries,
    time_of,
)
from tests.kernel.support import ARRAY, HASH, LRU_HASH, NO_PREALLOC
from tests.observe import rawbpf


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def make() -> Iterator[Maker]:
    yield from made_maps()


RULES = {
    "different": Rule(),
    "different since": Rule(8, SINCE),
    "newer": Rule(8, replaces=Replaces.NEWER),
    "newer since": Rule(8, SINCE, Replaces.NEWER),
    "never": Rule(replaces=Replaces.NEVER),
    "never since": Rule(8, SINCE, Replaces.NEVER),
    "newer by more than 7": Rule(8, replaces=Replaces.NEWER, tolerance=7),
    "newer by 7 or more": Rule(8, replaces=Replaces.NEWER, tolerance=6),
    "newer by more than 7, or than a copy": Rule(
        8, replaces=Replaces.NEWER, tolerance=7, live_from=NOW
    ),
    "different but for the first word": Rule(clear_word=True),
    "newer, first word cleared": Rule(8, SINCE, Replaces.NEWER, clear_word=True),
}
TYPES = {
    "hash": ((HASH, 0), (HASH, 0)),
    "hash without preallocation": ((HASH, NO_PREALLOC), (HASH, NO_PREALLOC)),
    "lru": ((LRU_HASH, 0), (LRU_HASH, 0)),
    "hash to lru": ((HASH, NO_PREALLOC), (LRU_HASH, 0)),
    "lru to hash": ((LRU_HASH, 0), (HASH, 0)),
}


@pytest.mark.parametrize("dry_run", [False, True], ids=["write", "dry"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("types", TYPES.values(), ids=TYPES)
def test_rules(
    way: Way, make: Maker, types: tuple[tuple[int, int], ...], rule: Rule, dry_run: bool
) -> None:
    (kind, flags), (other, other_flags) = types
    source = make(kind, flags=flags).fill(source_entries())
    target = make(other, flags=other_flags, entries=900).fill(target_entries(False))
    rule = rule._replace(dry_run=dry_run)
    after, counts = model(source_entries(), target_entries(False), rule)
    assert way.carry(source.side, target.side, rule) == counts
    assert target.dump() == after
    assert source.dump() == source_entries()


@pytest.mark.parametrize("sizes", [(300, 300), (300, 400), (300, 120), (300, 1)])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_arrays(way: Way, make: Maker, rule: Rule, sizes: tuple[int, int]) -> None:
    before = source_entries()
    there = dict(list(target_entries(True).items())[: sizes[1]])
    source = make(ARRAY, entries=sizes[0]).fill(before)
    target = make(ARRAY, entries=sizes[1]).fill(there)
    common = {key: value for key, value in before.items() if key in there}
    after, counts = model(common, there, rule)
    assert way.carry(source.side, target.side, rule) == counts
    assert target.dump() == after


@pytest.mark.parametrize("key", [1, 4, 7, 16, 40])
@pytest.mark.parametrize("value", [1, 4, 7, 8, 23, 88, 128, 400])
@pytest.mark.parametrize("kind", [HASH, LRU_HASH])
def test_sizes(way: Way, make: Maker, kind: int, key: int, value: int) -> None:
    """Each entry of the target differs in another byte of the value, or is equal or missing."""
    source, target = make(kind, key, value, 1000), make(kind, key, value, 1000)
    count = min(value + 20, 250) if key == 1 else value + 20
    names = [i.to_bytes(min(key, 4), "big").rjust(key, b"\x07") for i in range(count)]
    wanted = {
        name: bytes((i + place) % 251 for place in range(value)) for i, name in enumerate(names)
    }
    there = {name: bytearray(wanted[name]) for name in names[:-10]}
    for i, changed in enumerate(list(there.values())[:value]):
        changed[i] ^= 1
    source.fill(wanted)
    target.fill({name: bytes(changed) for name, changed in there.items()})
    counts = (count, 10, min(value, count - 10))
    assert way.carry(source.side, target.side, Rule()) == counts
    assert target.dump() == wanted
    assert way.carry(source.side, target.side, Rule()) == (count, 0, 0)


@pytest.mark.parametrize("value", [8, 23, 88])
def test_a_cleared_word_in_values_of_any_size(way: Way, make: Maker, value: int) -> None:
    source = make(HASH, 4, value).fill({number(i): b"\xff" * value for i in range(50)})
    cleared = bytes(8) + b"\xff" * (value - 8)
    target = make(HASH, 4, value).fill({number(1): b"\xff" * value, number(2): cleared})
    assert way.carry(source.side, target.side, Rule(clear_word=True)) == (50, 48, 1)
    assert target.dump() == dict.fromkeys(map(number, range(50)), cleared)


@pytest.mark.parametrize("value", [1, 4, 7, 8, 23, 88, 128, 400])
def test_sizes_in_arrays(way: Way, make: Maker, value: int) -> None:
    wanted = {number(i): bytes((i + place) % 251 for place in range(value)) for i in range(50)}
    source = make(ARRAY, 4, value, 50).fill(wanted)
    target = make(ARRAY, 4, value, 50).fill({**wanted, number(7): bytes(value - 1) + b"\xff"})
    assert way.carry(source.side, target.side, Rule()) == (50, 0, 1)
    assert target.dump() == wanted


@pytest.mark.parametrize("kind", [HASH, LRU_HASH])
def test_an_empty_source(way: Way, make: Maker, kind: int) -> None:
    there = target_entries(False)
    target = make(kind).fill(there)
    assert way.carry(make(kind).side, target.side, Rule()) == (0, 0, 0)
    assert target.dump() == there


@pytest.mark.parametrize("flags", [0, NO_PREALLOC])
def test_a_full_target_is_an_error(way: Way, make: Maker, flags: int) -> None:
    source = make(HASH).fill(source_entries())
    target = make(HASH, entries=100, flags=flags)
    with pytest.raises(SyscallError) as raised:
        way.carry(source.side, target.side, Rule())
    assert raised.value.errno == errno.E2BIG
    held = target.dump()
    assert len(held) >= 100
    assert held.items() <= source_entries().items()


def test_a_source_opened_read_only(way: Way, make: Maker, pins: Path) -> None:
    rawbpf.pin(make(HASH).fill(source_entries()).fd, str(pins / "source"))
    target = make(HASH)
    with Map.open(str(pins / "source"), read_only=True) as opened:
        source = Side(opened, opened.info().spec)
        assert way.carry(source, target.side, Rule()) == (300, 300, 0)
        assert way.prune(source, target.side) == 0
    assert target.dump() == source_entries()


@pytest.mark.parametrize("key", [1, 4, 7, 40, 400])
@pytest.mark.parametrize(("kept", "gone"), [(0, 0), (200, 0), (0, 50), (200, 50)])
def test_prune(way: Way, make: Maker, key: int, kept: int, gone: int) -> None:
    """Both ways remove from the target what the source has no more, and nothing else."""
    if key == 400:
        kept, gone = kept * 5, gone * 20
    names = [number(i, min(key, 4)).ljust(key, b"\x01") for i in range(kept + gone)]
    source = make(HASH, key, 8, 2000).fill(dict.fromkeys(names[:kept], bytes(8)))
    target = make(LRU_HASH, key, 8, 9000).fill(dict.fromkeys(names, bytes(8)))
    assert way.prune(source.side, target.side) == gone
    assert set(target.dump()) == set(names[:kept])


@pytest.mark.parametrize("before", [0, OLD, NOW, NEW, NEW + 1])
def test_prune_of_what_is_older(way: Way, make: Maker, before: int) -> None:
    target, source = source_entries(), dict(list(source_entries().items())[:30])
    made = make(LRU_HASH).fill(target)
    kept = {k: v for k, v in target.items() if k in source or time_of(v) >= before}
    gone = len(target) - len(kept)
    assert way.prune(make(HASH).fill(source).side, made.side, Older(8, before)) == gone
    assert made.dump() == kept


def test_bpftool_sees_the_same(way: Way, make: Maker, pins: Path) -> None:
    target = make(HASH, flags=NO_PREALLOC)
    rawbpf.pin(target.fd, str(pins / "target"))
    way.carry(make(HASH).fill(source_entries()).side, target.side, Rule())
    command = ["bpftool", "map", "dump", "pinned", str(pins / "target")]
    shown = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "Found 300 elements" in shown

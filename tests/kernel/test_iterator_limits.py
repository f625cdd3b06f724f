# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes in the kernel: when they leave the work to others, and how they fail."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import SyscallError
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import iterator
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.pass_programs import (
    MAX_ENTRY_BYTES,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.programs import (
    Program,
    ProgSpec,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.readers import Side
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.rules import Rule
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.bpf import AttachType, ProgType
from tests.kernel.map_pairs import (
    Made,
    Maker,
    made_maps,
    new_map,
    number,
    source_entries,
)
from tests.kernel.support import (
    ARRAY,
    HASH,
    LPM_TRIE,
    LRU_HASH,
    LRU_PERCPU_HASH,
    NO_PREALLOC,
    PERCPU_ARRAY,
    PERCPU_HASH,
)
from tests.observe import rawbpf

RDONLY_PROG = 1 << 7
EXIT = b"\x95" + bytes(7)


@pytest.fixture
def make() -> Iterator[Maker]:
    yield from made_maps()


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_without_btf_it_leaves_the_work_to_others(make: Maker, tmp_path: Path) -> None:
    source, target = make(HASH).fill(source_entries()), make(HASH)
    absent = str(tmp_path / "vmlinux")
    assert iterator.carry(source.side, target.side, Rule(), btf_path=absent) is None
    assert iterator.missing_keys(target.side, source.side, btf_path=absent) is None
    assert target.dump() == {}


@pytest.mark.parametrize("kind", [PERCPU_HASH, LRU_PERCPU_HASH, PERCPU_ARRAY, LPM_TRIE])
def test_other_types_are_left_to_others(make: Maker, kind: int) -> None:
    flags = NO_PREALLOC if kind == LPM_TRIE else 0
    key = 8 if kind == LPM_TRIE else 4
    source, target = (make(kind, key, 8, flags=flags) for _ in range(2))
    assert iterator.carry(source.side, target.side, Rule()) is None
    assert iterator.missing_keys(source.side, target.side) is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param((HASH, 4, 8), (HASH, 4, 16), id="value size"),
        pytest.param((HASH, 4, 8), (HASH, 8, 8), id="key size"),
        pytest.param((HASH, 4, 8), (ARRAY, 4, 8), id="hash and array"),
        pytest.param((HASH, 8, MAX_ENTRY_BYTES), (HASH, 8, MAX_ENTRY_BYTES), id="too large"),
    ],
)
def test_other_layouts_are_left_to_others(
    make: Maker, ours: tuple[int, int, int], theirs: tuple[int, int, int]
) -> None:
    source, target = make(*ours, entries=10), make(*theirs, entries=10)
    assert iterator.carry(source.side, target.side, Rule()) is None
    assert iterator.missing_keys(source.side, target.side) is None


def test_the_largest_entries(make: Maker) -> None:
    entries = {number(i, 96): os.urandom(MAX_ENTRY_BYTES - 96) for i in range(20)}
    source = make(HASH, 96, MAX_ENTRY_BYTES - 96, 40).fill(entries)
    target = make(HASH, 96, MAX_ENTRY_BYTES - 96, 40)
    assert iterator.carry(source.side, target.side, Rule()) == (20, 20, 0, 0, 0)
    assert target.dump() == entries


@pytest.mark.parametrize("kind", [LRU_HASH, ARRAY])
def test_no_keys_are_looked_for_in_lru_maps_and_arrays(make: Maker, kind: int) -> None:
    assert iterator.missing_keys(make(kind).side, make(kind).side) is None


def frozen(target: Made, place: Path) -> Side:
    rawbpf.freeze(target.fd)
    return target.side


def read_only(target: Made, place: Path) -> Side:
    rawbpf.pin(target.fd, str(place / "target"))
    opened = Map.open(str(place / "target"), read_only=True)
    return Side(opened, opened.info().spec)


@pytest.mark.parametrize("deny", [frozen, read_only])
def test_a_target_that_user_space_must_not_write(
    make: Maker, pins: Path, deny: Callable[[Made, Path], Side]
) -> None:
    source, target = make(HASH).fill(source_entries()), make(HASH)
    denied = deny(target, pins)
    assert iterator.carry(source.side, denied, Rule()) is None
    assert target.dump() == {}
    assert iterator.carry(source.side, denied, Rule(dry_run=True)) == (300, 300, 0, 0, 0)


def test_a_target_that_programs_must_not_write(make: Maker) -> None:
    source, target = make(HASH).fill(source_entries()), make(HASH, flags=RDONLY_PROG)
    assert iterator.carry(source.side, target.side, Rule()) is None
    assert target.dump() == {}


def locked_map() -> int:
    """A map of struct { struct bpf_spin_lock lock; int number; }, described by BTF."""
    strings = b"\0int\0bpf_spin_lock\0val\0value\0lock\0number\0"

    def name(text: bytes) -> int:
        return strings.index(b"\0" + text + b"\0") + 1

    types = struct.pack("<4I", name(b"int"), 1 << 24, 4, 32)
    types += struct.pack("<3I", name(b"bpf_spin_lock"), 4 << 24 | 1, 4)
    types += struct.pack("<3I", name(b"val"), 1, 0)
    types += struct.pack("<3I", name(b"value"), 4 << 24 | 2, 8)
    types += struct.pack("<6I", name(b"lock"), 2, 0, name(b"number"), 1, 32)
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings))
    blob = rawbpf.ctypes.create_string_buffer(head + types + strings)
    btf = rawbpf.call(18, struct.pack("<QQI", rawbpf.address(blob), 0, len(blob) - 1))
    layout = struct.pack("<5III16sIIII", HASH, 4, 8, 10, 0, 0, 0, b"", 0, btf, 1, 3)
    try:
        return rawbpf.call(0, layout)
    finally:
        os.close(btf)


def test_values_with_a_lock_are_left_to_others(make: Maker) -> None:
    fd = locked_map()
    locked = new_map(fd)
    try:
        assert iterator.carry(locked.side, make(HASH, 4, 8).side, Rule()) is None
        assert iterator.carry(make(HASH, 4, 8).side, locked.side, Rule()) is None
    finally:
        os.close(fd)


def test_a_refused_program_changes_nothing_and_leaves_nothing_open(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iterator, "function_id", lambda name, path: 1)
    source, target = make(HASH).fill(source_entries()), make(HASH)
    before = open_files()
    assert iterator.carry(source.side, target.side, Rule()) is None
    assert iterator.missing_keys(target.side, source.side) is None
    assert open_files() == before
    assert target.dump() == {}


def test_the_error_of_a_refused_program_has_the_verifiers_reason() -> None:
    with pytest.raises(SyscallError, match=r"PROG_LOAD.*the verifier says: .*R0 !read_ok"):
        Program.load(ProgSpec(3, EXIT, "bpfops_t"))


def test_a_tracing_program_needs_a_function() -> None:
    spec = ProgSpec(ProgType.TRACING, b"\xb7" + bytes(7) + EXIT, "bpfops_t", AttachType.TRACE_ITER)
    with pytest.raises(SyscallError, match="verifier says"):
        Program.load(spec)


def test_nothing_stays_open(make: Maker) -> None:
    source, target = make(HASH).fill(source_entries()), make(HASH)
    before = open_files()
    assert iterator.carry(source.side, target.side, Rule())
    assert iterator.missing_keys(source.side, target.side)
    assert open_files() == before


def test_a_walk_that_fails_is_an_error(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = make(HASH).fill(source_entries()), make(HASH)
    before = open_files()

    def fail(fd: int, size: int) -> bytes:
        raise OSError(errno.EIO, "")

    with monkeypatch.context() as patch:
        patch.setattr(iterator.os, "read", fail)
        with pytest.raises(SyscallError, match="map iterator failed with EIO"):
            iterator.carry(source.side, target.side, Rule())
    assert open_files() == before


def test_entries_that_a_full_target_refuses_are_counted(make: Maker) -> None:
    source, target = make(HASH).fill(source_entries()), make(HASH, entries=100)
    done = iterator.carry(source.side, target.side, Rule())
    assert done is not None
    held = len(target.dump())
    assert done == (300, held, 0, 300 - held, errno.E2BIG)

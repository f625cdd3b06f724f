# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel layer: objects, streams and pins of the running kernel."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import (
    bpffs,
    maps,
    proc,
    programs,
    readers,
    writers,
)
from ansible_collections.bpfops.calico.plugins.module_utils._uapi import bpf as uapi
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec
from tests.kernel.support import HASH, LPM_TRIE, bpftool, fill, make, run
from tests.observe import rawbpf


def test_map_information_is_what_bpftool_shows(pins: Path) -> None:
    fd = make(pins / "m", HASH, 1000, key=16, value=88, flags=1)
    with maps.Map.open(str(pins / "m"), read_only=True) as opened:
        info = opened.info()
        shown = bpftool("map", "show", "pinned", str(pins / "m"))
        assert info.id == shown["id"] == rawbpf.map_id(fd)
        assert info.spec[:5] == (HASH, 16, 88, 1000, 1)
        assert opened.memory() == shown["bytes_memlock"]
        assert not opened.frozen()


def test_read_only_descriptor_cannot_write(pins: Path) -> None:
    make(pins / "m", HASH, 10)
    with (
        maps.Map.open(str(pins / "m"), read_only=True) as opened,
        pytest.raises(errors.SyscallError) as caught,
    ):
        opened.update(b"keyy", bytes(8))
    assert caught.value.errno == errno.EPERM
    assert "bpf(BPF_MAP_UPDATE_ELEM) failed with EPERM: " in str(caught.value)


def test_single_entries(pins: Path) -> None:
    with maps.Map.create(MapSpec(HASH, 4, 8, 2, 0, "one")) as created:
        created.pin(str(pins / "m"))
        assert created.lookup(b"keyy", 8) is None
        created.update(b"keyy", b"valuexyz", uapi.UpdateFlag.NOEXIST)
        assert rawbpf.get(created.fd, b"keyy", 8) == b"valuexyz"
        assert created.lookup(b"keyy", 8) == b"valuexyz"
        assert list(created.keys(4)) == [b"keyy"]
        with pytest.raises(errors.SyscallError, match="EEXIST: the key exists already"):
            created.update(b"keyy", bytes(8), uapi.UpdateFlag.NOEXIST)
        created.update(b"two.", bytes(8))
        with pytest.raises(errors.SyscallError, match="E2BIG: the map is full"):
            created.update(b"more", bytes(8))
        assert created.delete(b"keyy")
        assert not created.delete(b"keyy")
    with pytest.raises(errors.SyscallError, match="the object is gone"):
        maps.Map.from_id(2**31 - 1)


TYPED_MAP = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct seen { unsigned long long seen; };
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4);
    __type(key, int);
    __type(value, struct seen);
} typed SEC(".maps");
SEC("tc") int use(void *context) { int key = 0; return bpf_map_lookup_elem(&typed, &key) != 0; }
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.skipif(not shutil.which("clang"), reason="clang is not on this machine")
def test_btf_travels_with_the_parameters(pins: Path, tmp_path: Path) -> None:
    """bpftool shows entries of a map with BTF by name, so a replaced map has to keep it."""
    (tmp_path / "typed.bpf.c").write_text(TYPED_MAP)
    include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    build = ["clang", "-O2", "-g", "-target", "bpf", include, "-c", "typed.bpf.c"]
    subprocess.run([*build, "-o", "typed.o"], check=True, cwd=tmp_path)
    load = ["bpftool", "prog", "load", str(tmp_path / "typed.o"), str(pins / "prog")]
    subprocess.run([*load, "pinmaps", str(pins / "maps")], check=True)
    typed = pins / "maps" / "typed"
    rawbpf.put(rawbpf.open_pinned(str(typed)), bytes(4), struct.pack("<Q", 42))
    run(path=str(typed), max_entries=8)
    (entry,) = bpftool("map", "dump", "pinned", str(typed))
    assert entry["formatted"]["value"] == {"seen": 42}


@pytest.mark.parametrize("kind", [HASH, LPM_TRIE])
def test_reading_entry_by_entry_gives_the_same(
    pins: Path, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = make(pins / "m", kind, 500, key=8, flags=1)
    wanted = fill(fd, kind, 300, 8)
    monkeypatch.setattr(readers, "has_batch", lambda source, spec: False)
    with maps.Map.open(str(pins / "m"), read_only=True) as opened:
        spec = opened.info().spec
        reader = readers.open_reader(opened, spec, 7)
        assert isinstance(reader, readers.EntryReader)
        found: dict[bytes, bytes] = {}
        for chunk in readers.chunks(reader, spec):
            for index in range(chunk.count):
                key = bytes(chunk.key_view[index * 8 : index * 8 + 8])
                found[key] = bytes(chunk.value_view[index * 8 : index * 8 + 8])
    assert found == wanted


def test_reading_a_map_that_changes_too_fast_ends(pins: Path) -> None:
    fd = make(pins / "m", HASH, 10)
    fill(fd, HASH, 10)
    with maps.Map.open(str(pins / "m")) as opened:
        reader = readers.EntryReader(opened, readers.new_chunk(opened.info().spec, 1), 0)
        reader.read()
        with pytest.raises(errors.UnverifiedError, match="changes faster"):
            while reader.read():
                pass


def test_writing_entry_by_entry_where_there_is_no_batch(pins: Path) -> None:
    fd = make(pins / "m", HASH, 10)
    fill(fd, HASH, 10)
    target = make(pins / "n", HASH, 10)
    with maps.Map.open(str(pins / "m")) as source, maps.Map.open(str(pins / "n")) as copy:
        writer = writers.ChunkWriter(copy)
        writer._has_batch = False
        reader = readers.open_reader(source, source.info().spec)
        for chunk in readers.chunks(reader, copy.info().spec):
            writer.write(chunk)
    assert rawbpf.dump(target, 4, 8) == rawbpf.dump(fd, 4, 8)


@pytest.mark.parametrize("batch", [True, False])
def test_deleting_passes_what_is_gone_already(
    pins: Path, batch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = make(pins / "m", HASH, 1000)
    entries = fill(fd, HASH, 900)
    if not batch:
        monkeypatch.setattr(writers, "_delete_batch", lambda target, keys: None)
    doomed = [key for key in entries if key[0] % 3]
    for gone in (doomed[0], doomed[300], doomed[-1]):
        rawbpf.delete(fd, gone)
    with maps.Map.open(str(pins / "m")) as opened:
        assert writers.delete_keys(opened, doomed) == len(doomed) - 3
        assert writers.delete_keys(opened, []) == 0
    assert set(rawbpf.keys(fd, 4)) == set(entries) - set(doomed)


def test_programs_tell_their_maps(pins: Path) -> None:
    map_fd = make(pins / "m", HASH, 10)
    fd = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.using(map_fd, 0), "bpfops_user")
    with programs.Program(os.dup(fd)) as opened:
        info = opened.info()
    shown = bpftool("prog", "show", "id", str(info.id))
    assert (info.name, info.tag) == (shown["name"], shown["tag"])
    assert list(info.map_ids) == shown["map_ids"] == [rawbpf.map_id(map_fd)]
    users = programs.map_users()[rawbpf.map_id(map_fd)]
    assert [user.id for user in users] == [info.id]
    os.close(fd)


def test_walk_passes_what_the_kernel_preloads(pins: Path, bpffs_mount: Path) -> None:
    make(pins / "b", HASH, 1)
    (pins / "a").mkdir()
    make(pins / "a" / "c", HASH, 1)
    assert list(bpffs.walk(str(pins))) == [str(pins / "b"), str(pins / "a" / "c")]
    assert not any("." in Path(path).name for path in bpffs.walk(str(bpffs_mount)))
    assert bpffs.any_mounted()


def test_possible_cpus_is_what_a_per_cpu_value_holds(pins: Path) -> None:
    make(pins / "m", 6, 1)
    (entry,) = bpftool("map", "dump", "pinned", str(pins / "m"))
    assert len(entry["values"]) == proc.possible_cpus()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and disks that a snapshot cannot use: one sentence each, and nothing has changed."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import files
from ansible_collections.bpfops.calico.plugins.module_utils._observe import snapshot_save
from tests.kernel.flows import ESTABLISHED, TCP, key4, value
from tests.kernel.snapshots import change, contents, snapshot
from tests.kernel.support import HASH, NO_PREALLOC, content, make, names
from tests.observe import rawbpf

MAP = "cali_v4_ct3"
ENTRIES = {key4(TCP, "10.0.0.1", n, "10.0.0.2", 80): value(5, bits=ESTABLISHED) for n in range(300)}


@pytest.fixture(autouse=True)
def table(pins: Path) -> Path:
    fd = make(pins / MAP, HASH, 1000, key=16, value=88, flags=NO_PREALLOC)
    rawbpf.put_batch(fd, b"".join(ENTRIES), b"".join(ENTRIES.values()), len(ENTRIES))
    os.close(fd)
    return pins / MAP


def refused(expected: str, state: str, path: Path | str, pins: Path, **params: Any) -> None:
    with pytest.raises(errors.BpfopsError) as caught:
        snapshot(state, Path(path), pins, **{"calico_version": "v3.29.7", **params})
    message = caught.value.as_failure()["msg"]
    assert expected in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.fixture
def saved(pins: Path, tmp_path: Path) -> Path:
    path = tmp_path / "s"
    snapshot("saved", path, pins, calico_version="v3.29.7")
    return path


def empty(pins: Path) -> None:
    (pins / MAP).unlink()
    os.close(make(pins / MAP, HASH, 1000, key=16, value=88, flags=NO_PREALLOC))


@pytest.mark.parametrize("state", ["saved", "inspected", "restored"])
def test_paths_that_are_no_file(state: str, pins: Path, tmp_path: Path) -> None:
    refused("is relative", state, "s", pins)
    refused("is a directory, and a snapshot is a file", state, tmp_path, pins)
    os.mkfifo(tmp_path / "pipe")
    refused("is a special file", state, tmp_path / "pipe", pins)
    assert "pipe" in names(tmp_path)
    assert ".s.bpfops" not in names(tmp_path)


@pytest.mark.parametrize("state", ["saved", "inspected", "restored"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_symbolic_link_is_not_followed(
    state: str, overwrite: bool, pins: Path, saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(saved)
    before = saved.read_bytes()
    refused("is a symbolic link", state, tmp_path / "link", pins, overwrite=overwrite)
    assert saved.read_bytes() == before
    assert (tmp_path / "link").is_symlink()


def test_a_link_in_the_place_of_the_unfinished_file(pins: Path, tmp_path: Path) -> None:
    """Whoever may write the directory must not let us write elsewhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"somebody's")
    (tmp_path / ".s.bpfops").symlink_to(victim)
    done = snapshot("saved", tmp_path / "s", pins)
    assert "which an interrupted run has left" in done.actions[0]
    assert victim.read_bytes() == b"somebody's"
    assert contents(tmp_path / "s") == {MAP: ENTRIES}
    assert names(tmp_path) == ["lock", "s", "victim"]


def test_a_link_that_comes_after_the_look(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"somebody's")
    (tmp_path / ".s.bpfops").symlink_to(victim)
    with pytest.raises(FileExistsError), files.replaced(str(tmp_path / "s")) as file:
        file.write(b"ours")
    assert victim.read_bytes() == b"somebody's"
    assert (tmp_path / ".s.bpfops").is_symlink()
    with pytest.raises(OSError, match="symbolic links"):
        files.open_regular(str(tmp_path / ".s.bpfops"))


def test_somebody_elses_file(pins: Path, tmp_path: Path) -> None:
    other = tmp_path / "passwd"
    for text in (b"", b"root:x:0:0\n" * 100):
        other.write_bytes(text)
        for overwrite in (False, True):
            refused("is no snapshot", "saved", other, pins, overwrite=overwrite)
        refused("is no snapshot", "inspected", other, pins)
        refused("is no snapshot", "restored", other, pins)
        assert other.read_bytes() == text


def test_no_such_file_or_directory(pins: Path, tmp_path: Path) -> None:
    for state in ("inspected", "restored"):
        refused("is not there", state, tmp_path / "nowhere", pins)
        refused("is not there", state, tmp_path / "no" / "where", pins)
    refused(f"{tmp_path / 'no'} is not there", "saved", tmp_path / "no" / "where", pins)
    (tmp_path / "file").write_bytes(b"")
    refused("cannot be read: Not a directory", "inspected", tmp_path / "file" / "s", pins)
    refused("Not a directory", "saved", tmp_path / "file" / "s", pins)
    assert names(tmp_path) == ["file", "lock"]


@pytest.mark.parametrize("cut", [300, 20_000, -1])
def test_a_torn_or_damaged_file(cut: int, pins: Path, saved: Path) -> None:
    empty(pins)
    whole = saved.read_bytes()
    flipped = bytearray(whole)
    flipped[cut] ^= 1
    for raw in (whole[:cut], bytes(flipped)):
        saved.write_bytes(raw)
        for state in ("inspected", "restored"):
            refused("cut off or damaged: its checksum differs", state, saved, pins)
        refused("its checksum differs; overwrite=true replaces it", "saved", saved, pins)
        dry = snapshot("saved", saved, pins, check=True, overwrite=True)
        assert (len(dry.actions), dry.facts["snapshot"]) == (1, None)
    assert content(pins / MAP, 16, 88) == {}


def test_a_file_that_others_may_write(pins: Path, saved: Path) -> None:
    empty(pins)
    for mode, owner in ((0o620, 0), (0o602, 0), (0o600, 65534)):
        saved.chmod(mode)
        os.chown(saved, owner, 0)
        refused("can be written by others than root", "restored", saved, pins)
        refused("than root; overwrite=true replaces it", "saved", saved, pins)
    assert content(pins / MAP, 16, 88) == {}


TABLE_AT = 240
"""Offset of the first table: 16 B name, u32 type, key size, value size."""


def test_another_layout(pins: Path, saved: Path) -> None:
    (pins / MAP).unlink()
    os.close(make(pins / MAP, HASH, 1000, key=16, value=64, flags=NO_PREALLOC))
    refused("has entries of 16 and 88 bytes, and", "restored", saved, pins)
    empty(pins)
    change(saved, TABLE_AT, b"cali_v4_ct9\0")
    refused("cali_v4_ct9 in", "restored", saved, pins)
    refused("of a version that is not known here", "restored", saved, pins)
    change(saved, TABLE_AT, b"cali_v4_ct3\0")
    change(saved, 8, struct.pack("<I", 2))
    refused("format 2, and this version reads 1", "restored", saved, pins)
    assert content(pins / MAP, 16, 88) == {}


def test_a_file_that_contradicts_itself_restores_nothing(pins: Path, saved: Path) -> None:
    empty(pins)
    size = saved.stat().st_size
    change(saved, size - 32 - 8, struct.pack("<Q", 299))
    refused("contradicts itself", "restored", saved, pins)
    refused("contradicts itself", "inspected", saved, pins)
    assert content(pins / MAP, 16, 88) == {}


def test_no_map_to_save_or_restore_into(pins: Path, saved: Path, tmp_path: Path) -> None:
    refused("holds no entries of ipv6", "restored", saved, pins, families=["ipv6"])
    refused("families: [] is empty", "restored", saved, pins, families=[])
    refused("no conntrack map of ipv6 is pinned", "saved", tmp_path / "x", pins, families=["ipv6"])
    (pins / MAP).unlink()
    refused("no ipv4 conntrack map of Calico 3.29.7 is pinned", "restored", saved, pins)
    refused("no conntrack map of ipv4 or ipv6 is pinned", "saved", tmp_path / "x", pins)
    refused("is not on a bpffs", "saved", tmp_path / "x", tmp_path)
    refused("is not among the releases", "restored", saved, pins, calico_version="v3.99.1")
    assert names(tmp_path) == ["lock", "s"]


def test_too_little_memory(pins: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.bpfops.calico.plugins.module_utils._kernel import proc

    monkeypatch.setattr(proc, "memory", lambda: proc.Memory(10**9, 50_000))
    refused("bytes of memory until they are restored, and 50000 are", "restored", saved, pins)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 KiB; the table takes about 32 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_without_room(pins: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_disk / "s"
    snapshot("saved", path, pins)
    before = path.read_bytes()
    refused("needs 31540 bytes, and 8192 are free", "saved", path, pins, overwrite=True)
    # When it fills up only while the file is written.
    monkeypatch.setattr(snapshot_save, "free_bytes", lambda path: 10**9)
    refused("cannot be written: No space left", "saved", path, pins, overwrite=True)
    assert names(small_disk) == ["s"]
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_written(pins: Path, small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    refused("cannot be written: Read-only file system", "saved", small_disk / "s", pins)
    assert names(small_disk) == []


def in_child(work: Callable[[], object]) -> int:
    """The exit code of ``work`` in a child: 1 when a BadInputError was raised."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except errors.BadInputError as error:
            os._exit(1 if "cannot be read: Permission denied" in str(error) else 2)
        except BaseException:
            os._exit(3)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_inspecting_needs_no_root(pins: Path, saved: Path) -> None:
    place = Path("/tmp") / f"bpfops-inspect-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        copy = place / "s"
        copy.write_bytes(saved.read_bytes())

        def inspect() -> None:
            os.setuid(65534)
            snapshot("inspected", copy, pins)

        copy.chmod(0o600)
        assert in_child(inspect) == 1
        copy.chmod(0o644)
        assert in_child(inspect) == 0
    finally:
        for file in place.iterdir():
            file.unlink()
        place.rmdir()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed before any step: no file or the old one, no entry twice, and a next run finishes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel import files
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.writers import EntryWriter
from ansible_collections.bpfops.calico.plugins.module_utils._snapshot.stream import SnapshotWriter
from tests.kernel.flows import ESTABLISHED, TCP, key4, value
from tests.kernel.snapshots import contents, snapshot
from tests.kernel.support import HASH, NO_PREALLOC, content, die_before, make, names
from tests.observe import rawbpf

MAP = "cali_v4_ct3"
ENTRIES = {key4(TCP, "10.0.0.1", n, "10.0.0.2", 80): value(5, bits=ESTABLISHED) for n in range(300)}


def empty(pins: Path) -> None:
    (pins / MAP).unlink(missing_ok=True)
    os.close(make(pins / MAP, HASH, 1000, key=16, value=88, flags=NO_PREALLOC))


def fill(pins: Path) -> None:
    fd = rawbpf.open_pinned(str(pins / MAP))
    rawbpf.put_batch(fd, b"".join(ENTRIES), b"".join(ENTRIES.values()), len(ENTRIES))
    os.close(fd)


STEPS = (
    (os, "open"),
    (SnapshotWriter, "add"),
    (SnapshotWriter, "finish"),
    (os, "fsync"),
    (os, "rename"),
    (files, "_sync_directory"),
)


def in_child(work: Callable[[], object]) -> bool:
    """Whether ``work`` in a child came to its death."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_before_any_step(overwrite: bool, pins: Path, tmp_path: Path) -> None:
    place = tmp_path / "here"
    place.mkdir()
    path, deaths, left = place / "s", 0, 0
    empty(pins)
    fill(pins)
    for number in range(30):
        path.unlink(missing_ok=True)
        if overwrite:
            empty(pins)
            snapshot("saved", path, pins)
            fill(pins)

        def save(number: int = number) -> None:
            die_before(number, STEPS)
            snapshot("saved", path, pins, overwrite=overwrite)

        died = in_child(save)
        deaths += died
        left += (place / ".s.bpfops").exists()
        if overwrite:
            assert contents(path) in ({MAP: ENTRIES}, {MAP: {}})
        elif path.exists():
            assert contents(path) == {MAP: ENTRIES}
        snapshot("saved", path, pins, overwrite=overwrite)
        assert contents(path) == {MAP: ENTRIES}
        assert names(place) == ["s"]
        assert overwrite or snapshot("saved", path, pins).actions == ()
        if not died:
            break
    # open (lock, temporary file, directory), two blocks, finish, fsync of both, rename, and the
    # read-back's open.
    assert deaths >= 8
    assert left >= 4


def test_killed_while_restoring(pins: Path, tmp_path: Path) -> None:
    empty(pins)
    fill(pins)
    snapshot("saved", tmp_path / "s", pins, calico_version="v3.29.7")
    empty(pins)

    def restore() -> None:
        die_before(50, ((EntryWriter, "put"),))
        snapshot("restored", tmp_path / "s", pins, calico_version="v3.29.7")

    assert in_child(restore)
    assert len(content(pins / MAP, 16, 88)) == 50
    done = snapshot("restored", tmp_path / "s", pins, calico_version="v3.29.7")
    assert done.facts["inserted"] == len(ENTRIES) - 50
    assert content(pins / MAP, 16, 88) == ENTRIES


def test_a_power_failure_finds_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content is on the disk before the name, and then the name is."""
    calls = []
    fsync, rename = os.fsync, os.rename

    def synced(fd: int) -> None:
        calls.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def renamed(old: str, new: str) -> None:
        calls.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with files.replaced(str(tmp_path / "s")) as file:
        file.write(b"content")
    assert calls == ["file", "rename", "directory"]

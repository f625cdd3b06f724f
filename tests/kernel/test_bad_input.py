# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends in one sentence that names the parameter, and nothing has changed."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import bpffs, lock, proc
from tests.kernel.support import HASH, PROG_ARRAY, make, run, shown
from tests.observe import rawbpf


def refused(expected: str, **params: Any) -> None:
    with pytest.raises(errors.BpfopsError) as caught:
        run(**params)
    message = caught.value.as_failure()["msg"]
    assert expected in message
    assert message.endswith(".")
    assert "\n" not in message


def test_path_outside_a_bpffs(bpffs_mount: Path, tmp_path: Path) -> None:
    refused("is not on a bpffs", path=str(tmp_path / "m"), max_entries=1)
    assert not (tmp_path / "m").exists()


def test_path_is_a_directory(pins: Path) -> None:
    (pins / "d").mkdir()
    refused("is a directory and not a pinned map", path=str(pins / "d"), state="absent")
    assert (pins / "d").is_dir()


def test_path_is_a_program(pins: Path) -> None:
    program = rawbpf.load_program(rawbpf.SCHED_CLS, rawbpf.returning(0))
    rawbpf.pin(program, str(pins / "p"))
    refused("is a program and not a pinned map", path=str(pins / "p"), state="absent")
    assert (pins / "p").exists()


def test_path_is_a_link(pins: Path) -> None:
    program = rawbpf.load_program(rawbpf.XDP, rawbpf.returning(2))
    link = rawbpf.create_link(program, 1, 37)  # generic XDP on the loopback interface
    rawbpf.pin(link, str(pins / "l"))
    try:
        refused("is a link and not a pinned map", path=str(pins / "l"), max_entries=1)
        assert (pins / "l").exists()
    finally:
        (pins / "l").unlink()
        os.close(link)


@pytest.mark.parametrize("parameter", ["keep_old_pin", "merge_from"])
def test_other_paths_are_checked_too(pins: Path, tmp_path: Path, parameter: str) -> None:
    fd = make(pins / "m", HASH, 10)
    other = {parameter: str(tmp_path / "x")}
    refused(f"{parameter}: ", path=str(pins / "m"), max_entries=20, **other)
    assert shown(pins / "m")["id"] == rawbpf.map_id(fd)


def test_keep_old_pin_in_use(pins: Path) -> None:
    fd, other = make(pins / "m", HASH, 10), make(pins / "old", HASH, 10)
    keep = str(pins / "old")
    refused("keep_old_pin: ", path=str(pins / "m"), max_entries=20, keep_old_pin=keep)
    assert shown(pins / "m")["id"] == rawbpf.map_id(fd)
    assert shown(pins / "old")["id"] == rawbpf.map_id(other)


def test_keep_old_pin_of_a_run_that_was_cut_off(pins: Path) -> None:
    fd = make(pins / "m", HASH, 10)
    rawbpf.pin(fd, str(pins / "old"))
    run(path=str(pins / "m"), max_entries=20, keep_old_pin=str(pins / "old"))
    assert shown(pins / "old")["id"] == rawbpf.map_id(fd)
    assert shown(pins / "m")["max_entries"] == 20


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "lru_hash"}, "type: 'lru_hash' differs from 'hash'"),
        ({"key_size": 8}, "key_size: 8 differs from 4"),
        ({"value_size": 4}, "value_size: 4 differs from 8"),
        ({"max_entries": 20, "on_mismatch": "fail"}, "on_mismatch is fail"),
        ({"timestamp_offset": 1, "max_entries": 20}, "timestamp_offset: 1 leaves no room"),
    ],
)
def test_changes_that_entries_do_not_survive(
    pins: Path, change: dict[str, Any], expected: str
) -> None:
    fd = make(pins / "m", HASH, 10)
    refused(expected, path=str(pins / "m"), **change)
    assert shown(pins / "m")["id"] == rawbpf.map_id(fd)


@pytest.mark.parametrize(("kind", "value"), [(PROG_ARRAY, 4), (4, 4), (12, 4), (27, 0)])
def test_types_that_user_space_cannot_copy(pins: Path, kind: int, value: int) -> None:
    entries, key = (4096, 0) if kind == 27 else (10, 4)
    if kind == 12:
        inner = rawbpf.create_map(HASH, 4, 4, 1)
        fd = rawbpf.call(0, bytes(_map_in_map(inner)))
        rawbpf.pin(fd, str(pins / "m"))
    else:
        fd = make(pins / "m", kind, entries, key=key, value=value)
    refused("user space cannot copy", path=str(pins / "m"), max_entries=entries * 2)
    assert shown(pins / "m")["id"] == rawbpf.map_id(fd)


def _map_in_map(inner: int) -> bytes:
    return struct.pack("<6I", 12, 4, 4, 10, 0, inner)


def test_kernel_refusals_name_the_map(pins: Path) -> None:
    params = {"path": str(pins / "m"), "type": "array", "value_size": 8, "max_entries": 1}
    refused("bpf(BPF_MAP_CREATE) on array map", key_size=8, **params)
    assert not (pins / "m").exists()


def test_too_large_for_the_machine(pins: Path) -> None:
    sizes = {"type": "hash", "key_size": 512, "value_size": 4194304}
    refused("BPF_MAP_CREATE", path=str(pins / "m"), max_entries=4294967295, **sizes)
    assert not (pins / "m").exists()


def test_lock_is_waited_for_and_its_holder_named(pins: Path, own_lock: Path) -> None:
    fd = make(pins / "m", HASH, 10)
    with lock.node_lock(0, str(own_lock)):
        refused(
            f"(pid {os.getpid()}) holds", path=str(pins / "m"), max_entries=20, lock_timeout=0.2
        )
    assert shown(pins / "m")["id"] == rawbpf.map_id(fd)
    run(path=str(pins / "m"), max_entries=20, lock_timeout=0)


def test_no_bpffs_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bpffs, "any_mounted", lambda: False)
    refused("no bpffs is mounted on this node", path=str(tmp_path / "m"), max_entries=1)


def test_rights_are_asked_for() -> None:
    with pytest.raises(errors.RefusedError, match="need root or CAP_BPF"):
        proc.require_bpf_rights(capabilities=0)
    proc.require_bpf_rights(capabilities=1 << proc.CAP_BPF)


def test_another_user_is_refused() -> None:
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            proc.require_bpf_rights()
        except errors.RefusedError as error:
            os._exit("uid 65534" in str(error))
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1

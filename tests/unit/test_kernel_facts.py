# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel layer derives without calling the kernel."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import (
    RefusedError,
    UnsupportedError,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import (
    attr,
    chunks,
    lock,
    machine,
    proc,
)
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.copy import bucket_ranges
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.syscall import syscall_number
from ansible_collections.bpfops.calico.plugins.module_utils._uapi import maps
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.bpf import MapType


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 321), ("aarch64", 280)])
def test_system_call_numbers(machine: str, number: int) -> None:
    assert syscall_number(machine) == number


@pytest.mark.parametrize(("machine", "bits"), [("riscv64", 64), ("i686", 32), ("x86_64", 32)])
def test_other_machines_are_refused_with_a_sentence(machine: str, bits: int) -> None:
    with pytest.raises(UnsupportedError, match=f"this is {bits}-bit {machine}"):
        syscall_number(machine, bits)


def test_every_attribute_has_256_zeroed_bytes() -> None:
    made = attr.Attr()
    assert ctypes.sizeof(made) == 256
    assert bytes(made) == bytes(256)


@pytest.mark.parametrize(
    ("struct", "field", "offset"),
    [
        (attr.MapCreateAttr, "map_name", 28),
        (attr.MapCreateAttr, "btf_value_type_id", 56),
        (attr.MapCreateAttr, "map_extra", 64),
        (attr.BatchAttr, "count", 32),
        (attr.BatchAttr, "elem_flags", 40),
        (attr.QueryAttr, "prog_ids", 16),
        (attr.QueryAttr, "count", 24),
        (attr.QueryAttr, "link_ids", 40),
        (attr.QueryAttr, "revision", 56),
        (attr.InfoAttr, "info", 8),
    ],
)
def test_offsets_are_those_of_the_kernel_header(
    struct: type[ctypes.Structure], field: str, offset: int
) -> None:
    assert getattr(struct, field).offset == offset


@pytest.mark.parametrize(("text", "count"), [("0\n", 1), ("0-3", 4), ("0,2-5", 6), ("0-1,7", 8)])
def test_cpu_lists(text: str, count: int) -> None:
    assert proc.parse_cpu_list(text) == count


def test_slots_of_per_cpu_values() -> None:
    assert maps.slot_size(MapType.HASH, 12, 4) == 12
    assert maps.slot_size(MapType.PERCPU_HASH, 12, 4) == 64
    assert maps.slot_size(MapType.LRU_PERCPU_HASH, 8, 3) == 24


def test_flags_have_their_names() -> None:
    assert maps.flag_names(0b1000011) == [
        "BPF_F_NO_PREALLOC",
        "BPF_F_NO_COMMON_LRU",
        "BPF_F_ZERO_SEED",
    ]
    assert maps.flag_names(1 << 30) == ["0x40000000"]
    assert maps.type_name(1) == "hash"
    assert maps.type_name(999) == "999"


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize("entries", [1, 1000, 1024, 512000])
def test_bucket_ranges_cover_all_buckets_once(entries: int, parts: int) -> None:
    ranges = bucket_ranges(entries, parts)
    assert ranges[0][0] == 0
    assert ranges[-1][1] is None
    assert [stop for _start, stop in ranges[:-1]] == [start for start, _stop in ranges[1:]]
    assert max(start for start, _stop in ranges) <= 1 << (entries - 1).bit_length()


def test_chunks_stay_small_and_grow_when_told() -> None:
    chunk = chunks.Chunk(4, 1 << 20, 1000)
    assert chunk.capacity == 4
    chunk.grow()
    assert chunk.capacity == 8
    assert len(chunk.keys) == 32
    assert chunks.Chunk(4, 100 << 20, 10).capacity == 1


def test_lock_keeps_two_apart_and_names_the_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with lock.node_lock(0, path), pytest.raises(RefusedError) as caught, lock.node_lock(0.3, path):
        pass
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert "lock_timeout of 0.3 s" in str(caught.value)


def test_lock_is_waited_for(tmp_path: Path) -> None:
    path, order = str(tmp_path / "lock"), []
    held = threading.Event()

    def hold() -> None:
        with lock.node_lock(0, path):
            held.set()
            time.sleep(0.2)
            order.append("first")

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    with lock.node_lock(30, path):
        order.append("second")
    holder.join()
    assert order == ["first", "second"]


def test_lock_of_a_dead_holder_is_free(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    child = os.fork()
    if child == 0:
        lock.node_lock(0, path).__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    with lock.node_lock(0, path):
        assert Path(path).read_text("ascii") == str(os.getpid())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION_ID="12"\n', {"ID": "debian", "VERSION_ID": "12"}),
        (
            "# ID=no\n\nID='rocky'\nID_LIKE=\"rhel fedora\"",
            {"ID": "rocky", "ID_LIKE": "rhel fedora"},
        ),
        ('ID="open\nNAME=a\n', {"NAME": "a"}),
        ("nothing", {}),
    ],
)
def test_fields_of_os_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    path = tmp_path / "os-release"
    monkeypatch.setattr(machine, "_OS_RELEASE", (str(tmp_path / "missing"), str(path)))
    assert machine.os_release() == {}
    path.write_text(text, "utf-8")
    assert machine.os_release() == expected

# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a function in BTF that is made by hand, with every kind of type before it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel import btf

# What follows the record by kind, in bytes (Documentation/bpf/btf.rst): once, and for a member.
FOLLOWING = {
    "int": (1, 4, 0),
    "pointer": (2, 0, 0),
    "array": (3, 12, 0),
    "struct": (4, 0, 12),
    "union": (5, 0, 12),
    "enum": (6, 0, 8),
    "forward": (7, 0, 0),
    "typedef": (8, 0, 0),
    "volatile": (9, 0, 0),
    "const": (10, 0, 0),
    "restrict": (11, 0, 0),
    "function": (12, 0, 0),
    "prototype": (13, 0, 8),
    "variable": (14, 4, 0),
    "section": (15, 0, 12),
    "float": (16, 0, 0),
    "declaration tag": (17, 4, 0),
    "type tag": (18, 0, 0),
    "enum of 64 bits": (19, 0, 12),
}
STRINGS = b"\0other\0wanted_more\0wanted\0last\0"
OTHER, WANTED = STRINGS.index(b"\0other") + 1, STRINGS.index(b"\0wanted\0") + 1


def record(kind: str, name: int = OTHER, members: int = 0, content: bytes = b"\xee") -> bytes:
    number, once, each = FOLLOWING[kind]
    size = once + each * members
    return struct.pack("<III", name, number << 24 | members, 1) + (content * size)[:size]


def wanted(linkage: int = 0) -> bytes:
    return record("function", WANTED, linkage)


def vmlinux(types: bytes, magic: int = 0xEB9F, header: int = 24) -> bytes:
    head = struct.pack("<HBBIIIII", magic, 1, 0, header, 0, len(types), len(types), len(STRINGS))
    return head.ljust(header, b"\0") + types + STRINGS


def find(place: Path, content: bytes, name: str = "wanted") -> int | None:
    file = place / "vmlinux"
    file.write_bytes(content)
    btf.function_id.cache_clear()
    return btf.function_id(name, str(file))


@pytest.mark.parametrize("kind", FOLLOWING)
@pytest.mark.parametrize("members", [0, 1, 7])
def test_a_record_of_every_kind_counts_as_one_type(tmp_path: Path, kind: str, members: int) -> None:
    if not FOLLOWING[kind][2]:
        members = 0
    before = record(kind, members=members) * 3
    assert find(tmp_path, vmlinux(before + wanted())) == 4


def test_the_first_type_has_id_1(tmp_path: Path) -> None:
    assert find(tmp_path, vmlinux(wanted() + record("int"))) == 1


@pytest.mark.parametrize("linkage", [0, 1, 2])
def test_a_function_is_found_with_any_linkage(tmp_path: Path, linkage: int) -> None:
    assert find(tmp_path, vmlinux(record("int") + wanted(linkage))) == 2


def test_the_flag_of_a_kind_is_no_part_of_it(tmp_path: Path) -> None:
    flagged = bytearray(record("struct", members=2))
    flagged[7] |= 0x80
    assert find(tmp_path, vmlinux(bytes(flagged) + wanted())) == 2


def test_what_looks_like_the_function_inside_a_record_is_passed(tmp_path: Path) -> None:
    decoy = record("struct", members=1, content=wanted())
    assert decoy[12:] == wanted()
    assert find(tmp_path, vmlinux(decoy + record("int") + wanted())) == 3


def test_another_kind_with_that_name_is_passed(tmp_path: Path) -> None:
    assert find(tmp_path, vmlinux(record("typedef", WANTED) + wanted())) == 2


def test_a_longer_header_is_passed(tmp_path: Path) -> None:
    assert find(tmp_path, vmlinux(record("int") + wanted(), header=40)) == 2


@pytest.mark.parametrize("window", [12, 16, 28, 64])
def test_records_and_names_across_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(btf, "WINDOW", window)
    types = b"".join(record(kind, members=3 * bool(FOLLOWING[kind][2])) for kind in FOLLOWING)
    assert find(tmp_path, vmlinux(types * 5 + wanted())) == len(FOLLOWING) * 5 + 1


def test_a_file_that_cannot_be_mapped_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(btf.mmap, "mmap", refuse)
    assert find(tmp_path, vmlinux(record("int") + wanted())) == 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(vmlinux(record("int")), id="no such function"),
        pytest.param(vmlinux(wanted(), magic=0x9FEB), id="of the other byte order"),
        pytest.param(vmlinux(struct.pack("<III", 1, 20 << 24, 1) + wanted()), id="a later kind"),
        pytest.param(b"short", id="no BTF"),
        pytest.param(b"", id="empty"),
    ],
)
def test_without_an_answer_there_is_none(tmp_path: Path, content: bytes) -> None:
    assert find(tmp_path, content) is None


def test_a_name_is_not_found_by_its_first_letters(tmp_path: Path) -> None:
    assert find(tmp_path, vmlinux(wanted()), "want") is None


def test_without_a_file_there_is_no_answer(tmp_path: Path) -> None:
    assert btf.function_id("wanted", str(tmp_path / "absent")) is None

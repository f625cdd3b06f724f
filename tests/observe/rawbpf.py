# SPDX-License-Identifier: GPL-3.0-or-later
"""bpf(2) written a second time, by numbers and struct formats, to look past the code under test.

It shares nothing with the collection's kernel layer: one mistake must not hide in both.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_libc = ctypes.CDLL(None, use_errno=True)

SCHED_CLS, XDP, CGROUP_SOCK_ADDR = 3, 6, 18
CONNECT4, TCX_INGRESS = 10, 46


def call(command: int, packed: bytes) -> int:
    """One system call; raises OSError."""
    attr = ctypes.create_string_buffer(packed, 256)
    result = int(_libc.syscall(_NUMBER, command, attr, 256))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"bpf({command})")
    return result


def address(buffer: object) -> int:
    return ctypes.addressof(buffer)  # type: ignore[arg-type]


def create_map(kind: int, key: int, value: int, entries: int, flags: int = 0) -> int:
    return call(0, struct.pack("<5I", kind, key, value, entries, flags))


def pin(fd: int, path: str) -> None:
    name = ctypes.create_string_buffer(os.fsencode(path))
    call(6, struct.pack("<QII", address(name), fd, 0))


def open_pinned(path: str) -> int:
    name = ctypes.create_string_buffer(os.fsencode(path))
    return call(7, struct.pack("<QII", address(name), 0, 0))


def put(fd: int, key: bytes, value: bytes) -> None:
    k, v = (
        ctypes.create_string_buffer(key, len(key)),
        ctypes.create_string_buffer(value, len(value)),
    )
    call(2, struct.pack("<IIQQQ", fd, 0, address(k), address(v), 0))


def put_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Packed entries in one call (Linux 5.6)."""
    k, v = (ctypes.create_string_buffer(data, len(data)) for data in (keys, values))
    call(26, struct.pack("<4QIIQQ", 0, 0, address(k), address(v), count, fd, 0, 0))


def get(fd: int, key: bytes, size: int) -> bytes | None:
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    try:
        call(1, struct.pack("<IIQQQ", fd, 0, address(k), address(v), 0))
    except OSError:
        return None
    return v.raw


def delete(fd: int, key: bytes) -> None:
    k = ctypes.create_string_buffer(key, len(key))
    call(3, struct.pack("<IIQQQ", fd, 0, address(k), 0, 0))


def keys(fd: int, size: int) -> list[bytes]:
    found: list[bytes] = []
    following = ctypes.create_string_buffer(size)
    while True:
        current = ctypes.create_string_buffer(found[-1], size) if found else None
        at = address(current) if current else 0
        try:
            call(4, struct.pack("<IIQQQ", fd, 0, at, address(following), 0))
        except OSError:
            return found
        found.append(following.raw)


def dump(fd: int, key: int, slot: int) -> dict[bytes, bytes]:
    """All entries of a map that stands still."""
    return {k: get(fd, k, slot) or b"" for k in keys(fd, key)}


def map_id(fd: int) -> int:
    info = ctypes.create_string_buffer(80)
    call(15, struct.pack("<IIQ", fd, 80, address(info)))
    return int(struct.unpack_from("<I", info, 4)[0])


def freeze(fd: int) -> None:
    call(22, struct.pack("<I", fd))


def insn(op: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", op, dst | src << 4, off, imm)


def load_program(kind: int, code: bytes, name: str = "", attach_type: int = 0) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    return call(
        5,
        struct.pack(
            "<IIQQIIQII16sII",
            kind,
            len(code) // 8,
            address(instructions),
            address(licence),
            0,
            0,
            0,
            0,
            0,
            name.encode(),
            0,
            attach_type,
        ),
    )


def returning(value: int) -> bytes:
    """A program that only returns ``value``."""
    return insn(0xB7, imm=value) + insn(0x95)


def using(map_fd: int, value: int) -> bytes:
    """A program that refers to a map and returns ``value``."""
    return insn(0x18, 1, 1, 0, map_fd) + insn(0) + returning(value)


def create_link(program: int, target: int, attach_type: int) -> int:
    return call(28, struct.pack("<IIII", program, target, attach_type, 0))


def attach_cgroup(directory: int, program: int, attach_type: int, flags: int) -> None:
    call(8, struct.pack("<IIIII", directory, program, attach_type, flags, 0))


def detach_cgroup(directory: int, program: int, attach_type: int) -> None:
    call(9, struct.pack("<IIII", directory, program, attach_type, 0))


def attached_to_cgroup(directory: int, attach_type: int) -> list[int]:
    """Program ids, eight at most. (bpftool 7.1 shows none before Linux 6.1.)"""
    ids = (ctypes.c_uint32 * 8)()
    call(16, struct.pack("<4IQI", directory, attach_type, 0, 0, address(ids), len(ids)))
    return [number for number in ids if number]

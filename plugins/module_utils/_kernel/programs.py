# SPDX-License-Identifier: GPL-3.0-or-later
"""BPF programs: information, ids, and which maps they use."""

from __future__ import annotations

import ctypes
import errno
from ctypes import c_char, c_uint8, c_uint32, c_uint64
from typing import Iterator, NamedTuple

from .._errors import SyscallError
from .._uapi.bpf import NAME_LENGTH, Cmd
from .attr import Attr
from .objects import BpfObject, charged, read_info
from .syscall import bpf

_LOG_BYTES = 1 << 20
_LOG_LINES = 3


class _RawProgInfo(ctypes.Structure):
    """The first 80 bytes of struct bpf_prog_info, which kernel 4.15 knows already."""

    _fields_ = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", c_uint8 * 8),
        ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32),
        ("jited_prog_insns", c_uint64),
        ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64),
        ("created_by_uid", c_uint32),
        ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64),
        ("name", c_char * NAME_LENGTH),
    ]


class ProgInfo(NamedTuple):
    """A loaded program; ``load_time`` is in ns of CLOCK_BOOTTIME, ``name`` at most 15 bytes."""

    id: int
    type: int
    name: str
    tag: str
    load_time: int
    map_ids: tuple[int, ...]


class ProgSpec(NamedTuple):
    """A program to load: ``code`` in instructions of 8 bytes, under the GPL, name at most 15 bytes.

    ``attach_btf_id`` (5.5) is the type id of the kernel function that it attaches to.
    """

    type: int
    code: bytes
    name: str = ""
    expected_attach_type: int = 0
    attach_btf_id: int = 0


class Program(BpfObject):
    """An open program."""

    GET_FD = Cmd.PROG_GET_FD_BY_ID
    NEXT_ID = Cmd.PROG_GET_NEXT_ID

    @classmethod
    def load(cls, spec: ProgSpec) -> Program:
        """Load a program.

        Raises SyscallError with the end of the verifier's log when it is refused. Raises
        RLIMIT_MEMLOCK once on EPERM, for kernels before 5.11.
        """
        try:
            return cls(charged(lambda: _load(spec, None)))
        except SyscallError as error:
            log = ctypes.create_string_buffer(_LOG_BYTES)
            try:
                return cls(_load(spec, log))
            except SyscallError:
                raise _refusal(error, log.value) from error

    def info(self) -> ProgInfo:
        """What the kernel tells about it (4.15). Raises SyscallError."""
        raw = _RawProgInfo()
        read_info(self.fd, raw)
        map_ids: tuple[int, ...] = ()
        if raw.nr_map_ids:
            map_ids = self._map_ids(raw.nr_map_ids)
        return ProgInfo(
            raw.id,
            raw.type,
            raw.name.decode("ascii", "replace"),
            bytes(raw.tag).hex(),
            raw.load_time,
            map_ids,
        )

    def _map_ids(self, count: int) -> tuple[int, ...]:
        # The kernel fills the caller's array only when it is told its length in a call of its own.
        ids = (c_uint32 * count)()
        raw = _RawProgInfo()
        raw.nr_map_ids = count
        raw.map_ids = ctypes.addressof(ids)
        read_info(self.fd, raw)
        return tuple(ids[: min(count, raw.nr_map_ids)])


def _load(spec: ProgSpec, log: ctypes.Array[c_char] | None) -> int:
    attr = Attr()
    code = ctypes.create_string_buffer(spec.code, len(spec.code))
    licence = ctypes.create_string_buffer(b"GPL")
    fields = attr.prog_load
    fields.prog_type = spec.type
    fields.insns, fields.insn_cnt = ctypes.addressof(code), len(spec.code) // 8
    fields.license = ctypes.addressof(licence)
    fields.prog_name = spec.name.encode("ascii")[: NAME_LENGTH - 1]
    fields.expected_attach_type = spec.expected_attach_type
    fields.attach_btf_id = spec.attach_btf_id
    if log is not None:
        fields.log_buf, fields.log_size, fields.log_level = ctypes.addressof(log), len(log), 1
    return bpf(Cmd.PROG_LOAD, attr, spec.name)


def _refusal(error: SyscallError, log: bytes) -> SyscallError:
    lines = [line for line in log.decode("ascii", "replace").splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("processed ")][-_LOG_LINES:]
    if not told:
        return error
    meaning = f"the verifier says: {' | '.join(told)}"
    return SyscallError(error.call, error.errno, meaning, error.subject)


def loaded_programs() -> Iterator[ProgInfo]:
    """All programs in the kernel; those that vanish meanwhile are passed (needs CAP_SYS_ADMIN)."""
    for program_id in Program.ids():
        try:
            with Program.from_id(program_id) as program:
                yield program.info()
        except SyscallError as error:
            if error.errno != errno.ENOENT:
                raise


def map_users() -> dict[int, list[ProgInfo]]:
    """For each map id the loaded programs that refer to it directly."""
    users: dict[int, list[ProgInfo]] = {}
    for program in loaded_programs():
        for map_id in program.map_ids:
            users.setdefault(map_id, []).append(program)
    return users

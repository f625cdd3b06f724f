# SPDX-License-Identifier: GPL-3.0-or-later
"""What maps, programs and links have in common: descriptors, ids, information, pins."""

from __future__ import annotations

import ctypes
import errno
import os
from types import TracebackType
from typing import Callable, Iterator, TypeVar

from .._errors import SyscallError
from .._uapi.bpf import Cmd
from . import proc
from .attr import Attr
from .syscall import bpf

ObjectT = TypeVar("ObjectT", bound="BpfObject")


class BpfObject:
    """An open descriptor of a BPF object; closes it at the end of a with block."""

    GET_FD: Cmd
    NEXT_ID: Cmd

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self: ObjectT) -> ObjectT:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back; further calls do nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @classmethod
    def from_id(cls: type[ObjectT], object_id: int) -> ObjectT:
        """Open by id (needs CAP_SYS_ADMIN). Raises SyscallError, with ENOENT when it is gone."""
        attr = Attr()
        attr.ids.id = object_id
        return cls(bpf(cls.GET_FD, attr, f"id {object_id}"))

    @classmethod
    def ids(cls) -> Iterator[int]:
        """All ids of this kind in the kernel, of every container and node that shares it."""
        attr, current = Attr(), 0
        while True:
            attr.ids.id = current
            try:
                bpf(cls.NEXT_ID, attr)
            except SyscallError as error:
                if error.errno == errno.ENOENT:
                    return
                raise
            current = attr.ids.next_id
            yield current

    def pin(self, path: str) -> None:
        """Pin under ``path`` on a bpffs. Raises SyscallError, with EEXIST when it is taken."""
        attr, name = Attr(), ctypes.create_string_buffer(os.fsencode(path))
        attr.obj.pathname = ctypes.addressof(name)
        attr.obj.bpf_fd = self.fd
        bpf(Cmd.OBJ_PIN, attr, path)


def open_pin(path: str, flags: int = 0) -> int:
    """A descriptor of whatever is pinned at ``path``. Raises SyscallError."""
    attr, name = Attr(), ctypes.create_string_buffer(os.fsencode(path))
    attr.obj.pathname = ctypes.addressof(name)
    attr.obj.file_flags = flags
    return bpf(Cmd.OBJ_GET, attr, path)


def charged(create: Callable[[], int]) -> int:
    """Make a map or program; on EPERM once more, with RLIMIT_MEMLOCK raised.

    Kernels before 5.11 charge its memory against that limit, with all that the user has already.
    """
    try:
        return create()
    except SyscallError as error:
        if error.errno != errno.EPERM or not proc.lift_memlock_limit():
            raise
    return create()


def read_info(fd: int, info: ctypes.Structure) -> None:
    """Fill ``info``; fields that this kernel does not know stay as they were."""
    attr = Attr()
    attr.info.bpf_fd = fd
    attr.info.info_len = ctypes.sizeof(info)
    attr.info.info = ctypes.addressof(info)
    bpf(Cmd.OBJ_GET_INFO_BY_FD, attr, f"descriptor {fd}")

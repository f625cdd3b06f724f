# SPDX-License-Identifier: GPL-3.0-or-later
"""The funnel that every bpf(2) command goes through."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

from .._errors import SyscallError, UnsupportedError
from .._uapi.bpf import Cmd
from .attr import ATTR_SIZE, Attr
from .meanings import meaning

_SYSCALL_NUMBERS = {"x86_64": 321, "aarch64": 280}
_TRANSIENT = frozenset({errno.EINTR, errno.EAGAIN})

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_ulong)


def syscall_number(machine: str, pointer_bits: int = 64) -> int:
    """The number of bpf(2) on ``machine`` (as uname -m names it).

    Raises UnsupportedError for other machines and for a 32-bit Python, whose attributes and
    system call numbers differ.
    """
    number = _SYSCALL_NUMBERS.get(machine)
    if number is None or pointer_bits != 64:
        known = " and ".join(sorted(_SYSCALL_NUMBERS))
        raise UnsupportedError(
            f"bpf(2) is supported here on 64-bit {known}, this is {pointer_bits}-bit {machine}."
        )
    return number


def _this_machine() -> int:
    try:
        return syscall_number(platform.machine(), 64 if sys.maxsize > 2**32 else 32)
    except UnsupportedError:
        return -1


_NUMBER = _this_machine()


def raw_bpf(cmd: int, attr_address: int) -> int:
    """One call without any error handling: the result, or minus errno.

    For loops that expect certain errors; ``attr_address`` is that of an Attr, so ATTR_SIZE bytes.
    """
    result = int(_syscall(_NUMBER, cmd, attr_address, ATTR_SIZE))
    return result if result >= 0 else -ctypes.get_errno()


def bpf(cmd: Cmd, attr: Attr, subject: str = "") -> int:
    """Run one command and return its result (a descriptor, or 0).

    ``subject`` says in an error what the command was applied to. Raises SyscallError, or
    UnsupportedError on a machine whose system call number is not known here.
    """
    if _NUMBER < 0:
        syscall_number(platform.machine(), 64 if sys.maxsize > 2**32 else 32)
    address = ctypes.addressof(attr)
    result = raw_bpf(cmd, address)
    while -result in _TRANSIENT:
        os.sched_yield()
        result = raw_bpf(cmd, address)
    if result < 0:
        raise command_error(cmd, -result, subject)
    return result


def command_error(cmd: Cmd, number: int, subject: str = "") -> SyscallError:
    """The error for errno ``number`` of ``cmd``."""
    return SyscallError(f"bpf(BPF_{cmd.name})", number, meaning(cmd, number), subject)

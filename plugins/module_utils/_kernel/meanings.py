# SPDX-License-Identifier: GPL-3.0-or-later
"""What an errno means for a bpf(2) command, so that an error tells the operator something."""

from __future__ import annotations

import errno
import os
from typing import Mapping

from .._errors import ENOTSUPP
from .._uapi.bpf import Cmd

_ANY: Mapping[int, str] = {
    errno.EPERM: "not permitted, the call needs CAP_BPF, and CAP_SYS_ADMIN for ids",
    errno.EACCES: "access denied, by the mode of the descriptor or by a security module",
    errno.ENOSYS: "this kernel was built without bpf(2)",
    errno.EINVAL: "the kernel does not know the command or refuses an argument",
    errno.ENOMEM: "not enough memory",
    errno.EMFILE: "too many open files in this process",
    ENOTSUPP: "the map type does not have this operation in this kernel",
}

_BY_COMMAND: Mapping[Cmd, Mapping[int, str]] = {
    Cmd.MAP_CREATE: {
        errno.EINVAL: "the kernel refuses this combination of type, sizes and flags",
        errno.E2BIG: "the key, the value or the whole map is larger than the kernel allows",
        errno.ENOMEM: "not enough memory for a map of this size",
        errno.EPERM: "not permitted, or before kernel 5.11 the map exceeds RLIMIT_MEMLOCK",
    },
    Cmd.MAP_UPDATE_ELEM: {
        errno.E2BIG: "the map is full",
        errno.EEXIST: "the key exists already",
        errno.ENOENT: "the key does not exist",
        errno.EPERM: "the map is frozen or the descriptor is read-only",
    },
    Cmd.MAP_UPDATE_BATCH: {
        errno.E2BIG: "the map is full",
        errno.EPERM: "the map is frozen or the descriptor is read-only",
    },
    Cmd.PROG_LOAD: {
        errno.EPERM: "not permitted, or before kernel 5.11 the program exceeds RLIMIT_MEMLOCK",
    },
    Cmd.MAP_FREEZE: {errno.EBUSY: "the map is frozen already, or mapped for writing"},
    Cmd.OBJ_PIN: {
        errno.EEXIST: "something is pinned there already",
        errno.ENOENT: "the directory does not exist",
        errno.EPERM: "not on a bpffs, or a bpffs refuses the name (no dots)",
    },
    Cmd.OBJ_GET: {
        errno.ENOENT: "nothing is pinned there",
        errno.EACCES: "the path is not on a bpffs or its mode forbids it",
    },
    Cmd.PROG_QUERY: {errno.EINVAL: "this kernel does not know the attach type (TCX needs 6.6)"},
    Cmd.MAP_GET_FD_BY_ID: {errno.ENOENT: "the object is gone"},
    Cmd.PROG_GET_FD_BY_ID: {errno.ENOENT: "the object is gone"},
    Cmd.LINK_GET_FD_BY_ID: {errno.ENOENT: "the object is gone"},
}


def meaning(cmd: Cmd, number: int) -> str:
    """One clause on what errno ``number`` says after ``cmd``."""
    specific: dict[int, str] = {**_ANY, **_BY_COMMAND.get(cmd, {})}
    return specific.get(number) or os.strerror(number)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs attached to a cgroup or, through TCX and netkit, to an interface."""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import c_uint32
from typing import NamedTuple

from .._errors import SyscallError
from .._uapi.bpf import CGROUP_ALLOW_MULTI, QUERY_EFFECTIVE, AttachType, Cmd
from .attr import Attr, QueryAttr
from .programs import Program
from .syscall import bpf

_FIRST_ROOM = 64
_NETKIT = frozenset({AttachType.NETKIT_PRIMARY, AttachType.NETKIT_PEER})
_INTERFACE = _NETKIT | {AttachType.TCX_INGRESS, AttachType.TCX_EGRESS}


class Attached(NamedTuple):
    """Programs at one hook in the order they run.

    ``attach_flags`` (cgroup): 0 legacy, bit 1 multi or link. ``link_ids`` (TCX, netkit): 0 is a
    program attached without a link. ``revision`` counts the changes of the hook (TCX 6.6,
    netkit 6.7, cgroup 6.17), 0 where the kernel does not tell it.
    """

    prog_ids: tuple[int, ...]
    attach_flags: int = 0
    link_ids: tuple[int, ...] = ()
    revision: int = 0

    @property
    def legacy(self) -> bool:
        """Attached to a cgroup with flags 0: one program, which any detach removes."""
        return bool(self.prog_ids) and not self.attach_flags & CGROUP_ALLOW_MULTI


def cgroup_programs(path: str, attach_type: int, effective: bool = False) -> Attached:
    """Programs on the cgroup2 directory ``path`` (4.15), with ``effective`` the inherited too.

    Raises SyscallError: EINVAL when the kernel does not know the attach type, EBADF when the
    directory is not a cgroup2.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _query(fd, attach_type, QUERY_EFFECTIVE if effective else 0, path)
    finally:
        os.close(fd)


def detach_cgroup(path: str, attach_type: int, prog_id: int) -> bool:
    """Detach a program that no link attaches; False when it is not there (any more).

    Without BPF_F_ALLOW_MULTI the kernel detaches whatever is there, so the hook is asked right
    before. From 6.17 on the kernel itself refuses when it has changed since; earlier a program
    that takes the place within microseconds is lost. Raises SyscallError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        while True:
            seen = _query(fd, attach_type, 0, path)
            if prog_id not in seen.prog_ids:
                return False
            try:
                _detach(fd, attach_type, prog_id, seen.revision)
                return True
            except SyscallError as error:
                if error.errno == errno.ENOENT:
                    return False
                if error.errno != errno.ESTALE:
                    raise
    finally:
        os.close(fd)


def _detach(directory: int, attach_type: int, prog_id: int, revision: int) -> None:
    with Program.from_id(prog_id) as program:
        attr = Attr()
        attr.attach.target_fd = directory
        attr.attach.attach_bpf_fd = program.fd
        attr.attach.attach_type = attach_type
        attr.attach.expected_revision = revision
        bpf(Cmd.PROG_DETACH, attr, f"program {prog_id}")


def tcx_programs(ifindex: int, attach_type: int) -> Attached:
    """Programs at TCX_INGRESS or TCX_EGRESS of an interface of this network namespace (6.6).

    Raises SyscallError: EINVAL before 6.6, ENODEV when the interface is gone.
    """
    return _query(ifindex, attach_type, 0, f"ifindex {ifindex}")


def netkit_programs(ifindex: int, attach_type: int) -> Attached:
    """Programs at NETKIT_PRIMARY or NETKIT_PEER of the primary end of a netkit pair (6.7).

    None where the interface is no such end. Raises SyscallError: EINVAL before 6.7, ENODEV when
    the interface is gone.
    """
    try:
        return _query(ifindex, attach_type, 0, f"ifindex {ifindex}")
    except SyscallError as error:
        if error.errno in (errno.ENXIO, errno.EACCES):
            return Attached(())
        raise


def has_tcx() -> bool:
    """Whether this kernel has TCX, asked on the loopback interface."""
    try:
        tcx_programs(1, AttachType.TCX_INGRESS)
    except SyscallError as error:
        if error.errno == errno.EINVAL:
            return False
        raise
    return True


def _query(target: int, attach_type: int, flags: int, subject: str) -> Attached:
    room = _FIRST_ROOM
    while True:
        ids, links = (c_uint32 * room)(), (c_uint32 * room)()
        attr = Attr()
        _fill(attr.query, target, attach_type, flags)
        attr.query.prog_ids = ctypes.addressof(ids)
        attr.query.count = room
        if attach_type in _INTERFACE:
            attr.query.link_ids = ctypes.addressof(links)
        try:
            bpf(Cmd.PROG_QUERY, attr, subject)
        except SyscallError as error:
            if error.errno != errno.ENOSPC:
                raise
            room = max(room * 2, attr.query.count)
            continue
        return _attached(attr.query, tuple(ids), tuple(links), attach_type in _INTERFACE)


def _fill(query: QueryAttr, target: int, attach_type: int, flags: int) -> None:
    query.target = target
    query.attach_type = attach_type
    query.query_flags = flags


def _attached(
    query: QueryAttr, ids: tuple[int, ...], links: tuple[int, ...], interface: bool
) -> Attached:
    count = query.count
    if interface:
        return Attached(ids[:count], 0, links[:count], query.revision)
    return Attached(ids[:count], query.attach_flags, revision=query.revision)

# SPDX-License-Identifier: GPL-3.0-or-later
"""BPF links: information and ids."""

from __future__ import annotations

import ctypes
from ctypes import c_uint8, c_uint32, c_uint64
from typing import NamedTuple

from .._uapi.bpf import Cmd, LinkType
from .attr import Attr
from .objects import BpfObject, read_info
from .syscall import bpf

_INTERFACE_LINKS = frozenset({LinkType.TCX, LinkType.NETKIT, LinkType.XDP})


class _Cgroup(ctypes.Structure):
    _fields_ = [("cgroup_id", c_uint64), ("attach_type", c_uint32)]


class _Interface(ctypes.Structure):
    _fields_ = [("ifindex", c_uint32), ("attach_type", c_uint32)]


class _Target(ctypes.Union):
    _fields_ = [("cgroup", _Cgroup), ("interface", _Interface), ("raw", c_uint8 * 48)]


class _RawLinkInfo(ctypes.Structure):
    """struct bpf_link_info (5.8), 64 bytes."""

    _fields_ = [
        ("type", c_uint32),
        ("id", c_uint32),
        ("prog_id", c_uint32),
        ("_pad", c_uint32),
        ("target", _Target),
    ]


class LinkInfo(NamedTuple):
    """A link and what it attaches to; what does not apply to its type is None.

    ``ifindex`` belongs to a network namespace that the kernel does not name here, so a link is
    found by querying the interface, not by comparing it. ``cgroup_id`` is the inode number of
    the cgroup's directory. A severed TCX or XDP link has ifindex 0.
    """

    id: int
    type: int
    prog_id: int
    cgroup_id: int | None = None
    ifindex: int | None = None
    attach_type: int | None = None


class Link(BpfObject):
    """An open link."""

    GET_FD = Cmd.LINK_GET_FD_BY_ID
    NEXT_ID = Cmd.LINK_GET_NEXT_ID

    def detach(self) -> None:
        """Detach at once, whoever else holds it; its pins stay (5.9). Raises SyscallError.

        Before 5.9 EINVAL: there a link ends when nothing refers to it any more.
        """
        attr = Attr()
        attr.iter_create.link_fd = self.fd
        bpf(Cmd.LINK_DETACH, attr, "link")

    def info(self) -> LinkInfo:
        """What the kernel tells about it (5.8). Raises SyscallError."""
        raw = _RawLinkInfo()
        read_info(self.fd, raw)
        link = LinkInfo(raw.id, raw.type, raw.prog_id)
        if raw.type == LinkType.CGROUP:
            cgroup = raw.target.cgroup
            return link._replace(cgroup_id=cgroup.cgroup_id, attach_type=cgroup.attach_type)
        if raw.type in _INTERFACE_LINKS:
            interface = raw.target.interface
            attach_type = None if raw.type == LinkType.XDP else interface.attach_type
            return link._replace(ifindex=interface.ifindex, attach_type=attach_type)
        return link

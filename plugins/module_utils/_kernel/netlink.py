# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to pyroute2: one socket, and errors as those of the rest of the layer."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any, Iterator

from .._errors import MissingLibraryError, SyscallError

# Attributes of linux/pkt_cls.h that pyroute2 up to 0.9.7 does not decode.
_MISSING_BPF_ATTRIBUTES = (
    ("TCA_BPF_FLAGS_GEN", "uint32"),
    ("TCA_BPF_TAG", "hex"),
    ("TCA_BPF_ID", "uint32"),
)


@contextmanager
def route_socket() -> Iterator[Any]:
    """An rtnetlink socket of this network namespace.

    Raises MissingLibraryError without pyroute2, and SyscallError for a request the kernel
    refuses inside the block.
    """
    require_library()
    from pyroute2 import IPRoute

    _complete_bpf_attributes()
    with IPRoute() as socket, requesting():
        yield socket


def require_library() -> None:
    """Raise MissingLibraryError without pyroute2."""
    try:
        import pyroute2  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError("pyroute2", "Work on tc and XDP") from error


@contextmanager
def requesting(subject: str = "") -> Iterator[None]:
    """A block whose refused request becomes a SyscallError."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise SyscallError("netlink", error.code, os.strerror(error.code), subject) from error


def _complete_bpf_attributes() -> None:
    from pyroute2.netlink.rtnl.tcmsg import sched_bpf

    options = sched_bpf.options
    known = {entry[0] for entry in options.nla_map}
    missing = [entry for entry in _MISSING_BPF_ATTRIBUTES if entry[0] not in known]
    options.nla_map = (*options.nla_map, *missing)

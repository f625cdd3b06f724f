# SPDX-License-Identifier: GPL-3.0-or-later
"""XDP programs of an interface, through pyroute2."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from .netlink import route_socket


class XdpMode(IntEnum):
    """XDP_FLAGS_*_MODE of linux/if_link.h."""

    GENERIC = 1 << 1
    DRIVER = 1 << 2
    OFFLOAD = 1 << 3


_REPLACE = 1 << 4  # XDP_FLAGS_REPLACE

MODE_NAMES = {
    "xdpgeneric": XdpMode.GENERIC,
    "xdp": XdpMode.DRIVER,
    "xdpoffload": XdpMode.OFFLOAD,
}
"""Modes by the names that netlink gives to what is attached."""


class XdpProgram(NamedTuple):
    """The attached program and the mode as netlink names it (xdp, xdpgeneric, xdpoffload)."""

    prog_id: int
    mode: str


_IN_MODE = {
    "IFLA_XDP_SKB_PROG_ID": "xdpgeneric",
    "IFLA_XDP_DRV_PROG_ID": "xdp",
    "IFLA_XDP_HW_PROG_ID": "xdpoffload",
}


def programs_in(attribute: Any) -> tuple[XdpProgram, ...]:
    """The programs in IFLA_XDP of a link: with one in several modes (4.20), each of them."""
    if not attribute:
        return ()
    found = [(attribute.get_attr(name), mode) for name, mode in _IN_MODE.items()]
    if not any(prog_id for prog_id, _ in found):
        found = [(attribute.get_attr("IFLA_XDP_PROG_ID"), attribute.get_attr("IFLA_XDP_ATTACHED"))]
    return tuple(XdpProgram(prog_id, mode or "") for prog_id, mode in found if prog_id)


def attached(ifindex: int) -> XdpProgram | None:
    """The XDP program of an interface, None without one. Raises SyscallError: ENODEV."""
    with route_socket() as socket:
        (link,) = socket.get_links(ifindex)
        xdp = link.get_attr("IFLA_XDP")
        prog_id = xdp.get_attr("IFLA_XDP_PROG_ID") if xdp else None
        return XdpProgram(prog_id, xdp.get_attr("IFLA_XDP_ATTACHED")) if prog_id else None


def attach(ifindex: int, prog_fd: int, mode: XdpMode) -> None:
    """Attach or replace a program; ``prog_fd`` -1 detaches. Raises SyscallError."""
    attributes = [("IFLA_XDP_FD", prog_fd), ("IFLA_XDP_FLAGS", int(mode))]
    with route_socket() as socket:
        socket.link("set", index=ifindex, xdp={"attrs": attributes})


def detach(ifindex: int, mode: XdpMode) -> None:
    """Detach the program of that mode, if there is one. Raises SyscallError."""
    attach(ifindex, -1, mode)


def detach_only(ifindex: int, mode: XdpMode, prog_fd: int) -> None:
    """Detach this very program (5.7). Raises SyscallError: EEXIST when another one is there."""
    attributes = [
        ("IFLA_XDP_FD", -1),
        ("IFLA_XDP_FLAGS", int(mode) | _REPLACE),
        ("IFLA_XDP_EXPECTED_FD", prog_fd),
    ]
    with route_socket() as socket:
        socket.link("set", index=ifindex, xdp={"attrs": attributes})

# SPDX-License-Identifier: GPL-3.0-or-later
"""All interfaces at once, their clsact qdiscs and filters, over one netlink socket.

A socket costs milliseconds and a node may have thousands of interfaces. The kernel dumps links
and qdiscs of all interfaces, but filters only of one hook of one interface.
"""

from __future__ import annotations

import errno
from typing import Any, Iterable, Iterator, NamedTuple

from .._errors import SyscallError
from .netlink import route_socket
from .tc import EGRESS, INGRESS, Filter, decoded
from .xdp import XdpProgram, programs_in

_RUNNING = 0x40  # IFF_RUNNING of linux/if.h
_GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.EINVAL})


class Device(NamedTuple):
    """An interface; ``kind`` is that of rtnetlink (veth), ``running`` is IFF_RUNNING.

    ``peer`` is the ifindex of the other end, or of the interface below, in whatever namespace.
    ``vxlan_port`` is the UDP port of a VXLAN device.
    """

    ifindex: int
    name: str
    kind: str
    running: bool
    clsact: bool
    peer: int | None
    xdp: tuple[XdpProgram, ...] = ()
    vxlan_port: int | None = None


def devices() -> tuple[Device, ...]:
    """The interfaces of this network namespace. Raises MissingLibraryError, SyscallError."""
    with route_socket() as socket:
        clsact = {
            message["index"]
            for message in socket.get_qdiscs()
            if message.get_attr("TCA_KIND") == "clsact"
        }
        return tuple(_device(message, clsact) for message in socket.get_links())


def _device(message: Any, clsact: set[int]) -> Device:
    info = message.get_attr("IFLA_LINKINFO")
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    index = message["index"]
    return Device(
        index,
        message.get_attr("IFLA_IFNAME"),
        kind,
        bool(message["flags"] & _RUNNING),
        index in clsact,
        message.get_attr("IFLA_LINK"),
        programs_in(message.get_attr("IFLA_XDP")),
        data.get_attr("IFLA_VXLAN_PORT") if data and kind == "vxlan" else None,
    )


def filters_of(indices: Iterable[int]) -> Iterator[tuple[int, Filter]]:
    """BPF filters of both clsact hooks, each hook's in the order they run.

    An interface that is gone has none. Raises MissingLibraryError, SyscallError.
    """
    with route_socket() as socket:
        for index in indices:
            for parent in (INGRESS, EGRESS):
                for found in _hook(socket, index, parent):
                    yield index, found


def _hook(socket: Any, index: int, parent: int) -> list[Filter]:
    return decoded(_dump(socket, index, parent), parent)


def _dump(socket: Any, index: int, parent: int) -> list[Any]:
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return list(socket.get_filters(index=index, parent=parent))
    except NetlinkError as error:
        if error.code in _GONE:
            return []
        raise SyscallError("netlink", error.code, str(error), f"ifindex {index}") from error


def held(ifindex: int) -> tuple[list[Filter], tuple[str, ...]]:
    """BPF filters of both clsact hooks of one interface, and the kinds of all others on them.

    Raises MissingLibraryError, SyscallError.
    """
    filters: list[Filter] = []
    kinds: set[str] = set()
    with route_socket() as socket:
        for parent in (INGRESS, EGRESS):
            messages = _dump(socket, ifindex, parent)
            filters += decoded(messages, parent)
            kinds.update(message.get_attr("TCA_KIND") or "" for message in messages)
    return filters, tuple(sorted(kinds - {"bpf", ""}))


def other_places(indices: Iterable[int]) -> Iterator[tuple[int, int, int, str]]:
    """Interface, parent, preference and kind of the filters that are no BPF filters.

    Raises MissingLibraryError, SyscallError.
    """
    with route_socket() as socket:
        for index in indices:
            for parent in (INGRESS, EGRESS):
                places = {
                    (message["info"] >> 16, message.get_attr("TCA_KIND"))
                    for message in _dump(socket, index, parent)
                }
                for prio, kind in sorted(places, key=str):
                    if kind not in ("bpf", None):
                        yield index, parent, prio, kind


def delete(ifindex: int) -> None:
    """Delete an interface, with its peer where it is a veth. Raises SyscallError: ENODEV."""
    with route_socket() as socket:
        socket.link("del", index=ifindex)

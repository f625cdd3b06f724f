# SPDX-License-Identifier: GPL-3.0-or-later
"""clsact qdiscs and BPF filters of traffic control, through pyroute2.

A handle and a preference together name a filter of a hook; protocol is always ETH_P_ALL.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterable, Iterator, NamedTuple

from .netlink import requesting, route_socket

INGRESS = 0xFFFFFFF2
"""Parent of filters at the ingress hook of clsact (TC_H_MIN_INGRESS)."""

EGRESS = 0xFFFFFFF3
"""Parent of filters at the egress hook of clsact (TC_H_MIN_EGRESS)."""

_ETH_P_ALL = 3
_DIRECT_ACTION = 1


class Filter(NamedTuple):
    """A BPF filter: where it stands and which program it calls."""

    parent: int
    prio: int
    handle: int
    name: str
    prog_id: int | None = None
    direct_action: bool = True


def has_clsact(ifindex: int) -> bool:
    """Whether the interface has a clsact qdisc (an ingress qdisc takes the same place)."""
    with route_socket() as socket:
        return any(
            message.get_attr("TCA_KIND") == "clsact" for message in socket.get_qdiscs(ifindex)
        )


def add_clsact(ifindex: int) -> None:
    """Add clsact. Raises SyscallError: EEXIST when it or an ingress qdisc is there."""
    with route_socket() as socket:
        socket.tc("add", "clsact", ifindex)


def delete_clsact(ifindex: int) -> None:
    """Delete clsact with every filter on it, whoever owns them. Raises SyscallError."""
    with route_socket() as socket:
        socket.tc("del", "clsact", ifindex)


def filters(ifindex: int, parent: int) -> list[Filter]:
    """BPF filters of one hook in the order they run; none when there is no clsact."""
    with route_socket() as socket:
        messages = socket.get_filters(index=ifindex, parent=parent)
        return decoded(messages, parent)


def decoded(messages: Iterable[Any], parent: int) -> list[Filter]:
    """The BPF filters in a dump of one hook, in the order they run."""
    found = [_decode(message, parent) for message in messages if _is_bpf_filter(message)]
    return sorted(found, key=lambda item: item.prio)


def _is_bpf_filter(message: Any) -> bool:
    # A dump has a head message for each preference, with handle 0 and without options.
    return message.get_attr("TCA_KIND") == "bpf" and message.get_attr("TCA_OPTIONS") is not None


def _decode(message: Any, parent: int) -> Filter:
    options = message.get_attr("TCA_OPTIONS")
    return Filter(
        parent,
        message["info"] >> 16,
        message["handle"],
        options.get_attr("TCA_BPF_NAME") or "",
        options.get_attr("TCA_BPF_ID"),
        bool((options.get_attr("TCA_BPF_FLAGS") or 0) & _DIRECT_ACTION),
    )


def add_filter(ifindex: int, wanted: Filter, prog_fd: int) -> None:
    """Add a filter. Raises SyscallError: EEXIST when preference and handle are taken."""
    with editing() as editor:
        editor.add(ifindex, wanted, prog_fd)


def replace_filter(ifindex: int, wanted: Filter, prog_fd: int) -> None:
    """Put a program in place of the one at this preference and handle, without a gap."""
    with editing() as editor:
        editor.replace(ifindex, wanted, prog_fd)


def delete_filter(ifindex: int, unwanted: Filter) -> None:
    """Delete one filter. Raises SyscallError: ENOENT when it is not there."""
    with editing() as editor:
        editor.delete(ifindex, unwanted)


@contextmanager
def editing() -> Iterator[Editor]:
    """One socket for many changes. Raises MissingLibraryError."""
    with route_socket() as socket:
        yield Editor(socket)


class Editor:
    """Changes to filters, each with an error of its own (SyscallError)."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def filters(self, ifindex: int, parent: int) -> list[Filter]:
        """BPF filters of one hook in the order they run; none when the interface is gone."""
        with requesting(f"ifindex {ifindex}"):
            return decoded(self._socket.get_filters(index=ifindex, parent=parent), parent)

    def add_clsact(self, ifindex: int) -> None:
        """Add clsact: EEXIST when it or an ingress qdisc is there."""
        with requesting(f"ifindex {ifindex}"):
            self._socket.tc("add", "clsact", ifindex)

    def add(self, ifindex: int, wanted: Filter, prog_fd: int) -> None:
        """Add a filter: EEXIST when preference and handle are taken."""
        self._change("add-filter", ifindex, wanted, prog_fd)

    def replace(self, ifindex: int, wanted: Filter, prog_fd: int) -> None:
        """Put a program in place of the one at this preference and handle, without a gap."""
        self._change("replace-filter", ifindex, wanted, prog_fd)

    def delete(self, ifindex: int, unwanted: Filter) -> None:
        """Delete one filter: ENOENT when it is not there."""
        with requesting(f"ifindex {ifindex}"):
            self._socket.tc("del-filter", "bpf", ifindex, **_place(unwanted))

    def _change(self, command: str, ifindex: int, wanted: Filter, prog_fd: int) -> None:
        with requesting(f"ifindex {ifindex}"):
            self._socket.tc(
                command,
                "bpf",
                ifindex,
                **_place(wanted),
                fd=prog_fd,
                name=wanted.name,
                direct_action=wanted.direct_action,
            )


def _place(one: Filter) -> dict[str, int]:
    return {
        "handle": one.handle,
        "parent": one.parent,
        "prio": one.prio,
        "protocol": _ETH_P_ALL,
    }

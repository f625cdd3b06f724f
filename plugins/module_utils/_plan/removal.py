# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that take objects off a node, as plain values that can be shown and carried out."""

from __future__ import annotations

from typing import Any, NamedTuple, Union


class FilterAt(NamedTuple):
    """A tc filter; ``hook`` is ingress or egress."""

    interface: str
    ifindex: int
    hook: str
    preference: int
    handle: int
    name: str
    prog_id: int | None


class ClsactAt(NamedTuple):
    """A clsact qdisc, which goes with exactly these filters on it."""

    interface: str
    ifindex: int
    filters: tuple[FilterAt, ...]


class LinkAt(NamedTuple):
    """A link that attaches a program, and its pins."""

    link_id: int
    prog_id: int
    pins: tuple[str, ...]


class XdpAt(NamedTuple):
    """An XDP program; ``mode`` as netlink names it."""

    interface: str
    ifindex: int
    mode: str
    prog_id: int


class CgroupAt(NamedTuple):
    """A program on a cgroup that no link attaches."""

    cgroup: str
    attach_type: int
    prog_id: int
    name: str


class PinAt(NamedTuple):
    """A pin and the id of the object of that ``kind`` (map, program or link) that it holds."""

    path: str
    kind: str
    object_id: int


class DirectoryAt(NamedTuple):
    """An empty directory."""

    path: str


class FileAt(NamedTuple):
    """A file outside the bpffs."""

    path: str


class DeviceAt(NamedTuple):
    """A veth device, which goes with its peer."""

    name: str
    peer: str


class SettingAt(NamedTuple):
    """A kernel setting and its values before and after."""

    name: str
    before: str
    value: str


Target = Union[
    FilterAt,
    ClsactAt,
    LinkAt,
    XdpAt,
    CgroupAt,
    PinAt,
    DirectoryAt,
    FileAt,
    DeviceAt,
    SettingAt,
]


class Step(NamedTuple):
    """One object that goes. ``kind`` is what users select by, ``object`` names it."""

    kind: str
    object: str
    sentence: str
    target: Target


class LeftAlone(NamedTuple):
    """An object that stays, and the sentences that say why."""

    kind: str
    object: str
    reasons: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """As results show it."""
        return {"kind": self.kind, "object": self.object, "reasons": list(self.reasons)}

# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a map, a pin or a special device is (programs 7)."""

from __future__ import annotations

from typing import Iterable, NamedTuple

from .._uapi.maps import MapSpec, describe
from .evidence import Check, Ownership, Verdict, judge
from .maps import rows_fitting, rows_named
from .places import (
    CONNECT_LINKS,
    DEVICES,
    GLOBALS,
    NETKIT_LINKS,
    OLD_JUMPS,
    OLD_SUFFIX,
    TCX_LINKS,
    is_cleaned,
    is_interface_directory,
)
from .tables.map_row import INTERFACE, CalicoMap


class Pin(NamedTuple):
    """A pin; ``path`` relative to the bpffs.

    ``map`` are the parameters of a pinned map. ``content`` is the ownership of what a link or
    program pin holds.
    """

    path: str
    map: MapSpec | None = None
    content: Ownership | None = None


def unpinned_map(spec: MapSpec, users: Iterable[Ownership]) -> Ownership:
    """Whose a map without a pin is: its parameters and a program of Calico's that uses it."""
    used = any(user.verdict is Verdict.CALICO for user in users)
    return judge(
        (
            Check(
                bool(rows_fitting(spec)),
                f"{spec.name} has the parameters of a Calico map.",
                f"{spec.name!r} is no Calico map: {describe(spec)}.",
                hint=bool(rows_named(spec.name)) or is_cleaned(spec.name),
            ),
            Check(used, "A program of Calico uses it.", "No program of Calico uses it."),
        )
    )


def pin(seen: Pin) -> Ownership:
    """Whose a pin is. The directory alone says nothing: others pin there too."""
    if seen.map is not None:
        return _map_pin(seen.path, seen.map)
    directory, _, name = seen.path.rpartition("/")
    owner = seen.content or Ownership(Verdict.UNPROVEN, ("What is pinned could not be read.",))
    if owner.verdict is not Verdict.CALICO:
        return owner
    place = directory in (CONNECT_LINKS, NETKIT_LINKS, TCX_LINKS)
    return judge(
        (
            Check(True, " ".join(owner.reasons), ""),
            Check(
                place,
                f"{directory} is a directory of Calico.",
                f"{name} is not in a directory where Calico pins links.",
            ),
        )
    )


def _map_pin(path: str, spec: MapSpec) -> Ownership:
    directory, _, name = path.rpartition("/")
    base = name[: -len(OLD_SUFFIX)] if name.endswith(OLD_SUFFIX) else name
    rows = rows_fitting(spec._replace(name=base))
    known = bool(rows_named(base))
    return judge(
        (
            Check(
                known,
                f"{base} is a map of Calico{'' if base == name else ', kept from a resize'}.",
                f"{base!r} is no map of Calico.",
                hint=is_cleaned(name),
            ),
            Check(
                bool(rows),
                f"It has the parameters of {base}.",
                f"It does not have the parameters of a known {base}: {describe(spec)}.",
                sign=False,
            ),
            Check(
                any(_is_place(row, directory) for row in rows),
                f"{directory} is where Calico pins it.",
                f"{directory} is not where Calico pins it.",
                sign=False,
            ),
        )
    )


def _is_place(row: CalicoMap, directory: str) -> bool:
    if row.place == INTERFACE:
        return is_interface_directory(directory)
    parent = directory.rpartition("/")[0]
    parked = parent == OLD_JUMPS and bool({"jump", "progs"} & set(row.role.split("_")))
    return directory == GLOBALS or parked


def special_device(name: str, kind: str, peer: str) -> Ownership:
    """Whose a device is: exact names, a veth pair, each the other's peer."""
    row = next((row for row in DEVICES if row.name == name), None)
    return judge(
        (
            Check(row is not None, f"{name} is a device of Calico.", f"{name} is not Calico's."),
            Check(
                row is not None and row.kind == kind,
                f"It is a {kind}.",
                f"It is a {kind}, not a veth.",
                sign=False,
            ),
            Check(
                row is not None and row.peer == peer,
                f"Its peer is {peer}.",
                f"Its peer is {peer!r}.",
                sign=False,
            ),
        )
    )


def clsact_removable(filters: Iterable[Ownership]) -> bool:
    """Whether a clsact qdisc may go: it has filters, and all are Calico's."""
    verdicts = {owner.verdict for owner in filters}
    return verdicts == {Verdict.CALICO}

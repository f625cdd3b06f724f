# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack maps of a node as they were seen, and the plan to change them, as plain values."""

from __future__ import annotations

import re
import struct
from enum import Enum
from pathlib import PurePosixPath
from typing import Mapping, NamedTuple

from .._calico.detect import Detection
from .._uapi.bpf import MapType
from .._uapi.maps import MapSpec

_PIN = re.compile(r"cali_v([46])_ct(\d+)(_old)?", re.ASCII)
_KEPT = re.compile(r"old_(cali_v([46])_ct\d+)(?:_\d+)?", re.ASCII)
_NOTE = struct.Struct("<QQQ")

NOTE_SPEC = MapSpec(MapType.ARRAY, 4, _NOTE.size, 1, name="bpfops_note")
"""The map that a note is kept in: it lives as long as the pins do, and as its clock."""


class PinName(NamedTuple):
    """What the name of a conntrack pin says; ``old``: it has felix's suffix of a resize."""

    family: int
    version: int
    old: bool


def parse_pin(name: str) -> PinName | None:
    """The parts of a conntrack pin's name; None for other names."""
    match = _PIN.fullmatch(name)
    return PinName(int(match[1]), int(match[2]), bool(match[3])) if match else None


def parse_kept(name: str) -> str | None:
    """The name of the map that a pin of ours keeps; None for other names."""
    match = _KEPT.fullmatch(name)
    return match[1] if match else None


def kept_path(own_dir: str, name: str, map_id: int | None = None) -> str:
    """Where a reference to a replaced map is kept, or to one that was pinned nowhere."""
    suffix = "" if map_id is None else f"_{map_id}"
    return f"{own_dir}/old_{name}{suffix}"


def following_path(own_dir: str) -> str:
    """What is pinned while old maps are followed: felix may restart."""
    return f"{own_dir}/following"


def note_path(kept: str) -> str:
    """Where the note about a kept map is pinned."""
    path = PurePosixPath(kept)
    return str(path.with_name(f"note_{path.name}"))


class Note(NamedTuple):
    """What is remembered of a kept map.

    Changes of its entries whose last_seen is before ``since`` (ns of CLOCK_MONOTONIC) were carried
    over. ``clear``: the first word of its values means something else in the new map.
    Until ``unwritten`` (ns) all that the new map had was copied from the kept one; 0 where others
    had written it.
    """

    since: int
    clear: bool = False
    unwritten: int = 0

    def pack(self) -> bytes:
        """24 bytes."""
        return _NOTE.pack(self.since, self.clear, self.unwritten)

    @classmethod
    def unpack(cls, raw: bytes) -> Note:
        """The note in 24 bytes."""
        since, clear, unwritten = _NOTE.unpack(raw)
        return cls(since, bool(clear), unwritten)


class Pinned(NamedTuple):
    """A conntrack map in felix's pin directory; ``entries`` None: not counted."""

    path: str
    name: PinName
    id: int
    spec: MapSpec
    entries: int | None = None


class Kept(NamedTuple):
    """A map that an earlier run keeps; ``of`` is the name it was pinned under."""

    path: str
    of: str
    id: int
    spec: MapSpec
    note: Note | None = None


class Stray(NamedTuple):
    """A conntrack map that the node's programs use and no pin names."""

    id: int
    spec: MapSpec


class Pending(NamedTuple):
    """What carrying a map over would do, and leave out: ``expired``, or ``deleted`` meanwhile."""

    inserted: int = 0
    updated: int = 0
    expired: int = 0
    deleted: int = 0


class Seen(NamedTuple):
    """The node before the task.

    ``users`` are loaded programs by the id of a map they refer to. ``records`` counts those that
    felix 3.26 keeps of programs it has attached. ``leftovers`` are pins of
    killed runs. ``autoscale`` is the number in the auto-scale file, ``available`` memory in bytes.
    ``pending`` is by the id of the map to carry over.
    """

    detection: Detection
    cpus: int
    available: int
    pins: tuple[Pinned, ...] = ()
    kept: tuple[Kept, ...] = ()
    strays: tuple[Stray, ...] = ()
    leftovers: tuple[str, ...] = ()
    users: Mapping[int, tuple[str, ...]] = {}
    autoscale: int | None = None
    records: int = 0
    pending: Mapping[int, Pending] = {}

    def of(self, family: int) -> tuple[Pinned, ...]:
        """The family's pins."""
        return tuple(one for one in self.pins if one.name.family == family)

    def kept_of(self, family: int) -> tuple[Kept, ...]:
        """The family's kept maps."""
        prefix = f"cali_v{family}_"
        return tuple(one for one in self.kept if one.of.startswith(prefix))

    def strays_of(self, family: int) -> tuple[Stray, ...]:
        """The family's maps without a pin."""
        prefix = f"cali_v{family}_"
        return tuple(one for one in self.strays if one.spec.name.startswith(prefix))


class Verb(Enum):
    """Kinds of actions, in the order in which they are carried out."""

    ADOPT = "adopt"
    PUT_BACK = "put_back"
    REPLACE = "replace"
    RESTORE = "restore"
    SET_ASIDE = "set_aside"
    SETTLE = "settle"
    CLEAN = "clean"
    AUTOSCALE = "autoscale"
    FORGET = "forget"


class Source(NamedTuple):
    """A map whose entries are carried over; ``paths`` are its pins, see Note for the rest."""

    id: int
    paths: tuple[str, ...]
    since: int = 0
    clear: bool = False
    unwritten: int = 0


class Action(NamedTuple):
    """One step and the sentence that tells the operator of it.

    ``path`` is the pin that it brings about or, for CLEAN, removes. ``source`` is the map that
    entries come from, ``keep`` the second pin of the map that is replaced. ``size`` is what the
    auto-scale file shall say (None: no file).
    """

    verb: Verb
    sentence: str
    path: str = ""
    family: int = 0
    spec: MapSpec | None = None
    source: Source | None = None
    keep: str = ""
    size: int | None = None


class Plan(NamedTuple):
    """Steps in order, and the release whose rules judge what has expired."""

    actions: tuple[Action, ...]
    warnings: tuple[str, ...] = ()

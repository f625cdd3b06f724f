# SPDX-License-Identifier: GPL-3.0-or-later
"""Loaded programs with the evidence of whose they are; each is read once."""

from __future__ import annotations

import errno
import struct
from typing import Iterable

from ..._calico.codecs.fields import LayoutError
from ..._calico.codecs.preamble import Globals, decode_preamble, decode_xdp_preamble
from ..._calico.codecs.preamble_layout import NO_SLOT, preamble_layout
from ..._calico.evidence import Program as Evidence
from ..._calico.preamble import JUMP_MAPS, LAYOUTS, layouts_of_size
from ..._errors import SyscallError
from ..._kernel.maps import Map
from ..._kernel.programs import Program
from ..._plan.findings_input import Constants, Loaded, Slot
from ..._uapi.bpf import MapType, ProgType
from ..._uapi.maps import MapSpec

_JUMP_NAMES = frozenset(row.jump for row in JUMP_MAPS)
_PROGS_NAMES = frozenset(row.progs for row in JUMP_MAPS if row.progs)
_KINDS: dict[int, str] = {ProgType.SCHED_CLS: "tc", ProgType.XDP: "xdp"}
_ZERO = bytes(4)


class Programs:
    """Programs by id. Maps that many programs refer to are asked for their parameters once."""

    def __init__(self) -> None:
        self._programs: dict[int, Loaded | None] = {}
        self._specs: dict[int, MapSpec | None] = {}
        self._slots: dict[tuple[int, int], int | None] = {}

    def loaded(self, prog_id: int) -> Loaded | None:
        """A program; None when it is gone. Raises SyscallError (CAP_SYS_ADMIN)."""
        if prog_id not in self._programs:
            self._programs[prog_id] = self._read(prog_id)
        return self._programs[prog_id]

    def spec(self, map_id: int) -> MapSpec | None:
        """The parameters of a map that a program read so far refers to."""
        return self._specs.get(map_id)

    def specs(self, map_ids: Iterable[int]) -> tuple[MapSpec, ...]:
        """The parameters of such maps, each kind once."""
        found = (self.spec(map_id) for map_id in map_ids)
        return tuple(dict.fromkeys(spec for spec in found if spec))

    def _read(self, prog_id: int) -> Loaded | None:
        try:
            with Program.from_id(prog_id) as opened:
                info = opened.info()
        except SyscallError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        maps = {map_id: self._spec(map_id) for map_id in info.map_ids}
        specs = tuple(spec for spec in maps.values() if spec)
        known = None if len(specs) < len(maps) else specs
        evidence = Evidence(info.name, info.type, known)
        loaded = Loaded(info.id, info.tag, evidence, info.map_ids)
        kind = _KINDS.get(info.type)
        return self._with_constants(loaded, kind) if kind else loaded

    def _spec(self, map_id: int) -> MapSpec | None:
        if map_id not in self._specs:
            try:
                with Map.from_id(map_id) as opened:
                    self._specs[map_id] = opened.info().spec
            except SyscallError:
                self._specs[map_id] = None
        return self._specs[map_id]

    def _with_constants(self, loaded: Loaded, kind: str) -> Loaded:
        for map_id in loaded.map_ids:
            spec = self._specs.get(map_id)
            if spec and is_constants(spec, kind):
                raw = _value(map_id, spec.value_size)
                if raw is not None:
                    return self._decoded(loaded, kind, spec, raw)
        return loaded

    def _decoded(self, loaded: Loaded, kind: str, spec: MapSpec, raw: bytes) -> Loaded:
        constants = Constants(spec.name, spec.value_size)
        try:
            if kind == "xdp":
                name = decode_xdp_preamble(raw)[0].raw_iface_name
            else:
                parts = decode_preamble(raw)
                name = parts[0].raw_iface_name
                constants = self._calls(loaded, constants, parts)
        except LayoutError:
            return loaded._replace(constants=constants)
        device = name.partition(b"\0")[0].decode("ascii", "backslashreplace")
        return loaded._replace(
            evidence=loaded.evidence._replace(iface_name=device), constants=constants
        )

    def _calls(self, loaded: Loaded, constants: Constants, parts: tuple[Globals, ...]) -> Constants:
        filters = [part.log_filter for part in parts if part.log_filter is not None]
        programs = preamble_layout(constants.value_size).programs
        mains = [part.jumps[index] for part in parts for index in (0, programs) if part.jumps]
        return constants._replace(
            log_filters=self._slots_of(loaded, _JUMP_NAMES, filters),
            main=self._slots_of(loaded, _PROGS_NAMES, [slot for slot in mains if slot != NO_SLOT]),
        )

    def _slots_of(
        self, loaded: Loaded, names: frozenset[str], indices: Iterable[int]
    ) -> tuple[Slot, ...]:
        """The elements of the program array that this very program refers to."""
        arrays = [
            (map_id, spec.name)
            for map_id in loaded.map_ids
            for spec in (self._specs.get(map_id),)
            if spec and spec.name in names and spec.type == MapType.PROG_ARRAY
        ]
        return tuple(
            Slot(name, index, held is not None, held)
            for map_id, name in arrays
            for index in dict.fromkeys(indices)
            for held in (self._held(map_id, index),)
        )

    def _held(self, map_id: int, index: int) -> int | None:
        """The id of the program in an element of a program array."""
        place = (map_id, index)
        if place not in self._slots:
            with Map.from_id(map_id) as opened:
                raw = opened.lookup(struct.pack("<I", index), 4)
            self._slots[place] = None if raw is None else struct.unpack("<I", raw)[0]
        return self._slots[place]


def is_constants(spec: MapSpec, kind: str) -> bool:
    """Whether a map looks like the constants of an entry program of ``kind``, tc or xdp."""
    if (spec.type, spec.key_size, spec.max_entries) != (MapType.ARRAY, 4, 1):
        return False
    names = {row.map_name for row in LAYOUTS if row.program == kind}
    unnamed = any(not row.map_name for row in layouts_of_size(kind, spec.value_size))
    return bool(spec.name) and (spec.name in names or (unnamed and ".rodata" in spec.name))


def _value(map_id: int, size: int) -> bytes | None:
    with Map.from_id(map_id) as opened:
        return opened.lookup(_ZERO, size)

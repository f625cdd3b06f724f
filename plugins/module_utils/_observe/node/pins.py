# SPDX-License-Identifier: GPL-3.0-or-later
"""Pins of the directories that Calico uses, and the maps among them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Iterator

from ..._calico import pin_ownership
from ..._calico.evidence import Verdict
from ..._calico.places import PIN_DIRECTORIES
from ..._kernel import bpffs, proc
from ..._kernel.links import Link
from ..._kernel.maps import Map
from ..._kernel.objects import BpfObject, open_pin
from ..._kernel.programs import Program
from ..._kernel.readers import count_entries
from ..._plan.findings_input import Pin, PinnedMap
from ..._plan.migration import COPYABLE_TYPES
from ..._uapi.bpf import LinkType
from .notes import Notes


class Pins:
    """One look at the pins. ``maps`` and ``links`` (pin by link id, relative) come with it."""

    def __init__(self, mount: str, pin_dir: str, count: bool, notes: Notes) -> None:
        self.mount = mount
        self.pin_dir = pin_dir
        self.count = count
        self.notes = notes
        self.pins: list[Pin] = []
        self.maps: list[PinnedMap] = []
        self.links: dict[int, str] = {}

    def walk(self) -> None:
        """Look at every pin once; what is no map, program or link is listed as it is."""
        seen: set[str] = set()
        for directory in self._directories():
            with self.notes.reading(directory):
                if not Path(directory).is_dir():
                    continue
                if not bpffs.on_bpffs(directory):
                    self.notes.add(f"{directory} was left out: it is not on a bpffs.")
                    continue
                for path in bpffs.walk(directory):
                    if path not in seen:
                        seen.add(path)
                        with self.notes.reading(path):
                            self._look(path)

    def xdp_arrays(self) -> dict[str, int]:
        """Ids of the arrays that are pinned for the XDP program of one interface, by directory."""
        owned = [one for one in self.maps if one.owner.verdict is Verdict.CALICO]
        found = {self.relative(one.path).rpartition("/")[0]: one.id for one in owned}
        return {place: one for place, one in found.items() if place.endswith("_xdp")}

    def relative(self, path: str) -> str:
        """A path as the tables have it: relative to the bpffs, the pin directory by its usual
        name."""
        for top, shown in ((self.pin_dir, "tc/globals"), (self.mount, "")):
            if path.startswith(top.rstrip("/") + "/"):
                return str(PurePosixPath(shown, os.path.relpath(path, top)))
        return path

    def _directories(self) -> Iterator[str]:
        yield self.pin_dir
        for row in PIN_DIRECTORIES:
            if row.ebpf_mode:
                yield str(PurePosixPath(self.mount, row.path.partition("/")[0]))

    def _look(self, path: str) -> None:
        with BpfObject(open_pin(path)) as opened:
            kind = proc.object_kind(opened.fd) or "other"
            if kind == "map":
                self._map(path, Map(os.dup(opened.fd)))
            elif kind == "link":
                self._link(path, Link(os.dup(opened.fd)))
            elif kind == "program":
                with Program(os.dup(opened.fd)) as program:
                    self.pins.append(Pin(path, kind, program.info().id))
            else:
                self.pins.append(Pin(path, kind))

    def _map(self, path: str, opened: Map) -> None:
        with opened:
            info = opened.info()
            self.pins.append(Pin(path, "map", info.id))
            owner = pin_ownership.pin(pin_ownership.Pin(self.relative(path), info.spec))
            entries = None
            if self.count and info.spec.type in COPYABLE_TYPES:
                with self.notes.reading(f"The number of entries in {path}"):
                    entries = count_entries(opened, info.spec)
            self.maps.append(PinnedMap(path, info.id, info.spec, opened.memory(), owner, entries))

    def _link(self, path: str, opened: Link) -> None:
        with opened:
            info = opened.info()
        attached = (
            info.ifindex
            if info.type in (LinkType.TCX, LinkType.NETKIT, LinkType.XDP)
            else info.cgroup_id
        )
        self.links[info.id] = self.relative(path)
        self.pins.append(Pin(path, "link", info.id, severed=attached == 0))

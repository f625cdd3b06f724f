# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of the map tables."""

from __future__ import annotations

from typing import NamedTuple

from ..._uapi.bpf import MapFlag, MapType
from ..._uapi.maps import MapSpec
from ..versions import VersionSet

GLOBALS = "globals"
INTERFACE = "interface"
UNPINNED = "unpinned"

NO_PREALLOC = MapFlag.NO_PREALLOC


class CalicoMap(NamedTuple):
    """A map of some releases.

    ``family`` is 4, 6, or 0 for maps of both. Sizes in bytes; a per-CPU map's value is one
    CPU's. ``max_entries`` is felix's default. ``by_bpf``: programs write it too, so felix keeps
    the ``_old`` pin for a second copy. ``size_fields`` name the FelixConfiguration fields that
    size it. ``place`` is the pin directory: globals, interface (one directory for each interface
    and hook) or unpinned.
    """

    name: str
    role: str
    family: int
    releases: VersionSet
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    source: str
    flags: int = 0
    by_bpf: bool = False
    size_fields: tuple[str, ...] = ()
    place: str = GLOBALS
    certain: bool = True

    @property
    def spec(self) -> MapSpec:
        """The parameters to create it with."""
        return MapSpec(
            self.type, self.key_size, self.value_size, self.max_entries, self.flags, self.name
        )

# SPDX-License-Identifier: GPL-3.0-or-later
"""The BPF maps that felix makes, by release."""

from __future__ import annotations

from .._uapi.bpf import MapType
from .._uapi.maps import MapSpec
from .rows import Table
from .tables import maps_common, maps_family, maps_jump
from .tables.map_row import CalicoMap
from .versions import VersionSet

MAPS = Table(
    maps_family.ROWS + maps_common.ROWS + maps_jump.ROWS,
    lambda row: (row.role, row.family, row.place),
)

EVENT_MAPS = (MapType.PERF_EVENT_ARRAY, MapType.RINGBUF)
"""Types whose max_entries follows from the machine."""


def maps_of(release: VersionSet) -> tuple[CalicoMap, ...]:
    """The maps that some of ``release`` has. Raises BadInputError: release not known."""
    return MAPS.of(release)


def maps_of_role(release: VersionSet, role: str) -> tuple[CalicoMap, ...]:
    """The maps for one purpose, for example ``conntrack``, of each family."""
    return tuple(row for row in maps_of(release) if row.role == role)


def rows_named(name: str) -> tuple[CalicoMap, ...]:
    """The rows of every release for a map name."""
    return tuple(row for row in MAPS if row.name == name)


def superseded_by(release: VersionSet) -> tuple[CalicoMap, ...]:
    """Maps of other releases that none of ``release`` makes: such a pin is left over.

    felix removes no pin of an older map version (programs 2.3, ops 1.6).
    """
    current = {row.name for row in maps_of(release)}
    return tuple(row for row in MAPS if row.name not in current)


def fits(row: CalicoMap, spec: MapSpec) -> bool:
    """Whether a map has the row's name and parameters.

    ``max_entries`` may differ where a setting or the machine decides it.
    """
    fixed = not row.size_fields and row.type not in EVENT_MAPS
    return (
        (row.name, row.type, row.key_size, row.value_size, row.flags)
        == (spec.name, spec.type, spec.key_size, spec.value_size, spec.flags)
    ) and (not fixed or row.max_entries == spec.max_entries)


def rows_fitting(spec: MapSpec) -> tuple[CalicoMap, ...]:
    """The rows that a map fits."""
    return tuple(row for row in rows_named(spec.name) if fits(row, spec))

# SPDX-License-Identifier: GPL-3.0-or-later
"""FelixConfiguration fields of eBPF mode: default and allowed values by release.

Every one of them restarts felix when it changes, on all releases (ops 1.4). A value that felix
cannot parse becomes the default, with no more than a warning in its log (ops 1.3).
"""

from __future__ import annotations

import re

from .rows import Table
from .tables import config_maps, config_modes
from .tables.config_row import ConfigField
from .versions import VersionSet

FIELDS = Table(config_maps.ROWS + config_modes.ROWS, lambda row: row.name)

LIVE_FIELDS = ("CalicoVersion", "ClusterGUID", "ClusterType", "HealthTimeoutOverrides")
"""The only settings that felix takes over without a restart, 3.26 to 3.32 (ops 0.1)."""

_OPTIONS = {
    "bpfConntrackMode": "BPFConntrackCleanupMode",
    "bpfMapSizePerCpuConntrack": "BPFMapSizePerCPUConntrack",
}
_ACRONYM = re.compile(r"^Bpf")


def config_fields_of(release: VersionSet) -> tuple[ConfigField, ...]:
    """The fields that some of ``release`` has; two rows where the default changed within it."""
    return FIELDS.of(release)


def config_field(release: VersionSet, name: str) -> tuple[ConfigField, ...]:
    """The rows of one field; empty when the release has no such field."""
    return tuple(row for row in config_fields_of(release) if row.name == name)


def option_name(field: str) -> str:
    """What felix's configuration file calls a field (ops 1.3)."""
    return _OPTIONS.get(field) or _ACRONYM.sub("BPF", field[:1].upper() + field[1:])


def environment_name(field: str) -> str:
    """The environment variable that overrides a field (ops 1.3)."""
    return "FELIX_" + option_name(field).upper()


def allows(row: ConfigField, value: object) -> bool:
    """Whether a field takes ``value``, as far as the facts say."""
    if row.minimum is not None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        above = row.maximum is None or (whole and int(str(value)) <= row.maximum)
        return whole and int(str(value)) >= row.minimum and above
    if not row.values:
        return True
    if row.any_case:
        return str(value).lower() in {one.lower() for one in row.values}
    return value in row.values

# SPDX-License-Identifier: GPL-3.0-or-later
"""FelixConfiguration fields about maps and conntrack: maps 1.3, ops 1.3."""

from __future__ import annotations

from ..rows import since
from .config_row import ConfigField

_SIZES = "maps 1.3; ops 1.3; felix's own parser has no bounds"
_3_30 = "maps 1.3; ops 1.3"


def _size(name: str, default: int, note: str = "") -> ConfigField:
    return ConfigField(name, since(">=3.26"), "integer", default, _SIZES, note=note)


ROWS: tuple[ConfigField, ...] = (
    _size("bpfMapSizeConntrack", 512000, "IPv4 and IPv6; a larger auto-scale file wins"),
    _size("bpfMapSizeNATFrontend", 65536),
    _size("bpfMapSizeNATBackend", 262144),
    _size("bpfMapSizeNATAffinity", 65536),
    _size("bpfMapSizeRoute", 262144),
    _size("bpfMapSizeIPSets", 1048576, "IPv4 only"),
    _size("bpfMapSizeIfState", 1000),
    ConfigField(
        "bpfMapSizePerCpuConntrack",
        since(">=3.30"),
        "integer",
        0,
        _3_30 + "; #9581",
        note="above 0: times the possible CPUs, instead of bpfMapSizeConntrack",
    ),
    ConfigField(
        "bpfMapSizeConntrackScaling",
        since(">=3.30"),
        "string",
        "DoubleIfFull",
        _3_30 + "; #9732",
        values=("Disabled", "DoubleIfFull"),
        any_case=True,
    ),
    ConfigField(
        "bpfMapSizeConntrackCleanupQueue",
        since("3.30"),
        "integer",
        100000,
        "maps 1.3, 1.2 note a",
        minimum=1,
        note="has no effect in 3.30",
    ),
    ConfigField(
        "bpfMapSizeConntrackCleanupQueue",
        since(">=3.31"),
        "integer",
        100000,
        "maps 1.3",
        minimum=1,
    ),
    ConfigField(
        "bpfConntrackMode",
        since("3.30"),
        "string",
        "Auto",
        _3_30 + "; #9356",
        values=("Auto", "Userspace", "BPFProgram"),
    ),
    ConfigField(
        "bpfConntrackMode",
        since(">=3.31"),
        "string",
        "Auto",
        "maps 1.3, 3.3; #10736",
        values=("Auto", "Userspace", "BPFProgram"),
        note="has no effect from 3.31 on",
    ),
    ConfigField(
        "bpfConntrackTimeouts",
        since(">=3.30"),
        "object",
        "",
        "maps 3.1; ops 1.3",
        note="the timers are in the table of conntrack timeouts",
    ),
    ConfigField(
        "bpfConntrackLogLevel",
        since(">=3.30"),
        "string",
        "Off",
        _3_30,
        values=("Off", "Debug"),
        any_case=True,
        note="the facts give the default once as Off and once as off",
    ),
    ConfigField(
        "bpfMaglevMaxEndpointsPerService",
        since(">=3.32"),
        "integer",
        100,
        _3_30,
        minimum=1,
        maximum=3000,
    ),
    ConfigField(
        "bpfMaglevMaxServices", since(">=3.32"), "integer", 100, _3_30, minimum=1, maximum=3000
    ),
    ConfigField("bpfExportBufferSizeMB", since(">=3.30"), "integer", 1, _3_30),
)

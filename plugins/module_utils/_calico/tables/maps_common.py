# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps that serve both address families."""

from __future__ import annotations

from ..._uapi.bpf import MapType
from ..rows import since
from .map_row import NO_PREALLOC, CalicoMap

_SOURCE = "maps 1.2; programs 7"
_IFSTATE = CalicoMap(
    "",
    "ifstate",
    0,
    since("3.26"),
    MapType.HASH,
    4,
    0,
    1000,
    "maps 1.2; programs 3.1",
    flags=NO_PREALLOC,
    size_fields=("bpfMapSizeIfState",),
)
_STATE = CalicoMap("", "state", 0, since("3.26"), MapType.PERCPU_ARRAY, 4, 0, 2, _SOURCE)
_COUNTERS = CalicoMap(
    "", "counters", 0, since("3.26"), MapType.PERCPU_HASH, 8, 0, 20000, "maps 1.2, 4.6"
)


def _version(base: CalicoMap, name: str, releases: str, value_size: int) -> CalicoMap:
    return base._replace(name=name, releases=since(releases), value_size=value_size)


ROWS: tuple[CalicoMap, ...] = (
    _version(_IFSTATE, "cali_iface2", "3.26", 20),
    _version(_IFSTATE, "cali_iface3", "3.27", 40),
    _version(_IFSTATE, "cali_iface4", ">=3.28", 52),
    _version(_STATE, "cali_state2", "3.26", 416)._replace(max_entries=1),
    _version(_STATE, "cali_state4", "3.27", 464),
    _version(_STATE, "cali_state4", ">=3.28,<3.30", 480),
    _version(_STATE, "cali_state4", ">=3.30,<3.32", 488),
    _version(_STATE, "cali_state6", ">=3.32", 512),
    _version(_COUNTERS, "cali_counters2", ">=3.26,<3.30", 112),
    _version(_COUNTERS, "cali_counters3", "3.30", 136),
    _version(_COUNTERS, "cali_counters5", "3.31", 200),
    _version(_COUNTERS, "cali_counters6", ">=3.32", 216),
    CalicoMap(
        "cali_rule_ctrs2",
        "rule_counters",
        0,
        since(">=3.26"),
        MapType.PERCPU_HASH,
        8,
        8,
        10000,
        _SOURCE,
    ),
    CalicoMap(
        "cali_profiling2",
        "profiling",
        0,
        since(">=3.30"),
        MapType.PERCPU_HASH,
        8,
        16,
        20000,
        _SOURCE,
    ),
    CalicoMap(
        "cali_perf_evnt",
        "events",
        0,
        since(">=3.30"),
        MapType.PERF_EVENT_ARRAY,
        4,
        4,
        512,
        _SOURCE,
    ),
    CalicoMap(
        "cali_rb_evnt",
        "events",
        0,
        since(">=3.33"),
        MapType.RINGBUF,
        0,
        0,
        1 << 20,
        "maps 1.2 (bytes: next power of two of the field in MiB times the possible CPUs); #12111",
        size_fields=("bpfExportBufferSizeMB",),
        certain=False,
    ),
    CalicoMap(
        "cali_rb_drops",
        "event_drops",
        0,
        since(">=3.33"),
        MapType.ARRAY,
        4,
        16,
        1,
        "maps 1.2",
        certain=False,
    ),
    CalicoMap(
        "cali_qos",
        "qos",
        0,
        since(">=3.31"),
        MapType.HASH,
        8,
        24,
        2000,
        "maps 1.2 (not scaled by bpfMapSizeIfState)",
        flags=NO_PREALLOC,
        by_bpf=True,
    ),
    CalicoMap(
        "cali_qos2",
        "qos",
        0,
        since(">=3.33"),
        MapType.HASH,
        8,
        24,
        4000,
        "maps 1.2",
        flags=NO_PREALLOC,
        by_bpf=True,
        certain=False,
    ),
    CalicoMap(
        "cali_qos_conn",
        "qos_connections",
        0,
        since(">=3.33"),
        MapType.HASH,
        8,
        12,
        4000,
        "maps 1.2; #12602",
        flags=NO_PREALLOC,
        by_bpf=True,
        certain=False,
    ),
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The pinned maps of each release line, as felix creates them, in its order."""

from __future__ import annotations

from typing import NamedTuple

HASH, PROG_ARRAY, PERF_EVENTS, PERCPU_HASH, PERCPU_ARRAY = 1, 3, 4, 5, 6
LRU_HASH, LPM_TRIE = 9, 11
NO_PREALLOC = 1
CONNTRACK_SIZE = "BPFMapSizeConntrack"


class MapRow(NamedTuple):
    """One map; ``%`` in the name stands for v4 or v6. Sizes are bytes of key and value."""

    name: str
    type: int
    v4: tuple[int, int] | None
    max_entries: int
    flags: int = 0
    v6: tuple[int, int] | None = None
    size_key: str = ""
    sized_v6: bool = True
    by_bpf: bool = False


def _conntrack(version: int, kind: int, flags: int) -> MapRow:
    name = f"cali_%_ct{version}"
    return MapRow(name, kind, (16, 88), 512000, flags, (40, 128), CONNTRACK_SIZE, by_bpf=True)


def _state(version: int, value: int, entries: int = 2) -> MapRow:
    return MapRow(f"cali_state{version}", PERCPU_ARRAY, (4, value), entries)


def _counters(version: int, value: int) -> MapRow:
    return MapRow(f"cali_counters{version}", PERCPU_HASH, (8, value), 20000)


def _iface(version: int, value: int) -> MapRow:
    name, key = f"cali_iface{version}", "BPFMapSizeIfState"
    return MapRow(name, HASH, (4, value), 1000, NO_PREALLOC, size_key=key)


def _programs(name: str, entries: int) -> MapRow:
    return MapRow(name, PROG_ARRAY, (4, 4), entries)


CT3 = _conntrack(3, HASH, NO_PREALLOC)
CT4 = _conntrack(4, LRU_HASH, 0)
CT2 = MapRow("cali_%_ct2", HASH, (16, 64), 512000, NO_PREALLOC, by_bpf=True)
CLEANUP = MapRow(
    "cali_%_ccq2",
    HASH,
    (16, 32),
    100000,
    NO_PREALLOC,
    (40, 56),
    "BPFMapSizeConntrackCleanupQueue",
)
IP_SETS = MapRow(
    "cali_%_ip_sets",
    LPM_TRIE,
    (20, 4),
    1048576,
    NO_PREALLOC,
    (32, 4),
    "BPFMapSizeIPSets",
    sized_v6=False,
)
ARP = MapRow("cali_%_arp2", LRU_HASH, (8, 12), 10000, 0, (20, 12))
FAILSAFES = MapRow("cali_%_fsafes2", LPM_TRIE, (12, 4), 65536, NO_PREALLOC, (24, 4))
NAT_FE = MapRow(
    "cali_%_nat_fe3", LPM_TRIE, (16, 20), 65536, NO_PREALLOC, (40, 20), "BPFMapSizeNATFrontend"
)
NAT_BE = MapRow("cali_%_nat_be", HASH, (8, 8), 262144, NO_PREALLOC, (8, 20), "BPFMapSizeNATBackend")
NAT_AFF = MapRow("cali_%_nat_aff", LRU_HASH, (16, 16), 65536, 0, (40, 32), "BPFMapSizeNATAffinity")
ROUTES = MapRow("cali_%_routes", LPM_TRIE, (8, 8), 262144, NO_PREALLOC, (20, 20), "BPFMapSizeRoute")
SRMSG = MapRow("cali_%_srmsg", LRU_HASH, (16, 8), 510000, 0, (32, 20))
CT_NATS = MapRow("cali_%_ct_nats", LRU_HASH, (24, 8), 10000, 0, (32, 20))
# felix computes 50300 from its two defaults for Maglev; the knobs are not read here.
MAGLEV = MapRow("cali_%_mglv2", HASH, (8, 8), 50300, NO_PREALLOC, (8, 20))
SOURCE_PREFIXES = MapRow("cali_%_sprefix", LPM_TRIE, (12, 4), 1048576, NO_PREALLOC, (24, 4))
FRAGS = MapRow("cali_%_frags2", LRU_HASH, (12, 1512), 10000)
FRAGS_TEMPORARY = MapRow("cali_%_frgtmp2", PERCPU_ARRAY, (4, 1512), 1)
FRAGS_FORWARD = MapRow("cali_%_frgfwd3", LRU_HASH, (16, 8), 10000)
RULE_COUNTERS = MapRow("cali_rule_ctrs2", PERCPU_HASH, (8, 8), 10000)
PROFILING = MapRow("cali_profiling2", PERCPU_HASH, (8, 16), 20000)
EVENTS = MapRow("cali_perf_evnt", PERF_EVENTS, (4, 4), 512)
QOS = MapRow("cali_qos", HASH, (8, 24), 2000, NO_PREALLOC, by_bpf=True)

JUMPS_27 = (
    _programs("cali_progs2", 200),
    _programs("cali_jump2", 10000),
    _programs("xdp_cali_progs2", 200),
    _programs("xdp_cali_jump2", 100),
)
XDP_JUMPS = (_programs("xdp_cali_progs3", 400), _programs("xdp_cali_jump3", 2400))
JUMPS_28 = (_programs("cali_progs3", 400), _programs("cali_jump3", 240000), *XDP_JUMPS)
SPLIT_PROGS = (_programs("cali_progs_ing2", 400), _programs("cali_progs_egr2", 400))
SPLIT_JUMPS = (_programs("cali_jump_ing2", 240000), _programs("cali_jump_egr2", 240000))
# Release 3.26 has one for each interface and hook, outside the common directory.
JUMP_26 = _programs("cali_jump3", 32)
CTLB_ONE = (_programs("cali_ctlb_progs", 3),)
CTLB_SPLIT = tuple(_programs(f"cali_ctlb_{call}", 1) for call in ("conn", "send", "recv"))

_NAT_AND_ROUTES = (NAT_FE, NAT_BE, NAT_AFF, ROUTES)
_FAMILY_28 = (IP_SETS, ARP, FAILSAFES, *_NAT_AND_ROUTES, CT3, SRMSG, CT_NATS)
_FAMILY_31 = (*_FAMILY_28[:7], CT4, CLEANUP, SRMSG, CT_NATS)
_COUNTERS_26 = (RULE_COUNTERS, _counters(2, 112))


def _before_28(state: MapRow, iface: MapRow) -> tuple[MapRow, ...]:
    first = (IP_SETS, state, ARP, FAILSAFES, *_NAT_AND_ROUTES)
    return (*first, CT3, SRMSG, CT_NATS, iface, *_COUNTERS_26)


MAPS_26 = _before_28(_state(2, 416, 1), _iface(2, 20))
MAPS_27 = (*_before_28(_state(4, 464), _iface(3, 40)), *JUMPS_27)
COMMON_28 = (_state(4, 480), _iface(4, 52), *_COUNTERS_26, *JUMPS_28)
COMMON_30 = (
    *(_state(4, 488), _iface(4, 52), RULE_COUNTERS, _counters(3, 136), *JUMPS_28),
    *(PROFILING, EVENTS),
)


def common_31(state: MapRow, counters: MapRow, *jumps: MapRow) -> tuple[MapRow, ...]:
    """What both families share from release 3.31 on."""
    first = (state, _iface(4, 52), RULE_COUNTERS, counters)
    return (*first, *XDP_JUMPS, PROFILING, QOS, *jumps, EVENTS)


COMMON_31_2 = common_31(_state(4, 488), _counters(5, 200), *CTLB_ONE, *JUMPS_28[:2])
COMMON_31_7 = common_31(_state(4, 488), _counters(5, 200), *SPLIT_PROGS, *CTLB_SPLIT, *SPLIT_JUMPS)
COMMON_32 = common_31(_state(6, 512), _counters(6, 216), *SPLIT_PROGS, *CTLB_SPLIT, *SPLIT_JUMPS)
FAMILY_28 = _FAMILY_28
FAMILY_31_2 = (*_FAMILY_31, FRAGS, FRAGS_TEMPORARY)
FAMILY_31_7 = (*_FAMILY_31, FRAGS, FRAGS_FORWARD, FRAGS_TEMPORARY)
FAMILY_32 = (*_FAMILY_31, MAGLEV, FRAGS, FRAGS_FORWARD, SOURCE_PREFIXES, FRAGS_TEMPORARY)

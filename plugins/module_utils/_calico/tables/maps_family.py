# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of one address family: IPv4 from 3.26 on, IPv6 from 3.27 on.

3.27 runs one family: its IPv6 maps take the place of the IPv4 ones. From 3.28 on IPv4 is
always there and IPv6 comes beside it (maps 1.2).
"""

from __future__ import annotations

from ..._uapi.bpf import MapType
from ..rows import since
from .map_row import NO_PREALLOC, UNPINNED, CalicoMap

_SOURCE = "maps 1.2; programs 7"
_CONNTRACK = ("bpfMapSizeConntrack", "bpfMapSizePerCpuConntrack")
_CONNTRACK_SOURCE = "maps 1.2, 2.1, 2.2, 6.1"


def _v4(
    suffix: str, role: str, releases: str, kind: MapType, sizes: tuple[int, int], entries: int
) -> CalicoMap:
    """``sizes``: key and value. Hash and trie are made without preallocation, LRU cannot be."""
    flags = NO_PREALLOC if kind in (MapType.HASH, MapType.LPM_TRIE) else 0
    name = f"cali_v4_{suffix}"
    return CalicoMap(name, role, 4, since(releases), kind, *sizes, entries, _SOURCE, flags)


def _v6(twin: CalicoMap, releases: str, sizes: tuple[int, int]) -> CalicoMap:
    """The IPv6 map that differs from its IPv4 twin in key, value and first release only."""
    return twin._replace(
        name=twin.name.replace("_v4_", "_v6_"),
        family=6,
        releases=since(releases),
        key_size=sizes[0],
        value_size=sizes[1],
    )


_CT2 = _v4("ct2", "conntrack", "<3.24", MapType.HASH, (16, 64), 512000)._replace(
    by_bpf=True, source="maps 1.2, 2.3 (only ever a source to upgrade from)"
)
_CT3 = _v4("ct3", "conntrack", ">=3.24,<3.31", MapType.HASH, (16, 88), 512000)._replace(
    by_bpf=True, size_fields=_CONNTRACK, source=_CONNTRACK_SOURCE
)
_CT4 = _v4("ct4", "conntrack", ">=3.31", MapType.LRU_HASH, (16, 88), 512000)._replace(
    by_bpf=True, size_fields=_CONNTRACK, source=_CONNTRACK_SOURCE + "; #10557"
)
_CCQ1 = _v4("ccq1", "conntrack_cleanup", "3.30", MapType.HASH, (16, 16), 100000)._replace(
    place=UNPINNED, source="maps 1.2 note a: private to the cleanup program, its field has no use"
)
_CCQ2 = _v4("ccq2", "conntrack_cleanup", ">=3.31", MapType.HASH, (16, 32), 100000)._replace(
    size_fields=("bpfMapSizeConntrackCleanupQueue",), source="maps 1.2, 2.4; #10736"
)
_FRONTEND = _v4("nat_fe3", "nat_frontend", ">=3.26", MapType.LPM_TRIE, (16, 20), 65536)._replace(
    size_fields=("bpfMapSizeNATFrontend",), source="maps 1.2, 4.1"
)
_BACKEND = _v4("nat_be", "nat_backend", ">=3.26", MapType.HASH, (8, 8), 262144)._replace(
    size_fields=("bpfMapSizeNATBackend",), source="maps 1.2, 4.2"
)
_AFFINITY = _v4("nat_aff", "nat_affinity", ">=3.26", MapType.LRU_HASH, (16, 16), 65536)._replace(
    size_fields=("bpfMapSizeNATAffinity",), source="maps 1.2, 4.3"
)
_MAGLEV = _v4("mglv2", "maglev", ">=3.32", MapType.HASH, (8, 8), 50300)._replace(
    size_fields=("bpfMaglevMaxEndpointsPerService", "bpfMaglevMaxServices"),
    source="maps 1.2 note b: compiled with 1009, felix sets 503 x 100 by default",
)
_ROUTES = _v4("routes", "routes", ">=3.26", MapType.LPM_TRIE, (8, 8), 262144)._replace(
    size_fields=("bpfMapSizeRoute",), source="maps 1.2, 4.5"
)
_SRMSG = _v4("srmsg", "srmsg", ">=3.26", MapType.LRU_HASH, (16, 8), 510000)
_CT_NATS = _v4("ct_nats", "ct_nats", ">=3.26", MapType.LRU_HASH, (24, 8), 10000)
_ARP = _v4("arp2", "arp", ">=3.26", MapType.LRU_HASH, (8, 12), 10000)
_FAILSAFES = _v4("fsafes2", "failsafes", ">=3.26", MapType.LPM_TRIE, (12, 4), 65536)
_IP_SETS = _v4("ip_sets", "ip_sets", ">=3.26", MapType.LPM_TRIE, (20, 4), 1048576)._replace(
    size_fields=("bpfMapSizeIPSets",), source="maps 1.2 note c, 4.6"
)
_PREFIXES = _v4("sprefix", "source_prefixes", ">=3.32", MapType.LPM_TRIE, (12, 4), 1048576)
_FRAGS = _v4("frags2", "frags", ">=3.31", MapType.LRU_HASH, (12, 1512), 10000)
_FRAG_BUFFER = _v4("frgtmp2", "frag_buffer", ">=3.31", MapType.PERCPU_ARRAY, (4, 1512), 1)
_FRAG_FORWARD_2 = _v4(
    "frgfwd2", "frag_forward", ">=3.31,<3.31.4", MapType.LRU_HASH, (16, 4), 10000
)._replace(source="maps 1.2, ops 1.6; felix/bpf-gpl/ip_v4_fragment.h", certain=False)
_FRAG_FORWARD = _v4("frgfwd3", "frag_forward", ">=3.31.4", MapType.LRU_HASH, (16, 8), 10000)

ROWS: tuple[CalicoMap, ...] = (
    _CT2,
    _CT3,
    _v6(_CT3, ">=3.27,<3.31", (40, 128)),
    _CT4,
    _v6(_CT4, ">=3.31", (40, 128)),
    _CCQ1,
    _v6(_CCQ1, "3.30", (40, 40)),
    _CCQ2,
    _v6(_CCQ2, ">=3.31", (40, 56)),
    _FRONTEND,
    _v6(_FRONTEND, ">=3.27", (40, 20)),
    _BACKEND,
    _v6(_BACKEND, ">=3.27", (8, 20)),
    _AFFINITY,
    _v6(_AFFINITY, ">=3.27", (40, 32)),
    _MAGLEV,
    _v6(_MAGLEV, ">=3.32", (8, 20)),
    _ROUTES,
    _v6(_ROUTES, ">=3.27", (20, 20)),
    _SRMSG,
    _v6(_SRMSG, ">=3.27", (32, 20)),
    _CT_NATS,
    _v6(_CT_NATS, ">=3.27", (32, 20)),
    _ARP,
    _v6(_ARP, ">=3.27", (20, 12)),
    _FAILSAFES,
    _v6(_FAILSAFES, ">=3.27", (24, 4)),
    _IP_SETS,
    # Only the IPv4 set map is given the configured size (maps 1.2 note c).
    _v6(_IP_SETS, ">=3.27", (32, 4))._replace(size_fields=()),
    _PREFIXES,
    _v6(_PREFIXES, ">=3.32", (24, 4)),
    _FRAGS,
    _FRAGS._replace(name="cali_v4_frags3", releases=since(">=3.33"), certain=False),
    _FRAG_BUFFER,
    _FRAG_BUFFER._replace(name="cali_v4_frgtmp3", releases=since(">=3.33"), certain=False),
    _FRAG_FORWARD_2,
    _FRAG_FORWARD,
    _FRAG_FORWARD._replace(
        name="cali_v4_frgfwd4", releases=since(">=3.33"), value_size=32, certain=False
    ),
)

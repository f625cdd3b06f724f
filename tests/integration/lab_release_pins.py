# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinned maps of Calico's releases, written down by hand for tests of the lab."""

from __future__ import annotations

# name, type, key and value bytes, max_entries, flags, then the release lines 3.x that have it.
TABLE = """
cali_counters2        percpu_hash   8  112  20000   0 26 27 28 29
cali_counters3        percpu_hash   8  136  20000   0 30
cali_counters5        percpu_hash   8  200  20000   0 31
cali_counters6        percpu_hash   8  216  20000   0 32
cali_ctlb_progs       prog_array    4  4    3       0 28
cali_ctlb_conn        prog_array    4  4    1       0 29 30 31 32
cali_ctlb_recv        prog_array    4  4    1       0 29 30 31 32
cali_ctlb_send        prog_array    4  4    1       0 29 30 31 32
cali_iface2           hash          4  20   1000    1 26
cali_iface3           hash          4  40   1000    1 27
cali_iface4           hash          4  52   1000    1 28 29 30 31 32
cali_jump2            prog_array    4  4    10000   0 27
cali_jump3            prog_array    4  4    240000  0 28 29 30
cali_jump_egr2        prog_array    4  4    240000  0 31 32
cali_jump_ing2        prog_array    4  4    240000  0 31 32
cali_perf_evnt        perf_event_array 4 4  512     0 30 31 32
cali_profiling2       percpu_hash   8  16   20000   0 30 31 32
cali_progs2           prog_array    4  4    200     0 27
cali_progs3           prog_array    4  4    400     0 28 29 30
cali_progs_egr2       prog_array    4  4    400     0 31 32
cali_progs_ing2       prog_array    4  4    400     0 31 32
cali_qos              hash          8  24   2000    1 31 32
cali_rule_ctrs2       percpu_hash   8  8    10000   0 26 27 28 29 30 31 32
cali_state2           percpu_array  4  416  1       0 26
cali_state4           percpu_array  4  464  2       0 27
cali_state4           percpu_array  4  480  2       0 28 29
cali_state4           percpu_array  4  488  2       0 30 31
cali_state6           percpu_array  4  512  2       0 32
cali_v4_arp2          lru_hash      8  12   10000   0 26 27 28 29 30 31 32
cali_v4_ccq2          hash          16 32   100000  1 31 32
cali_v4_ct3           hash          16 88   512000  1 26 27 28 29 30
cali_v4_ct4           lru_hash      16 88   512000  0 31 32
cali_v4_ct_nats       lru_hash      24 8    10000   0 26 27 28 29 30 31 32
cali_v4_frags2        lru_hash      12 1512 10000   0 31 32
cali_v4_frgfwd3       lru_hash      16 8    10000   0 31 32
cali_v4_frgtmp2       percpu_array  4  1512 1       0 31 32
cali_v4_fsafes2       lpm_trie      12 4    65536   1 26 27 28 29 30 31 32
cali_v4_ip_sets       lpm_trie      20 4    1048576 1 26 27 28 29 30 31 32
cali_v4_mglv2         hash          8  8    50300   1 32
cali_v4_nat_aff       lru_hash      16 16   65536   0 26 27 28 29 30 31 32
cali_v4_nat_be        hash          8  8    262144  1 26 27 28 29 30 31 32
cali_v4_nat_fe3       lpm_trie      16 20   65536   1 26 27 28 29 30 31 32
cali_v4_routes        lpm_trie      8  8    262144  1 26 27 28 29 30 31 32
cali_v4_sprefix       lpm_trie      12 4    1048576 1 32
cali_v4_srmsg         lru_hash      16 8    510000  0 26 27 28 29 30 31 32
cali_v6_arp2          lru_hash      20 12   10000   0 27 28 29 30 31 32
cali_v6_ccq2          hash          40 56   100000  1 31 32
cali_v6_ct3           hash          40 128  512000  1 27 28 29 30
cali_v6_ct4           lru_hash      40 128  512000  0 31 32
cali_v6_ct_nats       lru_hash      32 20   10000   0 27 28 29 30 31 32
cali_v6_fsafes2       lpm_trie      24 4    65536   1 27 28 29 30 31 32
cali_v6_ip_sets       lpm_trie      32 4    1048576 1 27 28 29 30 31 32
cali_v6_mglv2         hash          8  20   50300   1 32
cali_v6_nat_aff       lru_hash      40 32   65536   0 27 28 29 30 31 32
cali_v6_nat_be        hash          8  20   262144  1 27 28 29 30 31 32
cali_v6_nat_fe3       lpm_trie      40 20   65536   1 27 28 29 30 31 32
cali_v6_routes        lpm_trie      20 20   262144  1 27 28 29 30 31 32
cali_v6_sprefix       lpm_trie      24 4    1048576 1 32
cali_v6_srmsg         lru_hash      32 20   510000  0 27 28 29 30 31 32
xdp_cali_jump2        prog_array    4  4    100     0 27
xdp_cali_jump3        prog_array    4  4    2400    0 28 29 30 31 32
xdp_cali_progs2       prog_array    4  4    200     0 27
xdp_cali_progs3       prog_array    4  4    400     0 28 29 30 31 32
"""

Parameters = tuple[str, int, int, int, int]


def expected(release: str, families: str) -> dict[str, Parameters]:
    """Type, key, value, max_entries and flags by name; ``families`` is "v4", "v6" or "v4 v6".

    Holds for the last point release of each line and those that do not differ from it.
    """
    line = release.split(".")[1]
    found = {}
    for row in TABLE.strip().splitlines():
        name, kind, key, value, entries, flags, *lines = row.split()
        family = name.split("_")[1]
        if line in lines and (family not in ("v4", "v6") or family in families.split()):
            found[name] = (kind, int(key), int(value), int(entries), int(flags))
    return found

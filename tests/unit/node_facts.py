# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of node_info as the module returns them, for tests of what is decided from them."""

from __future__ import annotations

from typing import Any

from ansible_collections.bpfops.calico.plugins.module_utils._calico.defects import defect
from ansible_collections.bpfops.calico.plugins.module_utils._calico.maps import maps_of
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range

PINS = "/sys/fs/bpf/tc/globals"
NAMES = {1: "hash", 9: "lru_hash"}


def a_map(name: str, release: str, **changes: Any) -> dict[str, Any]:
    """A pinned map of that release, called ``name`` with or without _old."""
    (row, *_) = (row for row in maps_of(parse_range(release)) if row.name == name[: len(row.name)])
    return {
        "path": f"{PINS}/{name}",
        "name": row.name,
        "type": NAMES.get(row.type, "other"),
        "key_size": row.key_size,
        "value_size": row.value_size,
        "max_entries": row.max_entries,
        "entries": 0,
        "superseded": False,
        "owner": "calico",
        **changes,
    }


def finding(code: str, where: str = "somewhere", *evidence: str) -> dict[str, Any]:
    """A finding with what gates read of it."""
    row = defect(code)
    return {"code": code, "severity": row.severity, "object": where, "evidence": list(evidence)}


def node(release: str = "3.29", *maps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A healthy node of ``release``, which has the conntrack map of IPv4 unless maps are given."""
    releases = parse_range(release)
    conntrack = "cali_v4_ct4" if releases.spans[0].low >= (3, 31, 0) else "cali_v4_ct3"
    return {
        "release": str(releases),
        "release_range": releases.written(),
        "kernel": {"release": "6.6.0-1-amd64", "possible_cpus": 8, "lockdown": None},
        "distribution": {"id": "debian", "id_like": [], "version_id": "12"},
        "memory_available_bytes": 8 * 10**9,
        "bpffs_mounts": ["/sys/fs/bpf"],
        "cgroup_roots": ["/sys/fs/cgroup"],
        "maps": list(maps) or [a_map(conntrack, release)],
        "interfaces": [],
        "interfaces_known": True,
        "connect_time": [],
        "conntrack_size_file": None,
        "findings": [],
        "pins": [],
        "kube_proxy_ipvs": False,
        "vxlan_devices": [],
        "udp_ports": [],
        **changes,
    }

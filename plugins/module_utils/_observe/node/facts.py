# SPDX-License-Identifier: GPL-3.0-or-later
"""The node as results show it."""

from __future__ import annotations

from typing import Any, Iterable

from ..._calico.evidence import Ownership
from ..._calico.kernels import Distribution
from ..._calico.places import OLD_JUMPS, OLD_SUFFIX
from ..._calico.releases import is_one_line
from ..._plan.findings_input import Attachment, ConnectTime, Interface, Loaded, Node, PinnedMap
from ..._plan.findings_release import superseded
from ..._plan.map_spec import spec_facts
from ..._uapi.bpf import BUCKETED_TYPES, MapType

_FILLED_TYPES = BUCKETED_TYPES | {MapType.LPM_TRIE}
"""Types that have fewer entries than max_entries unless they are full."""


def node_facts(node: Node) -> dict[str, Any]:
    """Everything that was seen, as plain values."""
    old = set(superseded(node))
    return {
        "kernel": {
            "release": node.kernel,
            "possible_cpus": node.cpus,
            "lockdown": node.lockdown,
        },
        "distribution": _distribution(node.distribution),
        "memory_available_bytes": node.memory_available,
        "bpffs_mounts": list(node.bpffs),
        "cgroup_roots": list(node.cgroups),
        "release": str(node.release.releases),
        "release_range": node.release.releases.written(),
        "release_exact": is_one_line(node.release.releases),
        "release_evidence": list(node.release.evidence),
        "release_contradictions": list(node.release.contradictions),
        "maps": [_map(one, one in old) for one in node.maps],
        "pins": [one._asdict() for one in node.pins],
        "old_pins": [one.path for one in node.maps if one.path.endswith(OLD_SUFFIX)],
        "superseded_maps": [one.path for one in node.maps if one in old],
        "old_jumps": _old_jumps(node),
        "interfaces": [_interface(one) for one in node.interfaces],
        "interfaces_known": node.interfaces_known,
        "connect_time": [_connect_time(one) for one in node.connect_time],
        "special_devices": [
            {"name": one.name, "kind": one.kind, "peer": one.peer, **_owner(one.owner)}
            for one in node.devices
        ],
        "conntrack_size_file": node.auto_size,
        "kube_proxy_ipvs": node.ipvs,
        "vxlan_devices": [{"name": name, "port": port} for name, port in node.vxlan.items()],
        "udp_ports": list(node.udp_ports),
    }


def _distribution(seen: Distribution | None) -> dict[str, Any]:
    if seen is None:
        return {"id": None, "id_like": [], "version_id": None}
    return {
        "id": seen.id or None,
        "id_like": list(seen.like),
        "version_id": seen.version_id or None,
    }


def _old_jumps(node: Node) -> list[str]:
    name = OLD_JUMPS.rpartition("/")[2]
    return [one.path for one in node.pins if f"/{name}/" in one.path]


def _map(one: PinnedMap, old: bool) -> dict[str, Any]:
    fillable = one.entries is not None and one.spec.type in _FILLED_TYPES
    fill = (one.entries or 0) / one.spec.max_entries if fillable else None
    return {
        "path": one.path,
        "id": one.id,
        "name": one.spec.name,
        **spec_facts(one.spec),
        "memory_bytes": one.memory,
        "entries": one.entries,
        "fill": None if fill is None else round(fill, 4),
        "superseded": old,
        **_owner(one.owner),
    }


def _owner(owner: Ownership) -> dict[str, Any]:
    return {"owner": owner.verdict.value, "owner_reasons": list(owner.reasons)}


def _interface(one: Interface) -> dict[str, Any]:
    return {
        "name": one.name,
        "ifindex": one.ifindex,
        "workload": one.workload,
        "kind": one.kind,
        "running": one.running,
        "clsact": one.clsact,
        "programs": [_attachment(attached) for attached in one.attachments],
    }


def _attachment(one: Attachment) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "hook": one.hook,
        "name": one.name,
        "program_id": one.prog_id,
        "preference": one.preference,
        "handle": one.handle,
        "link_id": one.link_id,
        "mode": one.mode,
        **_program(one.program),
        **_owner(one.owner),
    }


def _program(program: Loaded | None) -> dict[str, Any]:
    constants = program.constants if program else None
    return {
        "tag": program.tag if program else None,
        "constants_bytes": constants.value_size if constants else None,
        "log_filters": _slots(constants.log_filters if constants else ()),
    }


def _slots(slots: Iterable[Any]) -> list[dict[str, Any]]:
    return [{"map": one.map, "slot": one.slot, "filled": one.filled} for one in slots]


def _connect_time(one: ConnectTime) -> dict[str, Any]:
    return {
        "cgroup": one.cgroup,
        "hook": one.section,
        "legacy": one.legacy,
        "program_id": one.program.id,
        "name": one.program.evidence.name,
        "tag": one.program.tag,
        **_owner(one.owner),
    }

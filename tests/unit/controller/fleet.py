# SPDX-License-Identifier: GPL-3.0-or-later
"""Crafted nodes, in the form that node_info and the roles leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.bpfops.calico.plugins.plugin_utils._report.model import build
from ansible_collections.bpfops.calico.plugins.plugin_utils._report.render import render

TEMPLATES = Path(__file__).resolve().parents[3] / "roles/_report/templates"
ABOUT = {
    "name": "audit",
    "title": "Audit of a fleet",
    "generated": "2026-01-31T12:00:00Z",
    "command": "ansible-playbook bpfops.calico.audit",
}
GLOBALS = "/sys/fs/bpf/tc/globals/"
HOSTILE = "\"><script>alert(1)</script>&'{{ 6 * 7 }}"
"""A name that ends an attribute, starts an element and is a template of Ansible."""


def pinned(name: str, entries: int | None = 0, room: int = 1000, **other: Any) -> dict[str, Any]:
    """A pinned map."""
    return {
        "path": GLOBALS + name,
        "id": 7,
        "name": name[:15],
        "type": "hash",
        "key_size": 16,
        "value_size": 88,
        "max_entries": room,
        "flags": ["BPF_F_NO_PREALLOC"],
        "memory_bytes": 4_194_304,
        "entries": entries,
        "fill": None if entries is None else round(entries / room, 4),
        "superseded": False,
        "owner": "calico",
        "owner_reasons": ["It is a map of Calico."],
        **other,
    }


def program(hook: str, **other: Any) -> dict[str, Any]:
    """A tc program on an interface."""
    return {
        "kind": "tc",
        "hook": hook,
        "name": "cali_tc_preambl:[11]",
        "program_id": 11,
        "preference": 49152,
        "handle": 1,
        "link_id": None,
        "mode": None,
        "tag": "330fb343647a724b",
        "constants_bytes": 512,
        "log_filters": [],
        "owner": "calico",
        "owner_reasons": [],
        **other,
    }


def interface(name: str, *programs: dict[str, Any], workload: bool = True) -> dict[str, Any]:
    """An interface with its programs; one on each hook when none is given."""
    return {
        "name": name,
        "ifindex": 3,
        "workload": workload,
        "kind": "veth",
        "running": True,
        "clsact": True,
        "programs": list(programs) or [program("ingress"), program("egress")],
    }


def finding(code: str, severity: str, thing: str, **other: Any) -> dict[str, Any]:
    """A finding."""
    return {
        "code": code,
        "severity": severity,
        "title": f"What {code} is.",
        "object": thing,
        "evidence": ["Something was seen."],
        "harm": "It does harm.",
        "upstream": ["#9651", "tigera/operator#77"],
        "affected": "3.27 to 3.28.1",
        "remedy": ["conntrack_resize"],
        "advice": "Repair it.",
        **other,
    }


def snapshot(*findings: dict[str, Any], **other: Any) -> dict[str, Any]:
    """A look at a node by node_info."""
    maps = [pinned("cali_v4_ct3", 250, 1000), pinned("cali_jump3", None, 100)]
    return {
        "kernel": {"release": "6.1.0-18-amd64", "possible_cpus": 4, "lockdown": None},
        "bpffs_mounts": ["/sys/fs/bpf"],
        "cgroup_roots": ["/run/calico/cgroup"],
        "release": "3.29",
        "release_evidence": ["Attached programs use cali_state4, as in 3.28 to 3.29"],
        "release_contradictions": [],
        "maps": maps,
        "pins": [
            {"path": one["path"], "kind": "map", "object_id": 7, "severed": False} for one in maps
        ],
        "old_pins": [],
        "superseded_maps": [],
        "old_jumps": [],
        "interfaces": [interface("cali1"), interface("cali2")],
        "interfaces_known": True,
        "connect_time": [
            {
                "cgroup": "/run/calico/cgroup",
                "hook": "connect4",
                "legacy": False,
                "program_id": 12,
                "name": "calico_connect_",
                "tag": "d6d22f973f4c869a",
                "owner": "calico",
                "owner_reasons": [],
            }
        ],
        "special_devices": ["bpfin.cali"],
        "conntrack_size_file": None,
        "findings": list(findings),
        **other,
    }


def left(*findings: dict[str, Any], **other: Any) -> dict[str, Any]:
    """The fact of a node that was looked at."""
    return {"snapshot": snapshot(*findings), "result": "ok", **other}


def step(name: str, began: int, ended: int, result: str = "ok") -> dict[str, Any]:
    """A step; seconds of one minute."""
    stamps = [f"2026-01-31T12:00:{second:02d}Z" for second in (began, ended)]
    return {"name": name, "began": stamps[0], "ended": stamps[1], "result": result, "says": "Done."}


def gate(code: str, passed: bool) -> dict[str, Any]:
    """A gate of the preflight."""
    return {
        "code": code,
        "passed": passed,
        "severity": "critical",
        "says": "This release cannot load it.",
        "evidence": ["The node runs 3.27."],
        "upstream": ["#9651"],
        "remedy": ["Upgrade first."],
        "override": "preflight_allow_size",
    }


def report(facts: dict[str, Any]) -> dict[str, Any]:
    """The report on these nodes."""
    return build(facts, ABOUT)


def html(facts: dict[str, Any]) -> str:
    """The page on these nodes."""
    return render(report(facts), TEMPLATES)


def everything() -> dict[str, Any]:
    """A run with all that a page can show: defects, a refusal, a change, a node not reached."""
    bad = finding("CT_SIZE", "critical", GLOBALS + "cali_v4_ct3")
    stale = [finding("LOG_FILTER_STALE", "warning", f"cali{number}") for number in range(50)]
    after = snapshot(
        *stale,
        maps=[pinned("cali_v4_ct3", 950, 1000, id=9), pinned("cali_v4_ct3_old", 250, 500)],
        old_pins=[GLOBALS + "cali_v4_ct3_old"],
        pins=[{"path": GLOBALS + "lost", "kind": "link", "object_id": 1, "severed": True}],
    )
    return {
        "node1": left(bad, result="refused", gates=[gate("CT_SIZE", False), gate("KERNEL", True)]),
        "node2": {
            "before": snapshot(bad),
            "snapshot": after,
            "result": "changed",
            "steps": [step("sized", 0, 10, "changed"), step("restart", 10, 40, "changed")],
            "conntrack": conntrack(),
            "details": {
                "conntrack_resize": {
                    "changed": True,
                    "maps": [{"path": "ct3", "max_entries_before": 500, "max_entries_after": 1000}],
                },
                "felix": {"before": {"size": 500}, "after": {"size": 1000}},
            },
        },
        "node3": None,
        "node10": left(steps=[step("look", 5, 6)]),
    }


def conntrack() -> dict[str, Any]:
    """Totals by conntrack_info."""
    return {
        "release": "3.29",
        "tables": [
            {
                "path": GLOBALS + "cali_v4_ct3",
                "family": "ipv4",
                "max_entries": 1000,
                "entries": 950,
                "by_protocol": {"udp": 50, "tcp": 900},
                "by_type": {"NORMAL": 950},
                "by_tcp_state": {"ESTABLISHED": 900},
                "idle": [
                    {"below_seconds": 1, "entries": 900},
                    {"below_seconds": 60, "entries": 50},
                    {"below_seconds": None, "entries": 0},
                ],
                "remaining_life": None,
                "top_sources": [{"address": "192.0.2.1", "flows": 900}],
                "top_sources_exact": False,
                "matched": 950,
                "selected": [],
            }
        ],
    }

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the molecule scenario audit knows of its nodes, and the reports that were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from testinfra.host import Host

PROJECT = Path(__file__).resolve().parents[2]
STATES = PROJECT / ".build" / "molecule" / "audit-states"
REPORTS = PROJECT / ".build" / "molecule" / "audit-reports"
_NODES = PROJECT / "molecule" / "audit" / "vars" / "nodes.yml"


def name(host: Host) -> str:
    """The node's name in the inventory."""
    return str(host.backend.get_hostname())


def planted(host: Host) -> dict[str, Any]:
    """What has happened to the node."""
    nodes: dict[str, Any] = yaml.safe_load(_NODES.read_text("utf-8"))["nodes"]
    return nodes[name(host)]  # type: ignore[no-any-return]


def shown(host: Host) -> list[str]:
    """What has the node's defect, by the node's own tools; empty for a healthy one."""
    command = planted(host).get("shows")
    return str(host.check_output(command)).split("\n") if command else []


def reports(suffix: str) -> list[Path]:
    """The reports, the newest last."""
    return sorted(REPORTS.glob(f"audit-*.{suffix}"))


def reported(host: Host) -> dict[str, Any]:
    """What the newest report says of the node."""
    report = json.loads(reports("json")[-1].read_text("utf-8"))
    (node,) = (one for one in report["nodes"] if one["name"] == name(host))
    return dict(node)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the molecule scenario switch_dataplane knows of its nodes, and what the role has said."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from testinfra.host import Host

from tests.observe.bpftool import entries

PROJECT = Path(__file__).resolve().parents[2]
SAID = PROJECT / ".build" / "molecule" / "switch-said"
SEEN = "/sys/fs/bpf/tc/globals/neighbour_seen"
KINDS = ("filters", "tcx", "xdp", "cgroup", "pins", "devices")
"""Kinds of objects of which no two owners share one, as qdiscs and directories are shared."""

CALICOS = re.compile(r"(cali_|calico_|bpf(in|out)\.cali)\S*|/run/calico/bpf\S*|old_jumps|ctlb\b")
LOOKALIKES = re.compile(
    r"/sys/fs/bpf/(calico/\S*|neighbours/cali_v4_ct3|tc/globals/cali_(mine|v6_ct3))"
)
"""Pins whose names are like Calico's and which are not of eBPF mode."""

Objects = dict[str, list[str]]


@cache
def now(host: Host) -> Objects:
    """What is there; asked once by each verification, which changes nothing."""
    found: Objects = json.loads(host.check_output("python3 /usr/local/lib/objects.py"))
    return found


@cache
def kept(host: Host, stage: str) -> Objects:
    """What was there at a stage."""
    found: Objects = json.loads(host.check_output("cat /var/tmp/%s.json", stage))
    return found


def foreign(host: Host) -> dict[str, Counter[str]]:
    """What was there without eBPF mode, and what the neighbours have added to it."""
    bare, mode, both = (kept(host, stage) for stage in ("bare", "mode", "neighbours"))
    return {
        kind: Counter(bare[kind]) + (Counter(both[kind]) - Counter(mode[kind])) for kind in KINDS
    }


def calicos(found: Objects) -> list[str]:
    """Lines that name something of eBPF mode."""
    lines = (LOOKALIKES.sub("", line) for kind in found for line in found[kind])
    return [line for line in lines if CALICOS.search(line)]


def counters(host: Host) -> dict[int, int]:
    """What each neighbour has counted."""
    return {
        key: int.from_bytes(bytes(value), "little") for key, value in entries(host, SEEN).items()
    }


def reported(host: Host, run: int) -> dict[str, Any]:
    """What a run has left for the report of the node; the first is 0."""
    path = sorted(SAID.glob(f"{name(host)}-*.json"))[run]
    return dict(json.loads(path.read_text("utf-8")))


def removed(host: Host, run: int) -> str:
    """The sentences of the step that removes."""
    (step,) = (one for one in reported(host, run)["steps"] if one["name"] == "remove what is left")
    return str(step["says"])


def name(host: Host) -> str:
    """The node's name in the inventory."""
    return str(host.backend.get_hostname())

# SPDX-License-Identifier: GPL-3.0-or-later
"""A healthy node and its parts as plain values, to make findings from."""

from __future__ import annotations

from typing import Any

from ansible_collections.bpfops.calico.plugins.module_utils._calico.detect import Detection
from ansible_collections.bpfops.calico.plugins.module_utils._calico.evidence import (
    Ownership,
    Program,
    Verdict,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.maps import maps_of
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_range
from ansible_collections.bpfops.calico.plugins.module_utils._plan import findings_input as seen
from ansible_collections.bpfops.calico.plugins.module_utils._plan.findings import findings

PINS = "/sys/fs/bpf/tc/globals"
CALICO = Ownership(Verdict.CALICO, ())
FOREIGN = Ownership(Verdict.FOREIGN, ())
UNPROVEN = Ownership(Verdict.UNPROVEN, ())


def release(text: str, *contradictions: str) -> Detection:
    found = parse_range(text)
    return Detection(found, found, (), contradictions)


def a_map(name: str, line: str, entries: int = 0, **changes: Any) -> seen.PinnedMap:
    """A pinned map as that release makes it, called ``name`` with or without _old."""
    (row, *_) = (row for row in maps_of(parse_range(line)) if row.name == name.replace("_old", ""))
    return seen.PinnedMap(f"{PINS}/{name}", 1, row.spec._replace(**changes), 4096, CALICO, entries)


def attached(
    hook: str,
    pref: int = 49152,
    handle: int = 1,
    owner: Ownership = CALICO,
    constants: seen.Constants | None = None,
) -> seen.Attachment:
    program = seen.Loaded(7, "tag", Program("cali_tc_preambl", 3, ()), (), constants)
    return seen.Attachment("tc", hook, 7, "n", owner, program, pref, handle)


def workload(name: str, *programs: seen.Attachment, **changes: Any) -> seen.Interface:
    one = seen.Interface(name, 5, True, "veth", True, True, programs)
    return one._replace(**changes)


def connect(
    owner: Ownership = CALICO, section: str = "connect4", legacy: bool = True
) -> seen.ConnectTime:
    program = seen.Loaded(9, "tag", Program("calico_connect_", 18, ()))
    return seen.ConnectTime("/cg", section, legacy, owner, program)


WHOLE = workload("cali1", attached("ingress"), attached("egress"))
HEALTHY = seen.Node(
    kernel="6.1.0",
    cpus=4,
    lockdown=None,
    bpffs=("/sys/fs/bpf",),
    cgroups=("/cg",),
    pin_dir=PINS,
    release=release(">=3.28,<3.30"),
    maps=(a_map("cali_v4_ct3", "3.29"), a_map("cali_iface4", "3.29")),
    interfaces=(WHOLE, WHOLE._replace(name="cali2")),
)


def codes(**changes: Any) -> list[str]:
    return [one.code for one in findings(HEALTHY._replace(**changes))]

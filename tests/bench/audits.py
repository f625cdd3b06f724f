# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit by node_info of a node with many pods and connections, and of one with nothing."""

from __future__ import annotations

import json
import sys
from typing import TypeAlias

from tests.bench.maps import BPFFS
from tests.bench.scale import Scale
from tests.bench.tools import BenchError, Sample, run, say

EMPTY, FULL = "empty", "full"

Audits: TypeAlias = "dict[str, list[Sample]]"
"""Runs by what is on the node."""

_OWN_NODE = f'ip link set lo up; mount -t bpf bpf {BPFFS}; exec "$@"'


def measure_audits(scale: Scale, audits: Audits) -> None:
    """Add the audits of a node in namespaces of its own."""
    wanted = (scale.audit_pods, scale.audit_entries, scale.audit_services, scale.audit_rounds)
    say("audits of a node with {} pods and {:,} entries".format(*wanted))
    node = [sys.executable, "-m", "tests.bench.audit_node", *map(str, wanted)]
    output = run("unshare", "--net", "--mount", "sh", "-ec", _OWN_NODE, "sh", *node)
    for name, samples in json.loads(output.splitlines()[-1]).items():
        audits.setdefault(name, []).extend(Sample(**one) for one in samples)
    found = {one.entries for one in audits[FULL]}
    if min(found) < scale.audit_entries:
        raise BenchError(f"The audits counted {min(found)} entries, not {scale.audit_entries}.")

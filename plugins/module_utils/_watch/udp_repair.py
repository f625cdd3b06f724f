# SPDX-License-Identifier: GPL-3.0-or-later
"""One look for stuck UDP flows, as a timer on the node takes it: without Ansible.

Needs what the module conntrack_entry needs. The only argument is a JSON file of options:
``services`` (list), ``bpffs``, ``pin_dir``, ``calico_version`` (or null), ``max_deletions``.
Status 0: done, or nothing to do; 75 (EX_TEMPFAIL of sysexits.h): another run has the node's lock,
the next look will do; 1: refused or failed, in one sentence on standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Mapping

from .._calico.defects import defect
from .._errors import BpfopsError, BusyError
from .._execute.conntrack_entry import execute
from .._kernel.lock import node_lock
from .._kernel.proc import require_bpf_rights
from .._observe.conntrack_entry import observe
from .._plan.conntrack_entry import Seen, Task, plan, task
from .._plan.conntrack_select import SELECTORS

DEFECT = "UDP_STALE"
"""The defect that is repaired; releases without it are left alone (#9967)."""


def main() -> int:
    """Entry point; the exit status."""
    try:
        require_bpf_rights()
        said = repair(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    except BusyError as error:
        print(error, file=sys.stderr)
        return os.EX_TEMPFAIL
    except (BpfopsError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for line in said:
        print(line)
    return 0


def repair(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Remove the entries that lead UDP flows past their Service; what was done, in sentences."""
    wanted = meant(options)
    with node_lock(0):
        seen = observe(wanted)
        if not defect(DEFECT).affected.overlaps(seen.release):
            return (f"Calico {seen.release} frees such flows itself; nothing is done here.",)
        return carried_out(wanted, seen)


def meant(options: Mapping[str, Any]) -> Task:
    """The options as the task of conntrack_entry."""
    unset = {name: spec.get("default") for name, spec in SELECTORS.items()}
    return task({**unset, "stale_nat": False, "timeouts": None, **options, "stale_udp": True})


def carried_out(wanted: Task, seen: Seen) -> tuple[str, ...]:
    """Plan and execute; a sentence for each map that lost entries."""
    planned = plan(wanted, seen)
    removed = execute(planned, wanted, seen).removed if planned.removals else ()
    return tuple(
        f"{one.path}: stuck UDP flows freed: {len(one.groups)}" for one in removed if one.groups
    )

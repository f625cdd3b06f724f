#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module conntrack_snapshot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: conntrack_snapshot
short_description: Save Calico's conntrack tables to a file and restore what is missing
version_added: 0.1.0
description:
  - Saves the pinned conntrack maps of a node to one file on that node, says what is in such a file,
    and puts entries back that are no longer in the maps.
  - Made for the minutes around a change, as a way back for connections. Times in the entries are
    those of the running boot, and flows go on while the tables are read, so a snapshot is worth
    what it is young.
  - Knows the tables of Calico 3.24 to 3.32, as M(bpfops.calico.conntrack_info) does. The process
    holds some hundred entries at a time, however large the tables are.
options:
  path:
    description:
      - Absolute path of the file on the node. Its directory has to exist.
      - A symbolic link is refused, never followed.
    type: path
    required: true
  state:
    description:
      - V(saved) - a snapshot of this boot with all conntrack maps of O(families) is at O(path). One
        that is there is kept, so that running a play again does not lose the state before the
        change; a warning tells its age. To save before every change, put the time into the name.
      - V(inspected) - the file is checked, and its header and totals are returned. This needs no
        more rights than to read the file.
      - V(restored) - every entry of the file that has not expired meanwhile is in the map that the
        release uses. Entries that the map has are never overwritten, even by newer ones.
    type: str
    choices: [saved, inspected, restored]
    required: true
  families:
    description: Address families to save, to show totals of, or to restore.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  calico_version:
    description:
      - Release that runs on the node, such as V(v3.29.7) or V(3.29). It decides which map is
        restored into and what has expired.
      - By default it is told from the pinned maps, and for O(state=inspected) from the file.
    type: str
  overwrite:
    description:
      - For O(state=saved), replace a snapshot that is there, also one of another boot or a damaged
        one. This changes the file at every run.
      - A file that does not begin as a snapshot is never replaced.
    type: bool
    default: false
  rebase_other_boot:
    description:
      - For O(state=restored), take a file of another boot of this node. An entry's age is what it
        was when it was saved, and the time since on top; the clock of day tells how long that was.
        What has not expired by then counts as last seen when this boot began, for its clock can
        tell no earlier time.
      - The entries name interfaces by the numbers of that boot, and pods and Services may have
        other addresses by now. A restored entry lets packets of its flow pass without asking
        policy, and sends those of a Service to the backend of then.
    type: bool
    default: false
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
  - bpfops.calico.options.pins
  - bpfops.calico.options.timeouts
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.conntrack_info
"""

EXAMPLES = r"""
- name: Save the conntrack tables before they are resized
  bpfops.calico.conntrack_snapshot:
    state: saved
    path: /var/lib/calico/conntrack-20260830T2200.snapshot

- name: See what is in it
  bpfops.calico.conntrack_snapshot:
    state: inspected
    path: /var/lib/calico/conntrack-20260830T2200.snapshot
  register: saved

- name: Put back what got lost
  bpfops.calico.conntrack_snapshot:
    state: restored
    path: /var/lib/calico/conntrack-20260830T2200.snapshot
"""

RETURN = r"""
snapshot:
  description:
    - The file after the task; in check mode as it is now.
    - Null when there is none, or when it is to be replaced because it is damaged.
  returned: success
  type: dict
  contains:
    path:
      description: Path of the file.
      type: str
    bytes:
      description: Its size.
      type: int
    checksum:
      description: SHA-256 of all but its last 32 bytes, which hold it.
      type: str
    saved_at:
      description: When saving began, in UTC.
      type: str
    age_seconds:
      description: Seconds since then. Null for a file of another boot.
      type: int
    boot_id:
      description: Id of the boot, 32 hexadecimal digits.
      type: str
    same_boot:
      description: Whether that is the running one.
      type: bool
    node:
      description: Host name of the node.
      type: str
    release:
      description: Range of Calico releases that came into question when it was saved.
      type: str
    entries:
      description: Entries of all tables.
      type: int
    tables:
      description: The saved maps, each with C(entries), C(name) of its pin and its parameters.
      type: list
      elements: dict
totals:
  description: One for each table of O(families), at the time of saving.
  returned: when O(state=inspected)
  type: list
  elements: dict
  contains:
    name:
      description: Name of the pin that was saved.
      type: str
    by_protocol:
      description: Entries by protocol.
      type: dict
    by_type:
      description: Entries by type, C(NORMAL), C(NAT_FWD) and C(NAT_REV).
      type: dict
    by_tcp_state:
      description: TCP entries by state. C(NAT_FWD) entries have none.
      type: dict
    idle:
      description: Entries by seconds since they were last seen, in rising C(below_seconds).
      type: list
      elements: dict
restored:
  description: What was found before anything was restored, one for each map.
  returned: when O(state=restored)
  type: list
  elements: dict
  contains:
    path:
      description: Pin of the map that is restored into.
      type: str
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    in_file:
      description: Entries in the file.
      type: int
    expired:
      description: Entries that have expired meanwhile, and stay out.
      type: int
    without_partner:
      description:
        - C(NAT_FWD) entries whose C(NAT_REV) entry is neither in the map nor restored. They stay
          out.
      type: int
    present:
      description: Entries that the map has, with whatever value.
      type: int
    missing:
      description: Entries that are restored.
      type: int
inserted:
  description: Entries that were restored. Flows may have made some of those that were missing.
  returned: when entries were restored
  type: int
actions:
  description: What was done, or would be in check mode, one sentence a step in their order.
  returned: success
  type: list
  elements: str
  sample: ["Restore 120 missing entries to /sys/fs/bpf/tc/globals/cali_v4_ct4"]
findings:
  description: Always empty for this module.
  returned: success
  type: list
  elements: dict
warnings:
  description: What the operator should know although the task succeeded.
  returned: success
  type: list
  elements: str
"""

from contextlib import ExitStack
from typing import Any, Mapping

from ..module_utils._calico.conntrack_liveness import Timeouts
from ..module_utils._execute.snapshot import restore, save
from ..module_utils._observe.snapshot_file import facts_at
from ..module_utils._observe.snapshot_inspect import inspect_snapshot
from ..module_utils._observe.snapshot_restore import (
    RestorePlan,
    RestoreSeen,
    observe_restore,
    replaced_pins,
)
from ..module_utils._observe.snapshot_save import observe_save, unsaved
from ..module_utils._plan.snapshot_facts import shown
from ..module_utils._plan.snapshot_restore import shown_entries
from ..module_utils._plan.snapshot_save import SavePlan, SaveSeen, plan_save, shown_after
from ..module_utils._plan.snapshot_task import SnapshotTask, snapshot_task
from ..module_utils._runner import Result, Steps, converge, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["saved", "inspected", "restored"], "required": True},
    "families": {
        "type": "list",
        "elements": "str",
        "choices": ["ipv4", "ipv6"],
        "default": ["ipv4", "ipv6"],
    },
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "calico_version": {"type": "str"},
    "timeouts": {"type": "dict", "options": {name: {"type": "int"} for name in Timeouts._fields}},
    "overwrite": {"type": "bool", "default": False},
    "rebase_other_boot": {"type": "bool", "default": False},
    "lock_timeout": {"type": "float", "default": 60.0},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Save, inspect or restore."""
    task = snapshot_task(params)
    if task.state == "inspected":
        return Result(facts=inspect_snapshot(task))
    with ExitStack() as held:
        saves = task.state == "saved"
        steps = _saving(task) if saves else _restoring(task, held, check_mode)
        return converge(steps, check_mode, params["lock_timeout"])


def _saving(task: SnapshotTask) -> Steps:
    return Steps(
        observe=lambda: observe_save(task),
        plan=lambda seen: plan_save(task, seen),
        execute=lambda plan: save(task, plan),
        unfinished=lambda plan: unsaved(task, plan),
        show=lambda seen, plan: _saved(task, seen, plan),
    )


def _saved(task: SnapshotTask, seen: SaveSeen, plan: SavePlan) -> Result:
    return Result(
        actions=plan.actions,
        before=shown(seen.file.sound),
        after=shown_after(task, seen, plan),
        facts={"snapshot": facts_at(task.path)},
        warnings=plan.warnings,
    )


def _restoring(task: SnapshotTask, held: ExitStack, check_mode: bool) -> Steps:
    return Steps(
        observe=lambda: observe_restore(task, held, read_only=check_mode),
        plan=lambda seen: seen.plan(),
        execute=restore,
        unfinished=replaced_pins,
        show=_restored,
    )


def _restored(seen: RestoreSeen, plan: RestorePlan) -> Result:
    return Result(
        actions=plan.actions,
        before=shown_entries(seen.counts, restored=False),
        after=shown_entries(seen.counts, restored=True),
        facts=seen.facts(),
        warnings=seen.warnings,
    )


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC, needs_bpf=lambda params: params["state"] != "inspected")


if __name__ == "__main__":
    main()

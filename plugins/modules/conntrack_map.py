#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module conntrack_map."""

from __future__ import annotations

DOCUMENTATION = r"""
module: conntrack_map
short_description: Size, carry over and repair Calico's conntrack maps without losing connections
version_added: 0.1.0
description:
  - Makes sure that the conntrack map of each family has the size, type and layout that felix of
    the running or of a coming release wants, and that it is the only one.
  - With O(state=sized) a map of other parameters is replaced by a new one with all its entries,
    by C(rename(2)) of the pin, so that a complete map is at the pin at every instant. The old map
    stays pinned as C(<bpffs>/bpfops/old_<name>), where felix does not look, for programs that are
    loaded keep using it until felix loads them again.
  - With O(state=settled) what programs write to old maps is carried over, pass after pass, until
    no loaded program refers to them any more, and then their pins are removed. The entry that was
    seen last wins. Entries that were deleted in the live map meanwhile do not come back, and
    expired ones are left out.
  - Start the task with O(state=settled) before felix restarts (C(async)), so that it follows the
    programs while felix moves them interface by interface. C(<bpffs>/bpfops/following) is pinned
    from when it does until it ends; whoever removes that pin ends it. Run only afterwards, flows
    that began in the gap are missing for as long.
  - Old maps are those that an earlier run has kept, those that felix has left with the suffix
    C(_old), those of other releases, and those that programs use although no pin names them.
  - Interrupted at any point, the node has the old map or the new one, and the next run finishes.
options:
  state:
    description:
      - V(sized) swaps in a map of the wanted parameters, and keeps the old one.
      - V(settled) carries the last changes over and drops every other map.
    type: str
    choices: [sized, settled]
    default: sized
  families:
    description: Families to work on. By default those that have a conntrack map.
    type: list
    elements: str
    choices: [ipv4, ipv6]
  max_entries:
    description:
      - Wanted size, C(bpfMapSizeConntrack) of felix. By default the size that the map has.
      - The size must be the one that felix computes, or felix resizes the map again. From 3.30 on
        a larger number in O(autoscale_path) wins, see O(autoscale_file).
      - Only for O(state=sized).
    type: int
  per_cpu:
    description:
      - Wanted size for each possible CPU, C(bpfMapSizePerCpuConntrack) of felix from 3.30 on.
      - In place of O(max_entries).
    type: int
  calico_version:
    description:
      - The release that the map is for, such as V(v3.31.2) or V(3.31). By default the one that the
        node's kernel shows.
      - A coming release whose map has another name gets a map made from the present one, before or
        after it has started; C(ct2), C(ct3) and C(ct4) are known.
      - Needed where the kernel shows releases that differ, as 3.28.1 and 3.28.2 do.
    type: str
  downgrade:
    description:
      - Whether O(calico_version) may be older than the release whose map is there. felix of an
        older release does not start beside the map of a newer one.
      - The map of the newer release is moved away from where felix looks, and stays for the
        programs that use it until O(state=settled) has carried it over. Where the older release
        has no map any more, one is made from it.
      - Only for O(state=sized).
    type: bool
    default: false
  running_version:
    description:
      - The release whose programs write the map now, where it is not that of O(calico_version) and
        the kernel does not show it well enough.
      - It decides whether the first field of entries has to be cleared, which means something else
        from 3.30 on.
    type: str
  autoscale_file:
    description:
      - What to do with an auto-scale file that asks for more than the task.
      - V(keep) leaves it and makes maps of its size, as felix will.
      - V(lower) writes the wanted size to it, V(remove) removes it.
    type: str
    choices: [keep, lower, remove]
    default: keep
  autoscale_path:
    description: Path of felix's auto-scale file on the node.
    type: path
    default: /var/lib/calico/bpf_ct_map_size
  records_dir:
    description:
      - Where felix 3.26 keeps a record of each program that it has attached. It leaves programs
        with a record attached, whatever map they use, so records are removed with the map.
    type: path
    default: /var/run/calico/bpf/prog
  timeout:
    description:
      - Seconds that O(state=settled) waits for programs to let go of old maps. When it is over the
        task fails and names them; the next run goes on.
    type: float
    default: 60
  batch_size:
    description: Entries that one system call moves, 1 to 16384.
    type: int
    default: 256
  kernel_step:
    description:
      - Entries that a pass in the kernel visits before it returns, 64 to 524288. Meanwhile it holds
        its CPU, so that other work there waits, about 1 ms with 1024 entries.
      - With V(524288) a pass goes over a whole map of that size at once, 0.36 s for 500,000 entries
        where this was measured. On a busy CPU the pass is over in half of the time, as nothing else
        gets that CPU meanwhile but the packets.
      - Without map iterators in the kernel passes are made of calls of O(batch_size) entries.
    type: int
    default: 1024
  threads:
    description: Threads of the first copy, 1 to 64. Two take about half of the time.
    type: int
    default: 1
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
  - bpfops.calico.options.pins
  - bpfops.calico.options.timeouts
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.bpf_map
  - module: bpfops.calico.conntrack_info
"""

EXAMPLES = r"""
- name: Both conntrack maps take a million entries
  bpfops.calico.conntrack_map:
    max_entries: 1000000

- name: Felix follows, from here on it computes this size itself
  ansible.builtin.debug:
    msg: Set bpfMapSizeConntrack to 1000000 and let felix restart

- name: Programs have moved, and nothing else is left of the old maps
  bpfops.calico.conntrack_map:
    state: settled
    timeout: 120

- name: The table for Calico 3.31 is there before its pods start
  bpfops.calico.conntrack_map:
    calico_version: v3.31.2

- name: Make the map smaller although felix has doubled it
  bpfops.calico.conntrack_map:
    max_entries: 512000
    autoscale_file: remove
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, one sentence a step in their order.
  returned: success
  type: list
  elements: str
findings:
  description: What was wrong with the maps before the task, by code.
  returned: success
  type: list
  elements: dict
warnings:
  description: What the operator should know although the task succeeded.
  returned: success
  type: list
  elements: str
release:
  description: The release that the maps are for.
  returned: success
  type: str
maps:
  description: The conntrack maps after the task, those that are kept too; in check mode as now.
  returned: success
  type: list
  elements: dict
  contains:
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    path:
      description: Path of the pin.
      type: str
    id:
      description: Id of the map in the kernel.
      type: int
    kept:
      description: Whether it is an old map that waits to be settled.
      type: bool
    type:
      description: Type of the map.
      type: str
    key_size:
      description: Bytes of a key.
      type: int
    value_size:
      description: Bytes of a value.
      type: int
    max_entries:
      description: Entries that fit in.
      type: int
    flags:
      description: Names of the map's flags.
      type: list
      elements: str
    users:
      description: Loaded programs that refer to the map.
      type: list
      elements: str
carried:
  description: What was carried over, one element for each map that entries came from.
  returned: when something was changed
  type: list
  elements: dict
  contains:
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    path:
      description: The pin of the map that entries were carried over to.
      type: str
    from_id:
      description: Id of the map that they came from.
      type: int
    entries:
      description: Entries that were copied.
      type: int
    inserted:
      description: Entries that passes after the copy, or those of settling, have inserted.
      type: int
    updated:
      description: Entries that were replaced by newer ones.
      type: int
    expired:
      description: Entries that were left out as they have expired by the release's timers.
      type: int
    deleted:
      description: Entries that were left out as they had been deleted from the live map.
      type: int
    pruned:
      description:
        - Entries that were deleted from the new map, as the old one has lost them since they were
          copied.
      type: int
    passes:
      description: Passes over the old map.
      type: int
    duration_ms:
      description: Milliseconds from beginning to end.
      type: int
"""

from typing import Any, Mapping

from ..module_utils._calico.conntrack_liveness import Timeouts
from ..module_utils._execute.conntrack_map import Work, execute
from ..module_utils._execute.conntrack_settle import Following
from ..module_utils._execute.migrate import Options
from ..module_utils._observe.conntrack_map import expiry_for, map_facts, observe
from ..module_utils._plan.conntrack_map import findings, plan
from ..module_utils._plan.conntrack_map_predict import predicted, shown
from ..module_utils._plan.conntrack_map_state import Plan, Seen
from ..module_utils._plan.conntrack_map_target import release_of
from ..module_utils._plan.conntrack_map_task import Task, copy_options, task
from ..module_utils._plan.findings import finding_facts
from ..module_utils._runner import Result, Steps, converge, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["sized", "settled"], "default": "sized"},
    "families": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"]},
    "max_entries": {"type": "int"},
    "per_cpu": {"type": "int"},
    "calico_version": {"type": "str"},
    "downgrade": {"type": "bool", "default": False},
    "running_version": {"type": "str"},
    "autoscale_file": {
        "type": "str",
        "choices": ["keep", "lower", "remove"],
        "default": "keep",
    },
    "autoscale_path": {"type": "path", "default": "/var/lib/calico/bpf_ct_map_size"},
    "records_dir": {"type": "path", "default": "/var/run/calico/bpf/prog"},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "timeout": {"type": "float", "default": 60.0},
    "timeouts": {"type": "dict", "options": {name: {"type": "int"} for name in Timeouts._fields}},
    "batch_size": {"type": "int", "default": 256},
    "kernel_step": {"type": "int", "default": 1024},
    "threads": {"type": "int", "default": 1},
    "lock_timeout": {"type": "float", "default": 60.0},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Bring the conntrack maps to what the task declares."""
    wanted = task(params)
    options = Options(**copy_options(params))
    first: list[Seen] = []

    def look() -> Seen:
        first.append(observe(wanted))
        return first[-1]

    steps = Steps(
        observe=look,
        plan=lambda seen: plan(wanted, seen),
        execute=lambda planned: execute(planned, Work(options, following(wanted, first[0]))),
        unfinished=lambda planned: [
            action.sentence for action in plan(wanted, observe(wanted)).actions
        ],
        show=lambda seen, planned: result(wanted, seen, planned),
    )
    return converge(steps, check_mode, params["lock_timeout"])


def following(wanted: Task, seen: Seen) -> Following:
    """How old maps are followed."""
    expiry = expiry_for(wanted, seen)
    calls = (wanted.batch_size, wanted.kernel_step)
    return Following(expiry, *calls, wanted.timeout, wanted.own_dir, wanted.pin_dir)


def result(wanted: Task, seen: Seen, planned: Plan) -> Result:
    """The module's answer."""
    return Result(
        actions=tuple(action.sentence for action in planned.actions),
        before=shown(seen),
        after=shown(predicted(seen, planned)),
        facts={"release": str(release_of(wanted, seen)), "maps": map_facts(wanted)},
        warnings=planned.warnings,
        findings=finding_facts(findings(seen)),
    )


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

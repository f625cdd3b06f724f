#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module bpf_map."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bpf_map
short_description: Manage a pinned BPF map and carry its entries over when its size changes
version_added: 0.1.0
description:
  - Makes sure that a BPF map with the given parameters is pinned at a path, or that none is.
  - When the pinned map has other parameters, a new map takes its place and, by default, its
    entries. The new map is filled while nothing else can reach it, and swapped in by C(rename(2)),
    so the path names a complete map at every instant and an interrupted run changes nothing.
  - Programs that are loaded keep writing the old map until they are loaded again. Keep it with
    O(keep_old_pin), load the programs again, and run the module once more with O(merge_from) to
    pick up what they wrote meanwhile.
  - The parameters that are left out stay as they are in the pinned map.
options:
  path:
    description:
      - Absolute path of the pin, on a bpffs.
      - Names with a dot are refused by the kernel. Missing directories are created with mode 0700.
    type: path
    required: true
  state:
    description:
      - V(present) makes sure that the map is there with these parameters.
      - V(absent) removes the pin. The map itself lives on while programs use it.
    type: str
    choices: [present, absent]
    default: present
  type:
    description:
      - Type of the map, by the name that C(bpftool) gives it.
      - Needed to create a map.
    type: str
    choices:
      - hash
      - array
      - prog_array
      - perf_event_array
      - percpu_hash
      - percpu_array
      - stack_trace
      - cgroup_array
      - lru_hash
      - lru_percpu_hash
      - lpm_trie
      - array_of_maps
      - hash_of_maps
      - devmap
      - sockmap
      - cpumap
      - xskmap
      - sockhash
      - cgroup_storage
      - reuseport_sockarray
      - percpu_cgroup_storage
      - queue
      - stack
      - sk_storage
      - devmap_hash
      - struct_ops
      - ringbuf
      - inode_storage
      - task_storage
      - bloom_filter
      - user_ringbuf
      - cgrp_storage
      - arena
  key_size:
    description: Bytes of a key, 1 to 512 (0 for types without keys). Needed to create a map.
    type: int
  value_size:
    description:
      - Bytes of a value, 1 to 4194304 (0 for ring buffers). Needed to create a map.
      - For per-CPU types this is the size of the value of one CPU.
    type: int
  max_entries:
    description:
      - Number of entries that fit in, 1 to 4294967295. Needed to create a map.
      - A size that is too small for the entries in the map is refused before anything changes. An
        LRU map needs 1 % more than that, as it evicts before it is full.
    type: int
  flags:
    description:
      - Flags of the map, by their names in C(linux/bpf.h).
      - An empty list means no flags; left out means those of the pinned map, or none for a new one.
      - A map that is bound to a NUMA node moves to node 0 when it is replaced, as the kernel does
        not tell its node.
    type: list
    elements: str
    choices:
      - BPF_F_NO_PREALLOC
      - BPF_F_NO_COMMON_LRU
      - BPF_F_ZERO_SEED
      - BPF_F_RDONLY_PROG
      - BPF_F_WRONLY_PROG
      - BPF_F_MMAPABLE
      - BPF_F_INNER_MAP
  name:
    description:
      - Name of a new map inside the kernel, 1 to 15 letters, digits, dots or underscores.
      - By default the first 15 characters of the pin's name, or the name of the map it replaces.
      - It is not compared with that of a map that is there already.
    type: str
  on_mismatch:
    description:
      - What to do when the pinned map has another type, size or other flags.
      - V(migrate) carries the entries over. The type and the sizes of key and value cannot change.
        Maps whose content user space cannot copy are refused, such as prog_array, maps in maps,
        ring buffers and perf event arrays.
      - V(recreate) puts an empty map in its place.
      - V(fail) changes nothing and fails.
    type: str
    choices: [migrate, recreate, fail]
    default: migrate
  keep_old_pin:
    description:
      - Second path on a bpffs under which the replaced map stays pinned.
      - When another map is pinned there already, the task is refused.
    type: path
  merge_from:
    description:
      - Path of another pinned map of the same layout, whose entries are added to this one where
        their keys are missing. The other map is not changed.
      - Nothing happens when nothing is pinned there.
      - Not possible with O(on_mismatch=recreate).
    type: path
  timestamp_offset:
    description:
      - Offset in bytes of an unsigned 64-bit time in the value, in the byte order of the machine
        and in nanoseconds of CLOCK_MONOTONIC, as C(bpf_ktime_get_ns()) returns it. Whoever changes
        an entry has to set it.
      - Passes then look only at entries that were changed since the pass before.
      - When both maps of O(merge_from) have an entry, the one with the later time wins. Without
        this option an entry that exists is never replaced.
      - For Calico's conntrack maps this is 8.
    type: int
  batch_size:
    description:
      - Entries that one system call moves, 1 to 16384.
      - One call holds a CPU for about 0.4 ms with 1024 entries.
    type: int
    default: 256
  threads:
    description:
      - Threads of the first copy of a hash map, 1 to 64. Two take about half of the time.
    type: int
    default: 1
  delta_passes:
    description:
      - Upper bound of the passes that bring the new map up to the old one before the swap, 1 to
        100. They end earlier, when a pass changes nothing or no less than the one before.
    type: int
    default: 8
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.bpf_map_info
"""

EXAMPLES = r"""
- name: A map of 1000 counters is there
  bpfops.calico.bpf_map:
    path: /sys/fs/bpf/example/counters
    type: percpu_hash
    key_size: 4
    value_size: 8
    max_entries: 1000

- name: Give it more room, keep what it has counted
  bpfops.calico.bpf_map:
    path: /sys/fs/bpf/example/counters
    max_entries: 4000

- name: Resize Calico's conntrack map and keep the old one for its programs
  bpfops.calico.bpf_map:
    path: /sys/fs/bpf/tc/globals/cali_v4_ct3
    max_entries: 1000000
    keep_old_pin: /sys/fs/bpf/bpfops/old_cali_v4_ct3
    timestamp_offset: 8

- name: Pick up what the programs wrote until they were loaded again
  bpfops.calico.bpf_map:
    path: /sys/fs/bpf/tc/globals/cali_v4_ct3
    merge_from: /sys/fs/bpf/bpfops/old_cali_v4_ct3
    timestamp_offset: 8

- name: Drop the old map
  bpfops.calico.bpf_map:
    path: /sys/fs/bpf/bpfops/old_cali_v4_ct3
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, one sentence a step in their order.
  returned: success
  type: list
  elements: str
  sample: ["Migrate the entries of map id 41 at /sys/fs/bpf/m to a new map (max_entries 10 -> 20)"]
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
map:
  description:
    - The map at O(path) after the task; in check mode as it is now.
    - Null when there is none.
  returned: success
  type: dict
  contains:
    path:
      description: Path of the pin.
      type: str
    id:
      description: Id of the map in the kernel.
      type: int
    name:
      description: Name of the map in the kernel.
      type: str
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
    memory_bytes:
      description: Bytes of kernel memory that the map is charged with, as the kernel estimates.
      type: int
    frozen:
      description: Whether user space can no longer write it.
      type: bool
migration:
  description: What a migration did.
  returned: when entries were migrated
  type: dict
  contains:
    entries:
      description: Entries that the first copy wrote.
      type: int
    passes:
      description:
        - The passes after it in their order, each with the entries that it has C(seen),
          C(inserted), C(updated), C(deleted) and, as their sum, C(changed). The last one or two ran
          after the swap.
      type: list
      elements: dict
    duration_ms:
      description: Milliseconds from the creation of the new map to the end of the last pass.
      type: int
merge:
  description: What a merge did.
  returned: when entries were merged
  type: dict
  contains:
    inserted:
      description: Entries that were missing.
      type: int
    updated:
      description: Entries that were replaced by a newer one.
      type: int
"""

from typing import Any, Mapping

from ..module_utils._execute.bpf_map import execute
from ..module_utils._execute.migrate import Options
from ..module_utils._observe.bpf_map import map_facts, observe, pin_state
from ..module_utils._plan.bpf_map import Observed, Plan, plan, unfinished
from ..module_utils._plan.map_spec import shown
from ..module_utils._plan.map_task import Desired, desired, migration_options
from ..module_utils._runner import Result, Steps, converge, run_module
from ..module_utils._uapi.maps import DECLARABLE_FLAGS, MAP_TYPES

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "type": {"type": "str", "choices": list(MAP_TYPES)},
    "key_size": {"type": "int"},
    "value_size": {"type": "int"},
    "max_entries": {"type": "int"},
    "flags": {"type": "list", "elements": "str", "choices": list(DECLARABLE_FLAGS)},
    "name": {"type": "str"},
    "on_mismatch": {
        "type": "str",
        "choices": ["migrate", "recreate", "fail"],
        "default": "migrate",
    },
    "keep_old_pin": {"type": "path"},
    "merge_from": {"type": "path"},
    "timestamp_offset": {"type": "int"},
    "batch_size": {"type": "int", "default": 256},
    "threads": {"type": "int", "default": 1},
    "delta_passes": {"type": "int", "default": 8, "no_log": False},
    "lock_timeout": {"type": "float", "default": 60.0},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Bring the pin to what the task declares."""
    wanted = desired(params)
    options = Options(**migration_options(params))

    steps = Steps(
        observe=lambda: observe(wanted),
        plan=lambda seen: plan(wanted, seen),
        execute=lambda planned: execute(wanted, planned, options),
        unfinished=lambda planned: unfinished(wanted, planned, pin_state(wanted.path)),
        show=lambda seen, planned: result(wanted, seen, planned),
    )
    return converge(steps, check_mode, params["lock_timeout"])


def result(wanted: Desired, seen: Observed, planned: Plan) -> Result:
    """The module's answer."""
    before = seen.pin.info.spec if seen.pin.info else None
    return Result(
        actions=tuple(action.sentence for action in planned.actions),
        before=shown(wanted.path, before),
        after=shown(wanted.path, planned.wanted),
        facts={"map": map_facts(wanted.path)},
    )


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

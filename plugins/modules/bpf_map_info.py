#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module bpf_map_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bpf_map_info
short_description: List pinned BPF maps with their fill, memory and users
version_added: 0.1.0
description:
  - Tells for each pinned map its parameters, the number of entries in it, the memory it takes and
    the loaded programs that refer to it.
  - Nothing is changed and no lock is taken. A pin that vanishes or cannot be read meanwhile is a
    warning, not a failure.
options:
  paths:
    description: Pins to look at.
    type: list
    elements: path
    default: []
  directories:
    description:
      - Directories on a bpffs to search, with everything below. Pinned programs and links in them
        are passed.
      - When neither O(paths) nor this is given, O(bpffs) is searched.
    type: list
    elements: path
    default: []
  bpffs:
    description: Mount point of the bpffs that is searched by default.
    type: path
    default: /sys/fs/bpf
  count_entries:
    description:
      - Whether to count the entries, which reads each map once, about 0.3 s for a million entries.
    type: bool
    default: true
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.reads
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.bpf_map
"""

EXAMPLES = r"""
- name: Look at everything that is pinned
  bpfops.calico.bpf_map_info:
  register: pinned

- name: How full is Calico's conntrack map, and which programs use it
  bpfops.calico.bpf_map_info:
    paths: [/sys/fs/bpf/tc/globals/cali_v4_ct3]
"""

RETURN = r"""
maps:
  description: The maps, in the order of O(paths) and then of the directories.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the pin. A map with two pins is listed twice, with the same C(id).
      type: str
    id:
      description: Id of the map in the kernel.
      type: int
    name:
      description: Name of the map in the kernel.
      type: str
    type:
      description: Type of the map, as C(bpftool) names it.
      type: str
    key_size:
      description: Bytes of a key.
      type: int
    value_size:
      description: Bytes of a value; for per-CPU types of one CPU's value.
      type: int
    max_entries:
      description: Entries that fit in.
      type: int
    flags:
      description: Names of the map's flags.
      type: list
      elements: str
    entries:
      description:
        - Entries in it while it was read; of an array this is always C(max_entries).
        - Null when not counted, or when the type has no plain keys and values.
      type: int
    memory_bytes:
      description: Bytes of kernel memory that the map is charged with, as the kernel estimates.
      type: int
    frozen:
      description: Whether user space can no longer write it.
      type: bool
    users:
      description: Loaded programs that refer to the map, of every container that shares the kernel.
      type: list
      elements: dict
      contains:
        id:
          description: Id of the program.
          type: int
        type:
          description: Type of the program, such as C(sched_cls).
          type: str
        name:
          description: Name of the program, at most 15 characters.
          type: str
        tag:
          description: Tag of the program, a hash of its instructions.
          type: str
actions:
  description: Always empty for this module.
  returned: success
  type: list
  elements: str
findings:
  description: Always empty for this module.
  returned: success
  type: list
  elements: dict
warnings:
  description: Pins that could not be read.
  returned: success
  type: list
  elements: str
"""

from typing import Any, Mapping

from ..module_utils._observe.map_list import list_maps
from ..module_utils._plan.inputs import directory_path, pin_path
from ..module_utils._runner import Result, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "paths": {"type": "list", "elements": "path", "default": []},
    "directories": {"type": "list", "elements": "path", "default": []},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "count_entries": {"type": "bool", "default": True},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Look, and change nothing."""
    paths, directories = params["paths"], params["directories"]
    if not paths and not directories:
        directories = [params["bpffs"]]
    for path in paths:
        pin_path("paths", path)
    for directory in directories:
        directory_path("directories", directory)
    found = list_maps(paths, directories, params["count_entries"])
    return Result(facts={"maps": found.maps}, warnings=tuple(found.warnings))


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

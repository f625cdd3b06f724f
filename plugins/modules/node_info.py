#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module node_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Show a node's eBPF state of Calico, and what is wrong with it
version_added: 0.1.0
description:
  - Takes one look at the whole node, its kernel, mounts, pins and maps, the programs on its
    interfaces and cgroups, and tells whose each of them is and which Calico release made it.
  - Names the defects that it finds, with their upstream numbers and what repairs them.
  - What felix makes and mends within moments, such as a program that is missing while felix
    attaches it anew, is a finding only when a second look one second later sees it, too.
  - Nothing is changed and no lock is taken. What vanishes or cannot be read meanwhile is a warning,
    not a failure.
  - Without pyroute2 on the node, tc filters and XDP programs are left out with a warning.
options:
  cgroup_root:
    description:
      - Root of the cgroup2 tree to look for connect-time programs on.
      - By default every cgroup2 mount is looked at.
    type: path
  interfaces:
    description: Patterns of the names of workload interfaces.
    type: list
    elements: str
    default: [cali*]
  calico_version:
    description:
      - Release that runs on the node, such as V(v3.29.7) or V(3.29). It is compared with what the
        kernel shows.
      - By default it is told from the kernel alone.
    type: str
  conntrack_max_entries:
    description:
      - Size of the conntrack map that felix is configured with. When given, it is compared with the
        pinned maps and with felix's auto-scale file.
    type: int
  connect_time_load_balancing:
    description:
      - What felix is configured with as C(bpfConnectTimeLoadBalancing). When given, the
        connect-time programs are compared with it; without it only a set that belongs to no
        setting is a finding.
    type: str
    choices: [TCP, Enabled, Disabled]
  count_entries:
    description:
      - Whether to count the entries of the maps, which reads each map once, about 0.3 s for a
        million entries, and to look for UDP flows that bypass their Service.
    type: bool
    default: true
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.reads
  - bpfops.calico.options.pins
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.bpf_map_info
  - module: bpfops.calico.conntrack_info
"""

EXAMPLES = r"""
- name: What eBPF state does the node hold
  bpfops.calico.node_info:
  register: node

- name: Compare it with the release that should run, without reading the tables
  bpfops.calico.node_info:
    calico_version: v3.29.7
    count_entries: false
"""

RETURN = r"""
kernel:
  description:
    - The kernel's C(release), C(possible_cpus), and C(lockdown), which is null where it cannot be
      read.
  returned: success
  type: dict
distribution:
  description:
    - The C(id), the list C(id_like) and the C(version_id) of C(/etc/os-release); null where they
      cannot be read.
  returned: success
  type: dict
memory_available_bytes:
  description: Bytes of memory that can be had without swapping, C(MemAvailable) of
    C(/proc/meminfo); null where it cannot be read.
  returned: success
  type: int
bpffs_mounts:
  description: Where a bpffs is mounted.
  returned: success
  type: list
  elements: str
cgroup_roots:
  description: The cgroup2 directories that were looked at.
  returned: success
  type: list
  elements: str
release:
  description: Calico releases that come into question, as in V(3.28 to 3.30).
  returned: success
  type: str
release_range:
  description:
    - The same in comparisons, as in V(>=3.28.0,<3.31.0); alternatives are separated by a vertical
      bar.
  returned: success
  type: str
release_exact:
  description: Whether all of them are of one release line, such as V(3.29).
  returned: success
  type: bool
release_evidence:
  description: How they were told, one sentence for each piece of evidence.
  returned: success
  type: list
  elements: str
release_contradictions:
  description: What does not fit them.
  returned: success
  type: list
  elements: str
maps:
  description:
    - The maps pinned in and below O(pin_dir) and in the other directories that Calico pins in.
  returned: success
  type: list
  elements: dict
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
    memory_bytes:
      description: Bytes of kernel memory that the map is charged with, as the kernel estimates.
      type: int
    entries:
      description: Entries in it; null when not counted, or when the type has no plain entries.
      type: int
    fill:
      description: Entries divided by C(max_entries); null for arrays and when not counted.
      type: float
    superseded:
      description: Whether it is of another release than the node's.
      type: bool
    owner:
      description: Whose the pin is, V(calico), V(foreign) or V(unproven).
      type: str
    owner_reasons:
      description: The evidence for that.
      type: list
      elements: str
pins:
  description:
    - All pins there, with C(path), C(kind), C(object_id), and whether a link is C(severed), that
      is, attached to nothing.
  returned: success
  type: list
  elements: dict
old_pins:
  description: Maps that a resize of felix has left beside, with names that end in C(_old).
  returned: success
  type: list
  elements: str
superseded_maps:
  description: Maps of other releases.
  returned: success
  type: list
  elements: str
old_jumps:
  description: Pins of the program arrays of felix's previous start.
  returned: success
  type: list
  elements: str
interfaces:
  description:
    - The interfaces of workloads, and all others that a program is attached to or that have a
      clsact qdisc.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the interface.
      type: str
    ifindex:
      description: Index of the interface.
      type: int
    workload:
      description: Whether it matches O(interfaces).
      type: bool
    kind:
      description: Kind of link, such as V(veth); null without pyroute2.
      type: str
    running:
      description: Whether it is up with a carrier; null without pyroute2.
      type: bool
    clsact:
      description: Whether it has a clsact qdisc; null without pyroute2.
      type: bool
    programs:
      description: Programs on it, with the evidence of whose they are.
      type: list
      elements: dict
      contains:
        kind:
          description: V(tc), V(tcx), V(netkit) or V(xdp).
          type: str
        hook:
          description: V(ingress), V(egress) or V(xdp).
          type: str
        name:
          description: Name of the tc filter, else of the program.
          type: str
        program_id:
          description: Id of the program.
          type: int
        preference:
          description: Preference of the tc filter.
          type: int
        handle:
          description: Handle of the tc filter.
          type: int
        link_id:
          description: Id of the TCX or netkit link.
          type: int
        mode:
          description: How the XDP program is attached.
          type: str
        tag:
          description: Tag of the program, a hash of its instructions.
          type: str
        constants_bytes:
          description: Size of the constants that felix loaded it with.
          type: int
        log_filters:
          description:
            - The elements C(slot) of the program array C(map) that it calls as log filters, and
              whether they are C(filled).
          type: list
          elements: dict
        owner:
          description: Whose it is, V(calico), V(foreign) or V(unproven).
          type: str
        owner_reasons:
          description: The evidence for that.
          type: list
          elements: str
interfaces_known:
  description: Whether tc and XDP could be looked at.
  returned: success
  type: bool
connect_time:
  description:
    - Programs at the connect-time hooks of the cgroup roots, with C(cgroup), C(hook), C(legacy)
      (attached without a link), C(program_id), C(name), C(tag), C(owner) and C(owner_reasons).
  returned: success
  type: list
  elements: dict
special_devices:
  description:
    - Interfaces with the names of the devices of eBPF mode, C(bpfin.cali) and C(bpfout.cali), with
      their C(kind), the C(peer) that points back at them, C(owner) and C(owner_reasons).
  returned: success
  type: list
  elements: dict
conntrack_size_file:
  description: Number in the auto-scale file of felix; null without one.
  returned: success
  type: int
kube_proxy_ipvs:
  description: Whether the device is there that kube-proxy makes in IPVS mode, C(kube-ipvs0).
  returned: success
  type: bool
vxlan_devices:
  description: VXLAN devices with their C(name) and UDP C(port); empty without pyroute2.
  returned: success
  type: list
  elements: dict
udp_ports:
  description: UDP ports that sockets on the node have, the kernel's own included.
  returned: success
  type: list
  elements: int
actions:
  description: Always empty for this module.
  returned: success
  type: list
  elements: str
findings:
  description: What is wrong with the node, the severest first; empty on a healthy one.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: Code of the defect, such as C(TC_MISMATCH); C(docs/findings) has a page for each.
      type: str
    severity:
      description:
        - V(critical) when traffic is or will be lost or felix cannot start, else V(warning) or
          V(info).
      type: str
    title:
      description: What is wrong, in one sentence.
      type: str
    object:
      description: The map, interface, cgroup or file that has it.
      type: str
    evidence:
      description: What was seen, one sentence each.
      type: list
      elements: str
    harm:
      description: What it leads to.
      type: str
    upstream:
      description: Numbers of issues and pull requests, of projectcalico/calico unless named.
      type: list
      elements: str
    affected:
      description: Releases that have the defect.
      type: str
    remedy:
      description: Modules and roles that repair it.
      type: list
      elements: str
    advice:
      description: What to do, in one sentence.
      type: str
warnings:
  description: What could not be read.
  returned: success
  type: list
  elements: str
"""

from typing import Any, Mapping

from ..module_utils._observe.node.facts import node_facts
from ..module_utils._observe.node.task import task
from ..module_utils._observe.node.twice import judge
from ..module_utils._plan.findings import finding_facts
from ..module_utils._plan.findings_maps import resizes
from ..module_utils._runner import Result, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "cgroup_root": {"type": "path"},
    "interfaces": {"type": "list", "elements": "str", "default": ["cali*"]},
    "calico_version": {"type": "str"},
    "conntrack_max_entries": {"type": "int"},
    "connect_time_load_balancing": {"type": "str", "choices": ["TCP", "Enabled", "Disabled"]},
    "count_entries": {"type": "bool", "default": True},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Look, and change nothing."""
    judged = judge(task(params))
    return Result(
        facts=node_facts(judged.node),
        warnings=(*judged.warnings, *resizes(judged.node)),
        findings=finding_facts(judged.findings),
    )


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

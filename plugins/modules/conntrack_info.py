#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module conntrack_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: conntrack_info
short_description: Show what is in Calico's conntrack tables
version_added: 0.1.0
description:
  - Counts the entries of the pinned conntrack maps by protocol, type, TCP state, idle time and
    remaining life, names the addresses that began most flows, and decodes selected entries.
  - Nothing is changed and no lock is taken. The tables may change meanwhile. Memory does not grow
    with them, and a million entries take a few seconds.
  - Knows the tables of Calico 3.24 to 3.32, C(cali_v4_ct3), C(cali_v4_ct4) and their IPv6 twins. A
    map of another layout is refused, never guessed at.
options:
  limit:
    description: Number of selected entries of each table to decode, 0 to 100000.
    type: int
    default: 0
  top:
    description: Number of source addresses to name, 0 to 1000.
    type: int
    default: 10
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.reads
  - bpfops.calico.options.pins
  - bpfops.calico.options.selectors
  - bpfops.calico.options.timeouts
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.bpf_map_info
"""

EXAMPLES = r"""
- name: What fills the conntrack table
  bpfops.calico.conntrack_info:
  register: conntrack

- name: The first 20 flows to a DNS service
  bpfops.calico.conntrack_info:
    protocol: udp
    address: 10.96.0.10
    port: 53
    limit: 20
"""

RETURN = r"""
release:
  description: Releases that come into question, as in V(3.28 to 3.30).
  returned: success
  type: str
release_evidence:
  description: How they were told, one sentence for each piece of evidence.
  returned: success
  type: list
  elements: str
tables:
  description: One for each pinned conntrack map.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the pin.
      type: str
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    max_entries:
      description: Entries that fit in.
      type: int
    entries:
      description: Entries in it while it was read.
      type: int
    by_protocol:
      description: Entries by protocol.
      type: dict
    by_type:
      description: Entries by type, C(NORMAL), C(NAT_FWD) and C(NAT_REV).
      type: dict
    by_tcp_state:
      description:
        - TCP entries by state, as the flags of both directions amount to it. C(NAT_FWD) entries
          have none.
      type: dict
    idle:
      description: Entries by seconds since they were last seen, in rising C(below_seconds).
      type: list
      elements: dict
    remaining_life:
      description:
        - Entries by seconds until Calico removes them if no packet comes; below 1 they are expired.
          C(NAT_FWD) entries live as long as their C(NAT_REV) and are not counted.
        - Null when the releases that come into question judge differently.
      type: list
      elements: dict
    top_sources:
      description: Addresses that began most flows, each with its number of C(flows).
      type: list
      elements: dict
    top_sources_exact:
      description:
        - False when there were so many addresses that rare ones were forgotten on the way, so that
          numbers may be too low.
      type: bool
    matched:
      description: Entries that the selection matches.
      type: int
    selected:
      description:
        - The first O(limit) of them, decoded. Ages are in seconds, endpoints are written as
          C(192.0.2.1:80).
      type: list
      elements: dict
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
"""

from typing import Any, Mapping

from ..module_utils._calico.conntrack_liveness import Timeouts
from ..module_utils._observe.conntrack_report import conntrack_report
from ..module_utils._plan.conntrack_query import query
from ..module_utils._plan.conntrack_select import SELECTORS
from ..module_utils._plan.inputs import directory_path
from ..module_utils._runner import Result, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    **SELECTORS,
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "timeouts": {"type": "dict", "options": {name: {"type": "int"} for name in Timeouts._fields}},
    "limit": {"type": "int", "default": 0},
    "top": {"type": "int", "default": 10},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Look, and change nothing."""
    wanted = query(params)
    pin_dir = params["pin_dir"] or f"{params['bpffs']}/tc/globals"
    directory_path("pin_dir", pin_dir)
    report = conntrack_report(pin_dir, wanted)
    return Result(facts=report.facts, warnings=report.warnings)


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

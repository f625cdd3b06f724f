#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module conntrack_entry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: conntrack_entry
short_description: Remove exactly those entries of Calico's conntrack tables that are meant
version_added: 0.1.0
description:
  - Makes sure that no entry that fits all of the selectors is in the pinned conntrack maps. At
    least one selector is needed besides O(families).
  - Both entries of a connection to a Service go together, the C(NAT_FWD) entry and the C(NAT_REV)
    entry that it points at, when either of them is meant.
  - Every entry is looked at once more before it is deleted. One that a packet has refreshed or that
    has become another one is judged again, and stays when it is no longer meant.
  - In check mode RV(removed) lists all entries that would go.
  - Knows the tables of Calico 3.24 to 3.32 and the C(cali_v4_ct2) of before; a map of another
    layout is refused, never guessed at. All conntrack maps in O(pin_dir) are searched.
options:
  state:
    description: Entries that fit are not there.
    type: str
    choices: [absent]
    default: absent
  stale_udp:
    description:
      - Select UDP flows that bypass their Service, finding UDP_STALE. They were active while the
        Service did not exist, and their packets keep the entry alive that leads them past it
        (projectcalico/calico#9967). Releases up to 3.29 leave them so.
      - That is C(NORMAL) entries to a frontend that has backends for that client, in the pinned NAT
        map. A node port counts where the pinned routes map says that the address is this host's.
        Frontends that drop the client's packets or are excluded from NAT are none.
    type: bool
    default: false
  stale_nat:
    description:
      - Select entries with NAT whose backend is none of the Service's any more, by the pinned NAT
        maps.
      - A pod that is about to end is no backend there, though its connections may live on; add
        O(idle_longer_than) to spare these.
    type: bool
    default: false
  max_deletions:
    description:
      - Number of entries that may go at most, in all tables and with the other halves of those that
        fit. When there are more, nothing is deleted and the task fails.
    type: int
    default: 1000
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
  - bpfops.calico.options.pins
  - bpfops.calico.options.selectors
  - bpfops.calico.options.timeouts
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.conntrack_info
  - module: bpfops.calico.node_info
"""

EXAMPLES = r"""
- name: UDP flows that are stuck on a Service which was made anew reach its pods again
  bpfops.calico.conntrack_entry:
    stale_udp: true

- name: The same for one Service
  bpfops.calico.conntrack_entry:
    stale_udp: true
    services: ["10.96.0.10:53"]

- name: Connections of one client to a database begin anew
  bpfops.calico.conntrack_entry:
    protocol: tcp
    source: 192.0.2.17
    destination: 10.96.14.3
    destination_port: 5432

- name: Half-open connections that are a minute old
  bpfops.calico.conntrack_entry:
    tcp_states: [SYN_SENT, SYN_RECV]
    idle_longer_than: 60
    max_deletions: 100000
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, one sentence for each table.
  returned: success
  type: list
  elements: str
findings:
  description:
    - With O(stale_udp) the Services whose flows bypassed them before the task, where the release
      does not mend that itself.
  returned: success
  type: list
  elements: dict
release:
  description: Releases that come into question, as in V(3.28 to 3.30).
  returned: success
  type: str
removed:
  description: The entries that were deleted, or would be in check mode, all of them.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the map's pin.
      type: str
    family:
      description: V(ipv4) or V(ipv6).
      type: str
    matched:
      description: False for the other half of an entry that fits, which does not fit itself.
      type: bool
    protocol:
      description: Name or number of the protocol.
      type: str
    type:
      description: V(NORMAL), V(NAT_FWD) or V(NAT_REV).
      type: str
    source:
      description: Address and port that began the flow, as in C(192.0.2.1:4000).
      type: str
    destination:
      description: Address and port that packets of the flow go to.
      type: str
    service:
      description: The Service's address and port, of entries with NAT.
      type: str
    idle_seconds:
      description: Seconds since the entry was last seen.
      type: float
    flags:
      description: Names of its flags.
      type: list
      elements: str
    tcp_state:
      description: The TCP state; null for other protocols and C(NAT_FWD).
      type: str
spared:
  description: Entries that were gone, or no longer meant, when it came to deleting them.
  returned: success
  type: list
  elements: dict
"""

from typing import Any, Mapping

from ..module_utils._calico.conntrack_liveness import Timeouts
from ..module_utils._execute.conntrack_entry import Outcome, execute
from ..module_utils._observe.conntrack_entry import observe, still_there
from ..module_utils._plan.conntrack_entry import (
    Plan,
    Seen,
    Task,
    findings,
    outcome_facts,
    plan,
    predicted,
    states,
    task,
)
from ..module_utils._plan.conntrack_select import SELECTORS
from ..module_utils._plan.findings import finding_facts
from ..module_utils._runner import Result, Steps, converge, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["absent"], "default": "absent"},
    **SELECTORS,
    "stale_udp": {"type": "bool", "default": False},
    "stale_nat": {"type": "bool", "default": False},
    "max_deletions": {"type": "int", "default": 1000},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "timeouts": {"type": "dict", "options": {name: {"type": "int"} for name in Timeouts._fields}},
    "lock_timeout": {"type": "float", "default": 60.0},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Delete the entries that are meant."""
    wanted = task(params)
    first: list[Seen] = []
    outcomes: list[Outcome] = []

    def look() -> Seen:
        first.append(observe(wanted))
        return first[-1]

    def carry_out(planned: Plan) -> dict[str, Any]:
        outcomes.append(execute(planned, wanted, first[0]))
        return outcome_facts(first[0], planned, *outcomes[0])

    steps = Steps(
        observe=look,
        plan=lambda seen: plan(wanted, seen),
        execute=carry_out,
        unfinished=lambda planned: list(still_there(outcomes[0].removed)),
        show=lambda seen, planned: result(wanted, seen, planned),
    )
    found = converge(steps, check_mode, params["lock_timeout"])
    if found.actions and not found.facts["removed"]:  # all had changed before it came to them
        return found._replace(actions=(), after=found.before)
    return found


def result(wanted: Task, seen: Seen, planned: Plan) -> Result:
    """The module's answer."""
    tables = [one.table for one in planned.removals]
    return Result(
        actions=planned.actions,
        before=states(seen, planned),
        after=states(predicted(seen, planned), Plan()),
        facts={"release": str(seen.release), **outcome_facts(seen, planned, tables)},
        warnings=seen.warnings,
        findings=finding_facts(findings(wanted, seen, planned)),
    )


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

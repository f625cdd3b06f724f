#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module connect_time_lb."""

from __future__ import annotations

DOCUMENTATION = r"""
module: connect_time_lb
short_description: Remove Calico's connect-time load balancing from the cgroup, or check it
version_added: 0.1.0
description:
  - Connect-time load balancing are up to six programs on the cgroup root that send the connections
    of all processes straight to the backends of Services. Some releases leave them behind when
    eBPF mode goes off, and the node then connects to backends that nobody updates any more.
  - V(absent) removes them, whichever way they are attached. That takes effect at once for new
    connections; those that are established stay.
  - V(present) tells whether exactly those are attached that the release and the settings ask for.
    It never attaches anything, for only felix has the programs.
  - A program counts as Calico's when its type, name, hook, constants and maps are, never by its
    name or place alone. What may be Calico's and is not proven so is listed in RV(left_alone) and
    stays.
options:
  state:
    description:
      - V(absent) detaches the programs. A program that is attached without a link is asked for once
        more right before, because the kernel detaches whatever is there; kernels from 6.17 on
        refuse when it has changed in between.
      - The pins of links go with them, and so do pins of links that are attached to nothing, which
        keep felix of 3.28.5 to 3.32 from starting.
      - V(present) compares and changes nothing.
    type: str
    choices: [absent, present]
    required: true
  cgroup_root:
    description:
      - Directory of a cgroup2 file system that the programs are on.
      - By default every cgroup2 mount of the node is looked at.
    type: path
  cgroup_subpath:
    description:
      - Directory below the cgroup root that is looked at too, as in felix's C(DebugBPFCgroupV2).
    type: str
  bpffs:
    description: Mount point of the bpffs where felix pins its links.
    type: path
    default: /sys/fs/bpf
  calico_version:
    description:
      - Release that runs on the node, or ran, such as V(v3.28.4) or V(3.28).
      - By default it is told from the kernel. Name it where that gives no single answer. Releases
        that pin no links leave no other evidence on those than the release itself.
    type: str
  load_balancing:
    description:
      - For O(state=present), the value of C(bpfConnectTimeLoadBalancing).
      - By default that of the release, which is all six hooks for 3.26 and V(TCP) later.
    type: str
    choices: [TCP, Enabled, Disabled]
  host_nat:
    description:
      - For O(state=present), the value of C(bpfHostNetworkedNATWithoutCTLB), which decides with
        O(load_balancing=TCP) whether UDP has programs too.
    type: str
    choices: [Enabled, Disabled]
    default: Enabled
  families:
    description: For O(state=present), the address families of the cluster.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4]
  on_mismatch:
    description:
      - What O(state=present) does when other programs are attached than expected.
      - V(fail) fails, since a task that succeeds has reached its state. V(report) only returns
        the RV(findings).
    type: str
    choices: [fail, report]
    default: fail
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.dataplane
  - module: bpfops.calico.node_info
"""

EXAMPLES = r"""
- name: No process is redirected to dead backends any more
  bpfops.calico.connect_time_lb:
    state: absent

- name: Also where felix ran with DebugBPFCgroupV2, and with a release that pinned no links
  bpfops.calico.connect_time_lb:
    state: absent
    cgroup_subpath: kubepods.slice
    calico_version: v3.27.3

- name: Wait until felix has attached what it should
  bpfops.calico.connect_time_lb:
    state: present
    calico_version: v3.31.7
  register: connect_time
  until: connect_time is success
  retries: 30
  delay: 2
"""

RETURN = r"""
programs:
  description:
    - The programs at the connect-time hooks before the task, whoever owns them, with C(cgroup),
      C(hook), C(program_id), C(name), C(method) (legacy, multi or link), C(link_id), the C(pins) of
      the link, C(owner) (calico, foreign or unproven) and C(owner_reasons).
  returned: success, and when O(state=present) is not reached
  type: list
  elements: dict
expected:
  description: The hooks where a program is expected.
  returned: O(state=present)
  type: list
  elements: str
release:
  description: Calico releases that come into question.
  returned: success
  type: str
left_alone:
  description: What may be Calico's, is not proven so, and stays; C(kind), C(object), C(reasons).
  returned: success
  type: list
  elements: dict
actions:
  description: What was done, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
findings:
  description:
    - C(CTLB_UNEXPECTED) and C(CTLB_SEVERED) for O(state=present), as in
      M(bpfops.calico.node_info).
  returned: success, and when O(state=present) is not reached
  type: list
  elements: dict
"""

from typing import Any, Mapping

from ..module_utils._execute.removal import carry_out
from ..module_utils._observe.connect_time import observe, where
from ..module_utils._observe.node.task import Task
from ..module_utils._plan.connect_time import (
    Desired,
    Observed,
    Plan,
    after,
    desired,
    plan,
    program_facts,
    require_expected,
)
from ..module_utils._plan.findings import finding_facts
from ..module_utils._runner import Result, Steps, converge, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["absent", "present"], "required": True},
    "cgroup_root": {"type": "path"},
    "cgroup_subpath": {"type": "str"},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "calico_version": {"type": "str"},
    "load_balancing": {"type": "str", "choices": ["TCP", "Enabled", "Disabled"]},
    "host_nat": {"type": "str", "choices": ["Enabled", "Disabled"], "default": "Enabled"},
    "families": {
        "type": "list",
        "elements": "str",
        "choices": ["ipv4", "ipv6"],
        "default": ["ipv4"],
    },
    "on_mismatch": {"type": "str", "choices": ["fail", "report"], "default": "fail"},
    "lock_timeout": {"type": "float", "default": 60.0},
}


class Work:
    """One task; keeps what its steps have to tell."""

    def __init__(self, wanted: Desired, place: Task) -> None:
        self.wanted = wanted
        self.place = place
        self.notes: tuple[str, ...] = ()
        self.skipped: tuple[str, ...] = ()

    def observe(self) -> Observed:
        """The node now."""
        seen, self.notes = observe(self.place)
        return seen

    def execute(self, planned: Plan) -> dict[str, Any]:
        """Remove what is planned."""
        self.skipped = carry_out(planned.actions)
        return {}

    def unfinished(self, planned: Plan) -> list[str]:
        """What is proven Calico's and still there."""
        return [step.object for step in plan(self.wanted, self.observe()).actions]

    def show(self, seen: Observed, planned: Plan) -> Result:
        """The module's answer."""
        return result(self.wanted, seen, planned, (*self.notes, *self.skipped))


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Bring the cgroup to what the task declares."""
    task = Work(desired(params), where(params))
    steps = Steps(
        observe=task.observe,
        plan=lambda seen: plan(task.wanted, seen),
        execute=task.execute,
        unfinished=task.unfinished,
        show=task.show,
    )
    return converge(steps, check_mode, params["lock_timeout"])


def result(wanted: Desired, seen: Observed, planned: Plan, notes: tuple[str, ...]) -> Result:
    """The module's answer. Raises UnverifiedError when present is not reached."""
    programs = [program_facts(one, seen.node) for one in seen.node.connect_time]
    findings = finding_facts(planned.findings)
    facts = {
        "programs": programs,
        "release": str(seen.node.release.releases),
        "left_alone": [one.facts() for one in planned.left_alone],
    }
    if planned.expected is not None:
        facts["expected"] = list(planned.expected)
    require_expected(wanted, planned, {**facts, "findings": list(findings)})
    return Result(
        actions=tuple(step.sentence for step in planned.actions),
        before={"programs": programs},
        after={"programs": after(planned, seen.node)},
        facts=facts,
        warnings=(*planned.warnings, *notes),
        findings=findings,
    )


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

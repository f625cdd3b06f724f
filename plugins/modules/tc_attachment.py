#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module tc_attachment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tc_attachment
short_description: One Calico filter on each tc hook, at one place, or none
version_added: 0.1.0
description:
  - Makes sure that each interface of a workload has one filter of Calico's on its ingress and one
    on its egress hook, and both at the same preference and handle.
  - felix up to 3.30 never takes an interface for ready whose two filters differ there, and a
    filter that it has lost sight of may run first and drop all traffic.
  - Nothing is loaded and no hook is empty at any instant. A filter moves by adding its program at
    the new place and removing it from the old one; in between it runs twice, as it does when felix
    up to 3.28.4 attaches it again. Each filter is looked up again right before it is changed.
  - Of several filters on a hook the one stays that calls into the program arrays which felix has
    pinned; of those that all do, the one loaded last.
  - Filters that are not proven Calico's are left alone and keep their place and order, as do TCX
    and netkit links, which have no preference. A tc filter of Calico's beside its own TCX program
    is a stale one. Pins of its TCX links that are attached to nothing are removed.
  - A hook without a program, or an interface without a clsact qdisc, is reported and left to felix,
    which attaches what is missing when it starts or applies a change. Only where the program that
    belongs there is still loaded is it attached again.
options:
  state:
    description:
      - V(consistent) makes sure that there is one filter on each hook, at one place.
      - V(absent) removes Calico's filters and links from these interfaces, and a clsact qdisc that
        holds nothing else. felix attaches them again when it runs in eBPF mode. Until then a
        workload is cut off, and what reaches it passes no policy.
    type: str
    choices: [consistent, absent]
    default: consistent
  interfaces:
    description:
      - Names of interfaces, or patterns of names.
      - Needed for O(state=absent). By default V(cali*).
      - Patterns that match an interface which is not a workload's are refused. What is a workload's
        tells felix's own map of the interfaces, and for those that are not in it the prefix
        V(cali).
    type: list
    elements: str
  allow_host_traffic_loss:
    description:
      - Consent to work on interfaces of the node itself, which O(interfaces) then has to name one
        by one. Without Calico's programs there the node's policy is not enforced and services are
        not reached.
    type: bool
    default: false
  lowest_preference:
    description:
      - Two filters that are alike stay where they are unless their preference is below this,
        32769 to 49152. felix 3.26 to 3.28.1 lowers it with each attach, and fails at 32768.
      - V(49152) brings all filters back to the first preference.
    type: int
    default: 40960
  calico_version:
    description:
      - Release that runs on the node, such as V(v3.29.7). It decides which findings apply.
      - By default it is told from the kernel.
    type: str
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
  - bpfops.calico.options.pins
requirements:
  - pyroute2 0.9 or later on the node
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.node_info
  - module: bpfops.calico.log_filter
"""

EXAMPLES = r"""
- name: Bring the filters of every workload to one place
  bpfops.calico.tc_attachment:

- name: What would be done
  bpfops.calico.tc_attachment:
  check_mode: true
  diff: true

- name: Take Calico's programs off two interfaces that felix no longer manages
  bpfops.calico.tc_attachment:
    state: absent
    interfaces: [ens224, ens256]
    allow_host_traffic_loss: true
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, one sentence a step in their order.
  returned: success
  type: list
  elements: str
  sample:
    - >-
      Move program 41 on cali8b0e15c2f4a egress from preference 49152, handle 0x2 to preference
      49152, handle 0x1
findings:
  description:
    - Defects of these interfaces before the task, as M(bpfops.calico.node_info) describes
      them; C(TC_MISMATCH), C(TC_DUPLICATE), C(TC_MISSING) and C(TC_PREF_EXHAUSTED).
    - Empty with O(state=absent).
  returned: success
  type: list
  elements: dict
warnings:
  description: What was left alone, what vanished meanwhile, and names that are not on the node.
  returned: success
  type: list
  elements: str
interfaces:
  description:
    - Calico's programs on these interfaces after the task; in check mode as they would be.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the interface.
      type: str
    ingress:
      description: Programs on the ingress hook, one sentence each.
      type: list
      elements: str
    egress:
      description: Programs on the egress hook.
      type: list
      elements: str
"""

from typing import Any, Mapping

from ..module_utils._execute import removal
from ..module_utils._execute.tc_attachment import Outcome, repair, unfinished
from ..module_utils._observe.tc_attachment import observe
from ..module_utils._plan.findings import finding_facts
from ..module_utils._plan.tc_attachment import Change, Plan, plan
from ..module_utils._plan.tc_task import Desired, desired
from ..module_utils._runner import Result, Steps, converge, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["consistent", "absent"], "default": "consistent"},
    "interfaces": {"type": "list", "elements": "str"},
    "allow_host_traffic_loss": {"type": "bool", "default": False},
    "lowest_preference": {"type": "int", "default": 40960},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "calico_version": {"type": "str"},
    "lock_timeout": {"type": "float", "default": 60.0},
}


class Work:
    """One task; keeps what its steps have to tell."""

    def __init__(self, wanted: Desired) -> None:
        self.wanted = wanted
        self.notes: tuple[str, ...] = ()
        self.outcome = Outcome((), (), ())

    def execute(self, planned: Plan) -> dict[str, Any]:
        """Remove, or change and change again what something else has changed meanwhile."""
        self.notes = removal.carry_out(planned.steps)
        self.outcome = repair(planned.changes, self.again)
        self.notes += self.outcome.notes
        return {}

    def again(self, names: tuple[str, ...]) -> tuple[Change, ...]:
        """The changes of some interfaces as they are by now."""
        wanted = self.wanted._replace(interfaces=names)
        return plan(wanted, observe(wanted)).changes

    def unfinished(self, planned: Plan) -> list[str]:
        """What is not as planned."""
        left = plan(self.wanted, observe(self.wanted)).steps if planned.steps else ()
        found = (*self.outcome.failed, *unfinished(self.outcome.changes))
        return [*found, *(step.object for step in left)]

    def show(self, planned: Plan) -> Result:
        """The module's answer."""
        differ = [name for name, hooks in planned.after.items() if hooks != planned.before[name]]
        shown = [{"name": name, **hooks} for name, hooks in planned.after.items()]
        return Result(
            actions=planned.actions,
            before={name: planned.before[name] for name in differ},
            after={name: planned.after[name] for name in differ},
            facts={"interfaces": shown},
            warnings=(*planned.warnings, *self.notes),
            findings=finding_facts(planned.findings),
        )


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Bring the interfaces to what the task declares."""
    task = Work(desired(params))
    steps = Steps(
        observe=lambda: observe(task.wanted),
        plan=lambda seen: plan(task.wanted, seen),
        execute=task.execute,
        unfinished=task.unfinished,
        show=lambda seen, planned: task.show(planned),
    )
    return converge(steps, check_mode, params["lock_timeout"])


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module dataplane."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dataplane
short_description: Leave nothing of Calico's eBPF mode on a node, and nothing else touched
version_added: 0.1.0
description:
  - Removes what eBPF mode of any release from 3.26 on has left on a node that is back in iptables
    mode. Programs on interfaces go first, by tc filter, TCX or netkit link or XDP, then
    connect-time programs, pins of program arrays, all other pins with C(old_jumps) and maps of
    other releases, empty directories, the devices C(bpfin.cali) and C(bpfout.cali), and felix's
    records. The other way round, programs without their program arrays would drop every packet.
  - An object goes only when it is proven Calico's, by its name, type, constants, maps and place
    together. What may be Calico's and is not proven so stays and is listed in RV(left_alone).
  - A clsact qdisc goes when all filters on it are Calico's, and stays with those of others.
  - Reads the node again when all is done, and fails when anything that is proven Calico's is left.
    An interrupted run is finished by the next one.
  - Pins of XDP and socket acceleration in C(calico) on the bpffs belong to iptables mode and stay,
    and so do mounts and felix's auto-scale file.
options:
  state:
    description: What the node should hold of eBPF mode.
    type: str
    choices: [absent]
    default: absent
  include:
    description:
      - Kinds of objects to remove; by default all.
      - V(tc) are filters with their qdiscs, V(tcx) TCX and netkit links, V(cgroup) connect-time
        programs, V(pin) pinned maps, V(directory) empty directories that only Calico makes,
        V(device) the special devices, V(record) JSON files below C(/var/run/calico/bpf).
    type: list
    elements: str
    choices: [tc, tcx, xdp, cgroup, pin, directory, device, record]
    default: []
  exclude:
    description: Kinds of objects that stay although O(include) names them.
    type: list
    elements: str
    choices: [tc, tcx, xdp, cgroup, pin, directory, device, record]
    default: []
  sysctls:
    description:
      - Kernel settings to set back, by name as for C(sysctl), with the value that they shall have.
        A slash stands for a dot in the name of an interface.
      - felix does not remember what it found, so RV(settings) lists what has the value of eBPF mode
        and the values to go back to are yours to know.
      - Only settings that felix changes are taken.
    type: dict
    default: {}
  disrupt_running_felix:
    description:
      - Whether to go on when felix runs in eBPF mode on this node. Its pods lose the network until
        felix has attached its programs again, and connections may be cut.
      - felix is known by its process, which holds Calico's maps, or is older than programs that
        are attached.
    type: bool
    default: false
  newer_than:
    description:
      - The release that runs again on this node, such as V(v3.30.7), after a newer one was taken
        back.
      - Then nothing goes but pins of maps that only newer releases make, program arrays first, and
        the rest of eBPF mode stays. Refused while programs still call into one of these arrays.
      - Conntrack maps are left to M(bpfops.calico.conntrack_map).
      - Not together with O(include), O(exclude) and O(sysctls).
    type: str
  cgroup_root:
    description:
      - Directory of a cgroup2 file system that connect-time programs are on.
      - By default every cgroup2 mount of the node is looked at.
    type: path
  cgroup_subpath:
    description:
      - Directory below the cgroup root that is looked at too, as in felix's C(DebugBPFCgroupV2).
    type: str
  calico_version:
    description:
      - Release that made what is there, such as V(v3.27.3) or V(3.27). Only what leaves no other
        evidence than the release needs it, which are links of connect-time programs without a pin.
      - By default it is told from the kernel.
    type: str
extends_documentation_fragment:
  - bpfops.calico.attributes
  - bpfops.calico.attributes.declares
  - bpfops.calico.options.pins
requirements:
  - pyroute2 on the node
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.connect_time_lb
  - module: bpfops.calico.node_info
"""

EXAMPLES = r"""
- name: Remove what eBPF mode has left, once felix runs in iptables mode
  bpfops.calico.dataplane:
  register: leaving

- name: What would go, and what would stay although it looks like Calico's
  bpfops.calico.dataplane:
  check_mode: true
  diff: true

- name: Leave no pins of a release that was taken back
  bpfops.calico.dataplane:
    newer_than: v3.30.7

- name: Set reverse path filtering back, too
  bpfops.calico.dataplane:
    sysctls:
      net.ipv4.conf.all.rp_filter: "1"
      net.ipv4.conf.eth0.rp_filter: "1"
"""

RETURN = r"""
residue_before:
  description: What is proven Calico's before the task, lists of objects by kind.
  returned: success
  type: dict
residue_after:
  description:
    - What is proven Calico's after it, which is what was not chosen. When more is left, the task
      fails and this says what.
  returned: success, and when something is left
  type: dict
left_alone:
  description: What may be Calico's, is not proven so, and stays; C(kind), C(object), C(reasons).
  returned: success, and when something is left
  type: list
  elements: dict
settings:
  description:
    - Kernel settings that have the value that felix gives them before the task, with C(name),
      C(value), and C(restorable), which is false where only a restart of the node helps.
      Distributions give some of them the same value.
  returned: success
  type: list
  elements: dict
shared:
  description:
    - Interfaces with tc filters of others beside Calico's before the task. felix deletes these
      along with its own when it starts with eBPF mode off; this module does not.
  returned: success
  type: list
  elements: str
felix:
  description: Why felix is taken to run in eBPF mode, one sentence for each process.
  returned: success
  type: list
  elements: str
release:
  description: Calico releases that come into question.
  returned: success
  type: str
actions:
  description: What was done, or would be in check mode, in order.
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

from ..module_utils._errors import UnverifiedError
from ..module_utils._execute.removal import carry_out
from ..module_utils._observe.agents import agents
from ..module_utils._observe.connect_time import where
from ..module_utils._observe.leftovers import observe
from ..module_utils._observe.node.task import Task
from ..module_utils._plan.dataplane_newer import Plan, plan
from ..module_utils._plan.dataplane_stays import residue_facts, settings_facts, shared
from ..module_utils._plan.dataplane_task import KINDS, Desired, Observed, desired
from ..module_utils._plan.felix_mode import evidence
from ..module_utils._plan.removal import Step
from ..module_utils._runner import Result, Steps, converge, run_module

_KINDS = {"type": "list", "elements": "str", "choices": list(KINDS), "default": []}

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["absent"], "default": "absent"},
    "include": _KINDS,
    "exclude": _KINDS,
    "sysctls": {"type": "dict", "default": {}},
    "disrupt_running_felix": {"type": "bool", "default": False},
    "newer_than": {"type": "str"},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "cgroup_root": {"type": "path"},
    "cgroup_subpath": {"type": "str"},
    "calico_version": {"type": "str"},
    "lock_timeout": {"type": "float", "default": 60.0},
}


class Work:
    """One task; keeps what its steps have to tell."""

    def __init__(self, wanted: Desired, place: Task) -> None:
        self.wanted = wanted
        self.place = place
        self.notes: tuple[str, ...] = ()
        self.skipped: tuple[str, ...] = ()
        self._kind = ""

    def observe(self) -> Observed:
        """The node now. Raises MissingLibraryError."""
        seen, self.notes = observe(self.place, self.wanted.sysctls)
        return seen

    def execute(self, planned: Plan) -> dict[str, Any]:
        """Remove what is planned."""
        self.skipped = carry_out(planned.actions, self._require_no_felix)
        return {}

    def _require_no_felix(self, step: Step) -> None:
        """Before the first step of each kind. Raises UnverifiedError: felix began meanwhile."""
        if step.kind == self._kind or self.wanted.disrupt_running_felix:
            return
        self._kind = step.kind
        running = evidence(agents())
        if running:
            raise UnverifiedError(
                "felix has begun to run in eBPF mode meanwhile, and everything from here on was "
                f"left as it was: {step.object}. {' '.join(running)}"
            )

    def unfinished(self, planned: Plan) -> list[str]:
        """Nothing. Raises UnverifiedError: something chosen is proven Calico's and still there."""
        wanted = self.wanted._replace(disrupt_running_felix=True)
        again = plan(wanted, self.observe())
        if again.actions:
            left = ", ".join(step.object for step in again.actions)
            facts = {
                "residue_after": residue_facts(again.residue),
                "left_alone": [one.facts() for one in again.left_alone],
            }
            raise UnverifiedError(f"Done, but this is there still, or again: {left}.", facts)
        return []

    def show(self, seen: Observed, planned: Plan) -> Result:
        """The module's answer."""
        gone = {step.object for step in planned.actions}
        before = residue_facts(planned.residue)
        after = residue_facts(step for step in planned.residue if step.object not in gone)
        return Result(
            actions=tuple(step.sentence for step in planned.actions),
            before={"residue": before, "sysctls": planned.settings_before},
            after={"residue": after, "sysctls": planned.settings_after},
            facts={
                "residue_before": before,
                "residue_after": after,
                "left_alone": [one.facts() for one in planned.left_alone],
                "settings": settings_facts(seen),
                "shared": list(shared(seen)),
                "felix": list(evidence(seen.agents)),
                "release": str(seen.node.release.releases),
            },
            warnings=(*planned.warnings, *self.notes, *self.skipped),
        )


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Leave nothing of eBPF mode on the node."""
    task = Work(desired(params), where(params))
    steps = Steps(
        observe=task.observe,
        plan=lambda seen: plan(task.wanted, seen),
        execute=task.execute,
        unfinished=task.unfinished,
        show=task.show,
    )
    return converge(steps, check_mode, params["lock_timeout"])


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the module log_filter."""

from __future__ import annotations

DOCUMENTATION = r"""
module: log_filter
short_description: No interface calls a log filter of Calico's that is not there
version_added: 0.1.0
description:
  - Finds the interfaces whose entry programs call an empty slot for each packet, which writes a
    line to the kernel's trace each time. felix 3.27 to 3.28.2 leaves them so when its log level is
    no longer Debug. Traffic passes meanwhile.
  - What is called is read from the constants of each program, and looked up in the program array
    that this very program refers to, for both families and, where a release has one array for each
    direction, in that of its own.
  - Log filters that are there are never touched.
  - Pass-through programs of this module that no entry program calls any more are taken out in any
    case.
options:
  method:
    description:
      - V(passthrough) puts a small program into each empty slot, which calls on to the main program
        as if there was no log filter. The trace is silent at once. felix makes new program arrays
        when it starts, and with a release that has the defect the slots are empty again then.
      - V(ifstate) writes -1 over the indices of the log filters in felix's map of the interfaces,
        so that the next start of felix leaves the log filters out. The programs that are attached
        do not change by that. Nothing is written for releases that reset the indices themselves,
        3.28.3 and later.
      - V(both) does both.
    type: str
    choices: [passthrough, ifstate, both]
    default: passthrough
  felix_about_to_restart:
    description:
      - Says that a restart of felix is the next thing that happens on this node.
      - Without it nothing is written into felix's map while felix runs, for it would overwrite that
        as soon as the interface changes.
    type: bool
    default: false
  logging_ends:
    description:
      - Says that the log level is no longer Debug when felix starts next.
      - Then V(ifstate) resets log filters that are there, too, which an affected release would
        otherwise call for on after that start.
    type: bool
    default: false
  watch_trace:
    description:
      - Seconds to listen afterwards to what programs print into the kernel's trace, at most 600;
        V(0) does not listen. Nothing is taken from other readers of the trace. Left out in check
        mode.
    type: int
    default: 0
  interfaces:
    description: Names of interfaces, or patterns of names.
    type: list
    elements: str
    default: ['*']
  calico_version:
    description:
      - Release that runs on the node, such as V(v3.28.1). It decides whether felix resets the
        indices itself.
      - By default it is told from the kernel, which does not always show the last number.
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
  - module: bpfops.calico.tc_attachment
"""

EXAMPLES = r"""
- name: Silence the trace now
  bpfops.calico.log_filter:

- name: Have the next start of felix leave the log filters out
  bpfops.calico.log_filter:
    method: both
    felix_about_to_restart: true

- name: Which interfaces still complain
  bpfops.calico.log_filter:
    watch_trace: 5
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, one sentence a step in their order.
  returned: success
  type: list
  elements: str
  sample: ["Put a pass-through program into slot 26 of cali_jump2 for cali8b0e15c2f4a egress"]
findings:
  description:
    - C(LOG_FILTER_STALE) for each interface that called an empty slot before the task, as
      M(bpfops.calico.node_info) describes it.
  returned: success
  type: list
  elements: dict
warnings:
  description: What was gone or changed meanwhile, and why nothing was written where that is so.
  returned: success
  type: list
  elements: str
felix:
  description: Whether felix was found V(running) or V(stopped).
  returned: success
  type: str
trace:
  description:
    - What was heard within O(watch_trace) seconds; null when nobody listened, with a warning where
      that is not possible.
  returned: success
  type: list
  elements: dict
  contains:
    interface:
      description: Name of the interface.
      type: str
    slot:
      description: The element of the program array that its program does not find.
      type: int
    lines:
      description: How often it said so.
      type: int
log_filters:
  description:
    - The calls of log filters that are not there, after the task; in check mode as they would be.
  returned: success
  type: list
  elements: dict
  contains:
    interface:
      description: Name of the interface.
      type: str
    hook:
      description: V(ingress) or V(egress).
      type: str
    map:
      description: Name of the program array.
      type: str
    slot:
      description: Its element that is called.
      type: int
    passed_through:
      description: Whether a pass-through program is in the slot, so that nothing is traced.
      type: bool
"""

from typing import Any, Mapping

from ..module_utils._errors import UnsupportedError
from ..module_utils._execute.log_filter import carry_out, unfinished
from ..module_utils._observe.log_filter import observe
from ..module_utils._observe.trace import missed_calls
from ..module_utils._plan.findings import finding_facts
from ..module_utils._plan.log_filter import Desired, Observed, Plan, desired, plan
from ..module_utils._plan.log_filter_facts import calls_after, states
from ..module_utils._runner import Result, Steps, converge, run_module

ARGUMENT_SPEC: dict[str, Any] = {
    "method": {
        "type": "str",
        "choices": ["passthrough", "ifstate", "both"],
        "default": "passthrough",
    },
    "felix_about_to_restart": {"type": "bool", "default": False},
    "logging_ends": {"type": "bool", "default": False},
    "watch_trace": {"type": "int", "default": 0},
    "interfaces": {"type": "list", "elements": "str", "default": ["*"]},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "pin_dir": {"type": "path"},
    "calico_version": {"type": "str"},
    "lock_timeout": {"type": "float", "default": 60.0},
}


def work(params: Mapping[str, Any], check_mode: bool) -> Result:
    """Bring the node to what the task declares."""
    wanted = desired(params)
    notes: list[str] = []

    def execute(planned: Plan) -> dict[str, Any]:
        notes.extend(carry_out(planned))
        return {}

    def show(seen: Observed, planned: Plan) -> Result:
        return Result(
            actions=planned.actions,
            before=states(wanted, seen),
            after=states(wanted, seen, planned),
            facts={
                "felix": "running" if seen.felix else "stopped",
                "log_filters": calls_after(wanted, seen, planned),
                "trace": None,
            },
            warnings=(*planned.warnings, *notes),
            findings=finding_facts(planned.findings),
        )

    steps = Steps(
        observe=lambda: observe(wanted),
        plan=lambda seen: plan(wanted, seen),
        execute=execute,
        unfinished=lambda planned: list(unfinished(planned)),
        show=show,
    )
    done = converge(steps, check_mode, params["lock_timeout"])
    return done if check_mode else with_trace(wanted, done)


def with_trace(wanted: Desired, done: Result) -> Result:
    """The result with what the trace says afterwards."""
    if not wanted.watch_trace:
        return done
    try:
        heard = missed_calls(wanted.means, wanted.watch_trace)
    except UnsupportedError as error:
        return done._replace(warnings=(*done.warnings, str(error)))
    return done._replace(facts={**done.facts, "trace": heard})


def main() -> None:
    """Entry point."""
    run_module(work, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()

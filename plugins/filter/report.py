# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report
short_description: Gather what roles found and did on the nodes into one report
version_added: 0.1.0
description:
  - Brings the facts C(calico_report) of all nodes into the form that the JSON file of a report has,
    sums them up, groups the findings of all nodes by their code, and compares the look before
    with the newest one.
  - The same input gives the same report; the time comes from outside.
positional: _input
options:
  _input:
    description:
      - The fact C(calico_report) by node. An empty one, or null, stands for a node that was not
        reached.
    type: dict
    required: true
  generated:
    description: When the report is made, in UTC, as in V(2026-01-31T12:00:00Z).
    type: str
    required: true
  title:
    description: Title of the report.
    type: str
    default: Calico eBPF report
  name:
    description: Short name of what was run.
    type: str
    default: report
  command:
    description: The command that was run, for the reader.
    type: str
    default: ""
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - plugin: bpfops.calico.report_html
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Gather what the play left on its nodes
  ansible.builtin.set_fact:
    fleet: "{{ looks | bpfops.calico.report(generated='2026-01-31T12:00:00Z') }}"
  vars:
    looks:
      node1: "{{ hostvars['node1'].calico_report }}"
      node2: {}
"""

RETURN = r"""
_value:
  description:
    - The report, with C(format), C(version), C(name), C(title), C(generated), C(command),
      C(summary), C(findings) and C(nodes). C(docs/report.md) describes it.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._plain import plain, text_option
from ..plugin_utils._report.model import build


def report(
    left: Any,
    generated: Any,
    title: Any = "Calico eBPF report",
    name: Any = "report",
    command: Any = "",
) -> Any:
    """The report; names in it come from nodes, so Ansible must not take them for templates."""
    facts = plain(left)
    if not isinstance(facts, dict):
        raise AnsibleFilterError(f"report: {facts!r} is no dictionary of nodes.")
    about = {"name": name, "title": title, "generated": generated, "command": command}
    return wrap_var(build(facts, {key: text_option(key, text) for key, text in about.items()}))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"report": report}

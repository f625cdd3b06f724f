# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter report_summary."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_summary
short_description: Sum up a run in a few lines for the screen
version_added: 0.1.0
description:
  - Tells for each node its release and how many findings it has, and for each critical finding what
    to do.
options:
  _input:
    description:
      - The fact C(calico_report) by node. An empty one, or null, stands for a node that was not
        reached.
    type: dict
    required: true
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - plugin: bpfops.calico.report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Sum up what was found
  ansible.builtin.debug:
    msg: "{{ {'node1': hostvars['node1'].calico_report} | bpfops.calico.report_summary }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._plain import plain
from ..plugin_utils._report.model import build
from ..plugin_utils._report.summary import summary


def report_summary(left: Any) -> Any:
    """The lines; names in them come from nodes, so Ansible must not take them for templates."""
    facts = plain(left)
    if not isinstance(facts, dict):
        raise AnsibleFilterError(f"report_summary: {facts!r} is no dictionary of nodes.")
    return wrap_var(summary(build(facts, {})))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"report_summary": report_summary}

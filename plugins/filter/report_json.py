# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter report_json."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_json
short_description: Write a report as JSON
version_added: 0.1.0
description:
  - Makes the text of a report's JSON file of what P(bpfops.calico.report#filter) gathered, with
    sorted keys.
  - Unlike the text of Ansible's own C(to_json), it may be kept in a variable; names from
    nodes in it are never taken for templates.
positional: _input
options:
  _input:
    description: The report.
    type: dict
    required: true
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - plugin: bpfops.calico.report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the data
  ansible.builtin.copy:
    content: "{{ fleet | bpfops.calico.report_json | string }}"
    dest: report.json
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The text, with a newline at the end.
  type: str
"""

import json
from collections.abc import Callable
from typing import Any

from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._report.made import made_report


def report_json(report: Any) -> Any:
    """Text of JSON looks like a dictionary to Ansible: let the filter string follow."""
    return wrap_var(json.dumps(made_report("report_json", report), indent=1, sort_keys=True) + "\n")


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"report_json": report_json}

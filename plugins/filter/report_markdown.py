# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter report_markdown."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_markdown
short_description: Show a report as short Markdown
version_added: 0.1.0
description:
  - Makes a text to paste into a ticket of what P(bpfops.calico.report#filter) gathered, with the
    command, what became of each node, what failed or was refused, and what was waited for.
  - Nothing that comes from a node is taken for markup.
options:
  _input:
    description: The report, or its JSON.
    type: raw
    required: true
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - plugin: bpfops.calico.report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the text
  ansible.builtin.copy:
    content: "{{ fleet | bpfops.calico.report_markdown | string }}"
    dest: report.md
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The text, with a newline at the end.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._report.made import made_report
from ..plugin_utils._report.markdown import markdown


def report_markdown(report: Any) -> Any:
    """Names in the text come from nodes, so Ansible must not take them for templates."""
    return wrap_var(markdown(made_report("report_markdown", report)))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"report_markdown": report_markdown}

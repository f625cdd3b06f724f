# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter report_html."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_html
short_description: Show a report as one page of HTML
version_added: 0.1.0
description:
  - Makes a page of what P(bpfops.calico.report#filter) gathered. The page is one file without
    scripts and loads nothing; it follows the reader's light or dark scheme and can be printed.
  - Every value from a node is escaped.
positional: _input, templates
options:
  _input:
    description: The report, or its JSON.
    type: raw
    required: true
  templates:
    description: Directory with the templates of the page, that of the role C(_report).
    type: path
    required: true
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - plugin: bpfops.calico.report
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Write the page
  ansible.builtin.copy:
    content: "{{ fleet | bpfops.calico.report_html(role_path ~ '/templates') | string }}"
    dest: report.html
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._plain import text_option
from ..plugin_utils._report.made import made_report
from ..plugin_utils._report.render import PAGE, render


def report_html(report: Any, templates: Any) -> Any:
    """Names in the page come from nodes, so Ansible must not take them for templates."""
    fleet = made_report("report_html", report)
    directory = Path(text_option("templates", templates))
    if not (directory / PAGE).is_file():
        raise AnsibleFilterError(f"templates: {str(directory)!r} does not hold {PAGE}.")
    return wrap_var(render(fleet, directory))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"report_html": report_html}

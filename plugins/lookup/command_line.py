# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the lookup command_line."""

from __future__ import annotations

DOCUMENTATION = r"""
name: command_line
short_description: The command that runs the playbook
version_added: 0.1.0
description:
  - The command with all its arguments, quoted so that it can be typed again. Values of extra
    variables whose names look like those of secrets are V(HIDDEN).
options:
  _terms:
    description: Nothing.
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: Say what was run
  ansible.builtin.debug:
    msg: "{{ lookup('bpfops.calico.command_line') }}"
"""

RETURN = r"""
_raw:
  description: The command.
  type: list
  elements: str
"""

import sys
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._rolling.command import command


class LookupModule(LookupBase):
    """What Ansible looks for."""

    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[Any]:
        """Braces in an argument are no template."""
        return [wrap_var(command(sys.argv))]

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter run_state."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_state
short_description: How far an earlier run has come on a node
version_added: 0.1.0
description:
  - Reads the file that a rolling playbook keeps on a node, and tells whether the same operation
    with the same parameters was finished, has failed, or was cut off there.
positional: _input, operation, parameters
options:
  _input:
    description: Content of the file; empty when there is none.
    type: str
    required: true
  operation:
    description: Name of the operation.
    type: str
    required: true
  parameters:
    description: What identifies a run of it.
    type: dict
    required: true
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: See whether there is anything left to do
  ansible.builtin.set_fact:
    known: "{{ content | bpfops.calico.run_state('repair_tc', {}) }}"
"""

RETURN = r"""
_value:
  description:
    - C(run), which names operation and parameters; C(earlier), V(none), V(running), V(failed) or
      V(finished); C(began), C(ended) and C(step) of the earlier run; and C(controller), who asks
      now.
  type: dict
"""

import getpass
import socket
from collections.abc import Callable
from typing import Any

from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._plain import plain, text_option
from ..plugin_utils._rolling.state import earlier, run_id


def run_state(content: Any, operation: Any, parameters: Any) -> Any:
    """Text from a node, so Ansible must not take it for a template."""
    run = run_id(text_option("operation", operation), plain(parameters))
    controller = f"{getpass.getuser()}@{socket.gethostname()}"
    return wrap_var({**earlier(text_option("content", content), run), "controller": controller})


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"run_state": run_state}

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter log_calls: whether programs call log filters as a log level asks for."""

from __future__ import annotations

DOCUMENTATION = r"""
name: log_calls
short_description: Whether a node's programs call log filters as a log level asks for
version_added: 0.1.0
description:
  - Takes a result of M(bpfops.calico.node_info) and tells what is not as the log level and its
    filters want it.
positional: level, filters
options:
  _input:
    description: Result of M(bpfops.calico.node_info).
    type: dict
    required: true
  level:
    description: Log level of eBPF mode, V(Off), V(Info) or V(Debug).
    type: str
    required: true
  filters:
    description: Filter expressions by name of an interface, or V(weps), V(heps) or V(all).
    type: dict
    default: {}
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: Fail while a program still calls a log filter
  ansible.builtin.assert:
    that: (node | bpfops.calico.log_calls('Off')).unsettled | length == 0
"""

RETURN = r"""
_value:
  description: What is not as wanted, in sentences.
  type: dict
  contains:
    unsettled:
      description: Calls that felix's next programs should not have, or that they lack.
      type: list
      elements: str
    stale:
      description: Calls of empty slots on interfaces that do not log, with level V(Debug).
      type: list
      elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._plan.log_calls import log_calls as calls
from ..plugin_utils._plain import plain


def log_calls(facts: Any, level: Any, filters: Any = None) -> Any:
    """The sentences; they hold names from nodes, which Ansible must not take for templates."""
    try:
        found = calls(plain(facts), str(level), plain(filters or {}))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"log_calls: no result of node_info: {error}.") from None
    return wrap_var({name: list(said) for name, said in found._asdict().items()})


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"log_calls": log_calls}

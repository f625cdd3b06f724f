# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter query."""

from __future__ import annotations

DOCUMENTATION = r"""
name: query
short_description: Pick from nested data with a JMESPath expression
version_added: 0.1.0
description:
  - Evaluates a L(JMESPath,https://jmespath.org) expression, such as
    V(findings[?severity=='critical'].code), on data.
requirements:
  - jmespath (Python library) on the controller
positional: _input, expression
options:
  _input:
    description: The data.
    type: raw
    required: true
  expression:
    description: The expression.
    type: str
    required: true
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: Look at the node
  bpfops.calico.node_info:
  register: node

- name: Show the maps that are more than half full
  ansible.builtin.debug:
    msg: "{{ node | bpfops.calico.query('maps[?fill > `0.5`].path') }}"
"""

RETURN = r"""
_value:
  description: What the expression gives; null where nothing fits.
  type: raw
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._plain import plain, text_option


def query(data: Any, expression: Any) -> Any:
    """Data comes from nodes, so Ansible must not take what is picked for templates."""
    wanted = text_option("expression", expression)
    try:
        import jmespath
    except ImportError:
        raise AnsibleFilterError(
            "The filter bpfops.calico.query needs the Python library jmespath on the controller; "
            "install it with the distribution's package python3-jmespath or with pip."
        ) from None
    try:
        return wrap_var(jmespath.search(wanted, plain(data)))
    except (jmespath.exceptions.JMESPathError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise AnsibleFilterError(f"expression: {wanted!r} is no JMESPath: {reason}") from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"query": query}

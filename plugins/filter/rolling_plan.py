# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter rolling_plan."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rolling_plan
short_description: In which order, how many at a time and until when nodes are worked on
version_added: 0.1.0
description:
  - Makes the keywords of a rolling play of what a user has said. Canaries go first, one after
    another.
positional: _input, limit
options:
  _input:
    description: The hosts that a pattern names.
    type: list
    elements: str
    required: true
  limit:
    description: The hosts that C(--limit) leaves.
    type: list
    elements: str
    required: true
  canary:
    description: How many hosts go first, or which; names may be a list or divided by commas.
    type: raw
    default: []
  serial:
    description: How many hosts are worked on at a time then, as the keyword C(serial) takes it.
    type: raw
    default: 1
  max_fail_percentage:
    description: What a user has said for that keyword; it is only checked.
    type: raw
    default: 0
  window_end:
    description:
      - After which no host is begun. ISO 8601, taken for the controller's local time unless it says
        otherwise, or V(HH:MM), the next time that the controller's clock shows it.
    type: str
    default: ""
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: See how three hosts would be worked on
  ansible.builtin.debug:
    msg: "{{ groups.all | bpfops.calico.rolling_plan(groups.all, canary='node3', serial='50%') }}"
"""

RETURN = r"""
_value:
  description:
    - The list of hosts C(canary), the list C(serial) with the size of each batch, C(window_end) in
      seconds since 1970 or V(0), and C(problems), a sentence for each value that cannot be meant.
  type: dict
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils._plain import plain
from ..plugin_utils._rolling.plan import GIVEN, plan


def rolling_plan(hosts: Any, limit: Any, **given: Any) -> Any:
    """Only hosts that the limit leaves can be canaries."""
    names, left = plain(hosts), plain(limit)
    if not isinstance(names, list) or not isinstance(left, list):
        raise AnsibleFilterError(f"rolling_plan: {names!r} or {left!r} is no list of hosts.")
    strange = [name for name in given if name not in GIVEN]
    if strange:
        raise AnsibleFilterError(f"rolling_plan: {', '.join(strange)} is none of {GIVEN}.")
    those = [name for name in names if name in set(left)]
    return wrap_var(plan(those, plain(given), datetime.now().astimezone()))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"rolling_plan": rolling_plan}

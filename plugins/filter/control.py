# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter control: what the role _control does through Kubernetes, decided from what it read."""

from __future__ import annotations

DOCUMENTATION = r"""
name: control
short_description: Decide what the control of felix through Kubernetes does
version_added: 0.1.0
description:
  - Internal to the roles of this collection; its questions and answers may change in any release.
  - Takes objects of the Kubernetes API as they were read, and answers a question about them, such
    as which write gives felix on a node the wanted settings. Reads and changes nothing itself.
positional: question
options:
  _input:
    description: What was read.
    type: raw
    required: true
  question:
    description: Name of the question.
    type: str
    choices:
      - concluded
      - configured
      - discover
      - facts
      - followed
      - lease
      - operating
      - permitted
      - proxy
      - pull
      - pulled
      - ready
      - release
      - rights
      - services
      - verified
    required: true
  more:
    description: What the question needs beside, by name.
    type: dict
    default: {}
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: Which API serves FelixConfiguration
  ansible.builtin.debug:
    msg: "{{ info.apis | bpfops.calico.control('discover') }}"
"""

RETURN = r"""
_value:
  description: The answer, or C(refusal) alone, one sentence that says why there is none.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._errors import BpfopsError
from ..plugin_utils._kubernetes import pull, steps
from ..plugin_utils._plain import plain

QUESTIONS: dict[str, Callable[..., Any]] = {
    "concluded": steps.concluded,
    "configured": steps.configured,
    "discover": steps.discover,
    "facts": steps.facts,
    "followed": steps.followed,
    "lease": steps.lease,
    "operating": steps.operating,
    "permitted": steps.permitted,
    "proxy": steps.proxy,
    "pull": pull.pull,
    "pulled": pull.pulled,
    "ready": steps.ready,
    "release": steps.release,
    "rights": steps.rights,
    "services": steps.services,
    "verified": steps.verified,
}


def control(read: Any, question: str, **more: Any) -> Any:
    """The answer; what was read comes from an API, so Ansible must not take it for templates."""
    if question not in QUESTIONS:
        raise AnsibleFilterError(f"control: {question!r} is none of {', '.join(QUESTIONS)}.")
    try:
        return wrap_var(plain(QUESTIONS[question](plain(read), **plain(more))))
    except BpfopsError as error:
        return {"refusal": str(error)}


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"control": control}

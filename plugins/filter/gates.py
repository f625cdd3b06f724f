# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Entry file of the filter gates."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gates
short_description: Tell whether an operation may begin on a node
version_added: 0.1.0
description:
  - Asks each gate of an operation, from a result of M(bpfops.calico.node_info), and tells which of
    them are closed, why, and what to do.
  - Decides from the tables of releases, kernels and defects alone. Nothing is asked of the node.
  - Where the release is not known well enough, a gate is closed when one of the releases that come
    into question would close it.
positional: operation
options:
  _input:
    description: A result of M(bpfops.calico.node_info), with entries counted.
    type: dict
    required: true
  operation:
    description: What is planned.
    type: dict
    required: true
    suboptions:
      name:
        description: The operation.
        type: str
        choices: [resize_conntrack, upgrade, switch_dataplane, set_log_level, repair_tc, repair_udp]
        required: true
      calico_version:
        description:
          - Release that runs on the node, such as V(v3.29.7) or V(3.29), to judge by it alone.
          - By default what the kernel shows.
        type: str
      to:
        description:
          - The release that C(upgrade) goes to, such as V(v3.31.7).
          - The dataplane that C(switch_dataplane) goes to, V(ebpf) or V(iptables).
          - The level that C(set_log_level) sets, V(Off), V(Info) or V(Debug).
        type: str
      max_entries:
        description: Wanted entries of each conntrack map, for C(resize_conntrack).
        type: int
      per_cpu:
        description:
          - felix's C(bpfMapSizePerCpuConntrack), for C(resize_conntrack).
          - By default V(0), which is felix's own.
        type: int
      families:
        description:
          - V(ipv4), V(ipv6) or both, for C(resize_conntrack); each has to have a map then.
          - By default those that there are.
        type: list
        elements: str
      api_server:
        description:
          - Address and port of the API server that felix uses once kube-proxy is off, for
            C(switch_dataplane) to V(ebpf).
        type: str
      api_answers:
        description: Whether it answered on the node.
        type: bool
      service_cidrs:
        description: Networks of Services' addresses, of which O(operation.api_server) is none.
        type: list
        elements: str
      vxlan_port:
        description:
          - felix's C(vxlanPort), for C(switch_dataplane).
          - By default V(4789).
        type: int
      restart:
        description:
          - Whether felix is about to restart, for C(switch_dataplane). Without that, what felix
            would do to other software when it starts is not asked.
          - By default V(true).
        type: bool
      filters_first:
        description:
          - Whether Calico's tc filters are detached before felix starts with eBPF mode off.
          - By default V(false).
        type: bool
      attach_type:
        description:
          - felix's C(bpfAttachType), for C(switch_dataplane) to V(ebpf).
          - By default felix's own.
        type: str
      foreign_pins:
        description:
          - Paths of pins that are not Calico's where M(bpfops.calico.node_info) does not look.
          - By default none.
        type: list
        elements: str
      install_kind:
        description: How Calico was installed, V(operator), V(manifest), V(kubespray) or V(none).
        type: str
      bpffs:
        description:
          - Where felix's bpffs has to be mounted.
          - By default V(/sys/fs/bpf).
        type: str
  overrides:
    description:
      - Options C(preflight_allow_...) of the role P(bpfops.calico.preflight#role), and whether they
        are set.
    type: dict
    default: {}
author:
  - The bpfops maintainers (@bpfops)
seealso:
  - module: bpfops.calico.node_info
"""

EXAMPLES = r"""
- name: Look at the node
  bpfops.calico.node_info:
  register: node

- name: May it go to another release
  ansible.builtin.assert:
    that: closed | length == 0
    fail_msg: "{{ closed | map(attribute='refusal') | join(' ') }}"
  vars:
    closed: >-
      {{ node | bpfops.calico.gates({'name': 'upgrade', 'to': 'v3.31.7'})
         | rejectattr('passed') }}
"""

RETURN = r"""
_value:
  description: The answer of each gate, those that are closed first.
  type: list
  elements: dict
  contains:
    operation:
      description: Name of the operation.
      type: str
    code:
      description:
        - Code of the defect that the gate keeps away; C(docs/findings) has a page for each.
      type: str
    passed:
      description: Whether the gate is open.
      type: bool
    severity:
      description:
        - V(critical) for a gate that is closed, V(warning) for one that is open and says what to
          know, V(info) for one with nothing to say.
      type: str
    says:
      description: What holds, or what is wrong, in one sentence.
      type: str
    evidence:
      description: What was seen, one sentence each.
      type: list
      elements: str
    upstream:
      description: Numbers of issues and pull requests, of projectcalico/calico unless named.
      type: list
      elements: str
    remedy:
      description: What to do; empty when there is nothing to do.
      type: str
    override:
      description: Option of the role that opens the gate when it is closed; empty when none may.
      type: str
    overridden:
      description: Whether the gate is closed and this option is set.
      type: bool
    refusal:
      description: All of it in one sentence, for a gate that is closed.
      type: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.unsafe_proxy import wrap_var

from ..module_utils._errors import BpfopsError
from ..module_utils._plan.gates import gates as answers
from ..plugin_utils._plain import plain


def gates(facts: Any, operation: Any, overrides: Any = None) -> Any:
    """The answers; facts come from nodes, so Ansible must not take them for templates."""
    given = {"facts": facts, "operation": operation, "overrides": overrides or {}}
    values = {name: plain(value) for name, value in given.items()}
    for name, value in values.items():
        if not isinstance(value, dict):
            raise AnsibleFilterError(f"{name}: {value!r} is no dictionary.")
    try:
        return wrap_var(list(answers(**values)))
    except BpfopsError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"gates": gates}

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter felix_file: what a configuration file of felix says about some fields."""

from __future__ import annotations

DOCUMENTATION = r"""
name: felix_file
short_description: Read fields of FelixConfiguration from felix's configuration file
version_added: 0.1.0
description:
  - Takes the text of a C(felix.cfg) and names of FelixConfiguration fields, and tells for each
    field how the file calls it and what it is set to.
  - The names in the file differ from those of the fields, as in C(BPFMapSizePerCPUConntrack) for
    C(bpfMapSizePerCpuConntrack). felix does not mind their case.
positional: fields
options:
  _input:
    description: Text of the file.
    type: str
    required: true
  fields:
    description: Names of FelixConfiguration fields, as in C(bpfMapSizeConntrack).
    type: list
    elements: str
    required: true
author:
  - The bpfops maintainers (@bpfops)
"""

EXAMPLES = r"""
- name: Which conntrack size does the file ask for
  ansible.builtin.debug:
    msg: "{{ text | bpfops.calico.felix_file(['bpfMapSizeConntrack']) | first }}"
"""

RETURN = r"""
_value:
  description:
    - For each field in the order given its C(field), the C(option) of the file, and its C(value) as
      text, which is null when the file does not set it.
  type: list
  elements: dict
"""

import configparser
from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils._calico.felix_config import option_name


def felix_file(text: str, fields: Iterable[str]) -> list[dict[str, Any]]:
    """The fields with their names and values in the file."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        reason = str(error).splitlines()[0]
        raise AnsibleFilterError(f"felix_file: the text is no felix.cfg: {reason}") from None
    said = dict(parser["global"]) if parser.has_section("global") else {}
    names = [(field, option_name(field)) for field in fields]
    return [
        {"field": field, "option": option, "value": said.get(option.lower())}
        for field, option in names
    ]


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"felix_file": felix_file}

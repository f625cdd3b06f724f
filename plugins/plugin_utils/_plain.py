# SPDX-License-Identifier: GPL-3.0-or-later
"""Values out of Ansible's variables, without what Ansible adds to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def plain(value: Any) -> Any:
    """A copy of ``value`` made of dict, list, str, int, float, bool and None alone.

    Ansible's own subclasses of these (unsafe, tagged, lazy) confuse libraries that ask for the
    exact type. Anything else, such as a date that YAML read, becomes its text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {plain_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    return str(value)


def plain_key(key: Any) -> str:
    """The key as JSON would write it."""
    return str.__str__(key) if isinstance(key, str) else str(key)


def text_option(name: str, value: Any) -> str:
    """An option of a filter that has to be text. Raises AnsibleFilterError."""
    if not isinstance(value, str):
        raise AnsibleFilterError(f"{name}: {value!r} is no text.")
    return str.__str__(value)

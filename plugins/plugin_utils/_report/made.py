# SPDX-License-Identifier: GPL-3.0-or-later
"""A report that comes back as the input of a filter."""

from __future__ import annotations

import json
from typing import Any

from ansible.errors import AnsibleFilterError

from .._plain import plain
from .model import FORMAT, VERSION


def made_report(by: str, given: Any) -> dict[str, Any]:
    """A report of this version, plain; ``given`` is one, or its JSON. Raises AnsibleFilterError."""
    try:
        found = json.loads(given) if isinstance(given, str) else plain(given)
    except ValueError:
        found = None
    made = (found.get("format"), found.get("version")) if isinstance(found, dict) else ()
    if made != (FORMAT, VERSION):
        raise AnsibleFilterError(f"{by}: this is no {FORMAT} of version {VERSION}.")
    return dict(found)

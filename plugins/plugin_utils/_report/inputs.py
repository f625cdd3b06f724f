# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles leave in the fact ``calico_report``, checked for its shape."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError

NOT_REACHED = "not_reached"
NOT_STARTED = "not_started"
UNFINISHED = "unfinished"
RESULTS = ("failed", UNFINISHED, "refused", NOT_REACHED, NOT_STARTED, "changed", "ok")
"""What can become of a node, the worst first."""

_SHAPES: dict[str, type] = {
    "before": dict,
    "snapshot": dict,
    "conntrack": dict,
    "gates": list,
    "steps": list,
    "waits": list,
    "result": str,
    "details": dict,
}
_WORDS: dict[type, str] = {dict: "a dictionary", list: "a list", str: "text"}


def checked(node: str, left: Any) -> dict[str, Any]:
    """The fact of one node, complete; a node without it was not reached.

    Raises AnsibleFilterError, which names node and key, for a value of another shape.
    """
    if not left:
        left = {}
    if not isinstance(left, dict):
        raise AnsibleFilterError(f"calico_report of {node}: {left!r} is no dictionary.")
    for key, shape in _SHAPES.items():
        value = left.get(key)
        if value is not None and not isinstance(value, shape):
            raise AnsibleFilterError(
                f"calico_report of {node}: {key} is {value!r}; it has to be {_WORDS[shape]}."
            )
    for key in ("gates", "steps", "waits"):
        _require_records(node, key, left.get(key) or [])
    return {
        "result": left.get("result") or (NOT_REACHED if not left else "ok"),
        "before": left.get("before") or None,
        "snapshot": left.get("snapshot") or None,
        "conntrack": left.get("conntrack") or None,
        "gates": left.get("gates") or [],
        "steps": left.get("steps") or [],
        "waits": left.get("waits") or [],
        "details": left.get("details") or {},
    }


def _require_records(node: str, key: str, records: list[Any]) -> None:
    for record in records:
        if not isinstance(record, dict):
            raise AnsibleFilterError(
                f"calico_report of {node}: {key} holds {record!r}; it has to hold dictionaries."
            )

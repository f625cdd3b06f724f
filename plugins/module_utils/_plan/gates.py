# SPDX-License-Identifier: GPL-3.0-or-later
"""May an operation begin on a node: each gate of the table is asked, and says why not.

Pure functions over the facts of node_info, so that the controller can decide for all nodes.
"""

from __future__ import annotations

from typing import Any, Mapping

from .._calico.defects import defect
from .._calico.gates import OVERRIDES, gates_of
from .._calico.tables.gate_row import Gate
from .._errors import BadInputError
from . import gates_conntrack, gates_node, gates_release, gates_switch
from .gates_input import CLOSED, NOTE, OPEN, Answer, Rule, asked
from .gates_operation import operation_of

RULES: dict[str, Rule] = {
    **gates_conntrack.RULES,
    **gates_node.RULES,
    **gates_release.RULES,
    **gates_switch.RULES,
}

NEEDED = (
    "bpffs_mounts",
    "cgroup_roots",
    "connect_time",
    "conntrack_size_file",
    "findings",
    "interfaces",
    "interfaces_known",
    "kernel",
    "kube_proxy_ipvs",
    "maps",
    "pins",
    "release",
    "release_range",
    "udp_ports",
    "vxlan_devices",
)
"""What rules read of a result of node_info."""

_SEVERITIES = {OPEN: "info", NOTE: "warning", CLOSED: "critical"}


def gates(
    facts: Mapping[str, Any], operation: Mapping[str, Any], overrides: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
    """The answer of each gate of ``operation``, those that are closed first.

    ``facts`` is a result of node_info, ``overrides`` the options of the role preflight that are
    set. Raises BadInputError.
    """
    _check(facts, overrides)
    task = operation_of(operation)
    asking = asked(facts, task)
    told = [
        _told(gate, RULES[gate.rule](asking, gate), task.name, overrides)
        for gate in gates_of(task.name)
    ]
    order = ("critical", "warning", "info")
    return tuple(sorted(told, key=lambda one: order.index(one["severity"])))


def _check(facts: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    for key in NEEDED:
        if key not in facts:
            raise BadInputError("facts", key, "is missing; they have to be a result of node_info")
    for name, value in overrides.items():
        if name not in OVERRIDES:
            raise BadInputError("overrides", name, f"is none of {', '.join(OVERRIDES)}")
        if not isinstance(value, bool):
            raise BadInputError(name, value, "is neither true nor false")


def _told(
    gate: Gate, answer: Answer, operation: str, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    row = defect(gate.code)
    closed = answer.outcome == CLOSED
    says = answer.says or (gate.asks if answer.outcome == OPEN else row.title)
    told = {
        "operation": operation,
        "code": gate.code,
        "passed": not closed,
        "severity": _SEVERITIES[answer.outcome],
        "says": says,
        "evidence": list(answer.evidence),
        "upstream": list(answer.upstream or row.upstream),
        "remedy": "" if answer.outcome == OPEN else answer.remedy or row.advice,
        "override": gate.override,
        "overridden": closed and bool(gate.override and overrides.get(gate.override)),
    }
    return {**told, "refusal": _refusal(told) if closed else ""}


def _refusal(told: Mapping[str, Any]) -> str:
    """One sentence: the code, the numbers upstream, what is wrong, and what to do."""
    numbers = f" ({', '.join(told['upstream'])})" if told["upstream"] else ""
    parts = [told["says"], *told["evidence"], told["remedy"]]
    if told["override"]:
        parts.append(f"or set {told['override']} to true.")
    text = "; ".join(_clause(part) for part in parts)
    return f"{told['operation']} is refused by {told['code']}{numbers}: {text}."


def _clause(sentence: str) -> str:
    """A sentence as a part of a longer one."""
    text = sentence.rstrip(".")
    return text if text.startswith("Calico") else text[:1].lower() + text[1:]

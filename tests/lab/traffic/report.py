# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds up what the workers report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

Endpoint = tuple[int, int]
TCP = (
    "flows",
    "opened",
    "alive",
    "stalled",
    "died",
    "talking",
    "messages",
    "longest_stall_ms",
    "segments_retransmitted",
)
UDP = ("flows", "talking", "sent", "received", "lost", "waiting")
DENIED = ("flows", "probed", "sent", "through")


def summary(
    planned: Mapping[str, Iterable[tuple[int, Endpoint]]],
    answers: dict[Endpoint, dict[str, Any] | None],
    seconds: float,
) -> dict[str, Any]:
    """Figures by node of origin and in total, why flows ended, and echoes by flow."""
    nodes = {f"node{index}": _empty() for index, _ in answers}
    total, dead, echoes = _empty(), [], {}
    arrived = _arrived(answers)
    for number, source in planned["denied"]:
        flow = _find(answers[source], "denied", number)
        for figures in (nodes[f"node{source[0]}"], total):
            _add_denied(
                figures["denied"], flow, arrived["probed"][number], arrived["through"][number]
            )
    for kind, add in (("tcp", _add_tcp), ("udp", _add_udp)):
        for number, source in planned[kind]:
            flow = _find(answers[source], kind, number)
            echoes[f"{kind}{number}"] = _echoes(flow)
            if reason := _death(flow):
                dead.append({"flow": f"{kind}{number}", "reason": reason})
            for figures in (nodes[f"node{source[0]}"], total):
                add(figures[kind], flow)
    for (index, _), answer in answers.items():
        again = answer["served_retransmitted"] if answer else 0
        nodes[f"node{index}"]["tcp"]["segments_retransmitted"] += again
        total["tcp"]["segments_retransmitted"] += again
    return {
        "seconds": round(seconds, 1),
        "nodes": nodes,
        "total": total,
        "dead": dead,
        "echoes": echoes,
        "through": {f"denied{number}": count for number, count in arrived["through"].items()},
    }


def _empty() -> dict[str, dict[str, int]]:
    names = {"tcp": TCP, "udp": UDP, "denied": DENIED}
    return {kind: dict.fromkeys(of_kind, 0) for kind, of_kind in names.items()}


def _arrived(answers: dict[Endpoint, dict[str, Any] | None]) -> dict[str, Counter[int]]:
    """Datagrams of denied flows by number, before the policy and under it, at all pods."""
    found: dict[str, Counter[int]] = {"probed": Counter(), "through": Counter()}
    for answer in filter(None, answers.values()):
        for kind, counted in found.items():
            counted.update({int(number): count for number, count in answer[kind].items()})
    return found


def _find(answer: dict[str, Any] | None, kind: str, number: int) -> dict[str, Any] | None:
    flows = answer[kind] if answer else []
    return next((flow for flow in flows if flow["flow"] == number), None)


def _death(flow: dict[str, Any] | None) -> str:
    return "its process is gone" if flow is None else str(flow.get("death", ""))


def _echoes(flow: dict[str, Any] | None) -> int:
    return int(flow.get("messages", flow.get("received", 0))) if flow else 0


def _add_tcp(figures: dict[str, int], flow: dict[str, Any] | None) -> None:
    figures["flows"] += 1
    if flow is None:
        figures["died"] += 1
        return
    figures["opened"] += flow["opened"]
    figures["died"] += bool(flow["death"])
    figures["stalled"] += flow["stalled"]
    figures["alive"] += flow["opened"] and not flow["death"] and not flow["stalled"]
    figures["talking"] += flow["messages"] > 0
    figures["messages"] += flow["messages"]
    figures["longest_stall_ms"] = max(figures["longest_stall_ms"], flow["longest_stall_ms"])
    figures["segments_retransmitted"] += flow["retransmitted"]


def _add_udp(figures: dict[str, int], flow: dict[str, Any] | None) -> None:
    figures["flows"] += 1
    if flow is None:
        return
    figures["talking"] += flow["received"] > 0
    for name in ("sent", "received", "lost", "waiting"):
        figures[name] += flow[name]


def _add_denied(
    figures: dict[str, int], flow: dict[str, Any] | None, probed: int, through: int
) -> None:
    figures["flows"] += 1
    figures["probed"] += probed > 0
    figures["sent"] += flow["sent"] if flow else 0
    figures["through"] += through

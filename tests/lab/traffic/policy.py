# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy that the pods' programs enforce: each pod has one peer that is denied.

The pod may not send to that peer, which its program at tc ingress sees to, and the peer may not
send to it, which the one at tc egress does. Of each pair of addresses only one node denies, so
that no other program stops what gets through a gap there. Other pods are allowed peers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.lab.errors import LabError
from tests.lab.node import Node
from tests.lab.settings import Settings, pod_address

PIN = "/sys/fs/bpf/lab_agent/lab_denied"
Endpoint = tuple[int, int]


def denied_pairs(places: list[list[Endpoint]]) -> Iterator[tuple[int, Endpoint, Endpoint]]:
    """The node that denies, source and target. ``places``: the pods of each node.

    Flows that are allowed go between pods of different numbers, denied ones between equal ones.
    Raises LabError when there are too few.
    """
    if len(places) < 3 or len({len(pods) for pods in places}) > 1 or len(places[0]) < 2:
        raise LabError("--policy needs three nodes with the same number of pods, two at least.")
    for at, pods in enumerate(places):
        for pod, peer in zip(pods, places[(at + 1) % len(places)], strict=True):
            yield pod[0], pod, peer
            yield pod[0], peer, pod


def enforce(settings: Settings, pairs: Iterable[tuple[int, Endpoint, Endpoint]]) -> None:
    """Have each node deny its pairs."""
    _each_node(settings, pairs, "update", " value 1")


def lift(settings: Settings, pairs: Iterable[tuple[int, Endpoint, Endpoint]]) -> None:
    """Have no node deny them any more."""
    _each_node(settings, pairs, "delete", "")


def _each_node(
    settings: Settings, pairs: Iterable[tuple[int, Endpoint, Endpoint]], action: str, value: str
) -> None:
    lines: dict[int, list[str]] = {}
    for index, source, target in pairs:
        key = (pod_address(*source).packed + pod_address(*target).packed).hex(" ")
        line = f"map {action} pinned {PIN} key hex {key}{value}"
        lines.setdefault(index, []).append(line)
    for index, batch in lines.items():
        Node(settings, index).run("bpftool", "batch", "file", "-", stdin="\n".join(batch) + "\n")

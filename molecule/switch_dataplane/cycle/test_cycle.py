# SPDX-License-Identifier: GPL-3.0-or-later
"""A full cycle ends where it began, without a trace of eBPF mode in between."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from testinfra.host import Host

from tests.observe import switched


@pytest.fixture
def node(host: Host) -> Host:
    """A node that has gone through it."""
    if switched.name(host) not in ("node1", "node4", "node6"):
        pytest.skip("this node has stayed in iptables mode")
    return host


def shapes(found: switched.Objects) -> dict[str, Counter[str]]:
    """The lines without the numbers that each start gives anew."""
    return {
        kind: Counter(re.sub(r"\b\d{3,}\b", "#", line) for line in lines)
        for kind, lines in found.items()
    }


def test_nothing_was_left_in_between(node: Host) -> None:
    found = switched.kept(node, "off")
    assert switched.calicos(found) == []
    left = switched.kept(node, "neighbours_left")
    assert {kind: sorted(lines) for kind, lines in found.items()} == {
        kind: sorted(lines) for kind, lines in left.items()
    }


def test_it_ends_where_it_began(node: Host) -> None:
    first, last = switched.kept(node, "first"), switched.now(node)
    assert switched.calicos(first)
    assert shapes(last) == shapes(first)


def test_neighbours_are_there_in_ebpf_mode(node: Host) -> None:
    left = switched.kept(node, "neighbours_left")
    for found in (switched.kept(node, "first"), switched.now(node)):
        for kind in switched.KINDS:
            assert Counter(left[kind]) <= Counter(found[kind]), kind


def test_kube_proxy_was_there_before_felix_left_ebpf_mode(node: Host) -> None:
    # To eBPF, to iptables, to eBPF.
    expected = ["stop", "felix", "start", "felix", "stop", "felix"]
    assert node.check_output("cat /run/order").split() == expected

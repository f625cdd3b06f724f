# SPDX-License-Identifier: GPL-3.0-or-later
"""What conntrack_entry refuses, in one sentence and before anything is deleted."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import parse_release
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.module_utils._observe.conntrack_entry import (
    finder_for,
)
from ansible_collections.bpfops.calico.plugins.module_utils._plan.conntrack_entry import task
from tests.kernel.entry_node import EntryNode, Flow
from tests.kernel.flows import UDP

SERVICE, BACKEND, CLIENT = ("10.96.0.1", 443), ("10.65.0.5", 8443), ("10.65.0.4", 3000)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "Nothing is selected, which would mean every entry"),
        ({"families": ["ipv4"]}, "Nothing is selected"),
        ({"stale_udp": False, "expired": False, "services": []}, "Nothing is selected"),
        ({"protocol": "tcpp"}, "protocol: 'tcpp' is neither a number"),
        ({"protocol": "icmp", "port": "5"}, "port: '5' goes with tcp and udp, and icmp has no"),
        ({"protocol": "132", "destination_port": "5"}, "destination_port: '5' goes with tcp and"),
        ({"protocol": "gre", "source_port": "5"}, "source_port: '5' goes with tcp and udp"),
        ({"port": "0"}, "port: '0' is no port from 1 to 65535"),
        ({"port": "65536"}, "port: '65536' is no port"),
        ({"source_port": "20-10"}, "source_port: '20-10' is no port"),
        ({"destination_port": "http"}, "destination_port: 'http' is no port"),
        ({"address": "10.0.0.300"}, "address: '10.0.0.300' is no IPv4 or IPv6 address or prefix"),
        ({"source": "10.0.0.1/24"}, "source: '10.0.0.1/24' has bits set beyond the length"),
        ({"destination": "10.0.0.0/33"}, "destination: '10.0.0.0/33' is no IPv4"),
        ({"source": "10.0.0.1", "destination": "fd00::1"}, "destination: 'fd00::1' is ipv6, and"),
        ({"families": ["ipv6"], "address": "10.0.0.0/8"}, "address: '10.0.0.0/8' is ipv4, which"),
        ({"services": ["10.96.0.300:53"]}, "services: '10.96.0.300:53' is no address"),
        ({"services": ["10.96.0.1:0"]}, "services: '0' is no port"),
        ({"services": ["fd00::1"], "source": "10.0.0.1"}, "has no Service of ipv4, which"),
        ({"flags": ["nat-in"]}, "flags: 'nat-in' is not one of nat-out, fwd-dsr"),
        ({"idle_longer_than": 0}, "idle_longer_than: 0 is not"),
        ({"ifindex": 0}, "ifindex: 0 is not"),
        ({"tcp_states": ["RST"], "protocol": "udp"}, "contradict each other: tcp_states goes"),
        ({"tcp_states": ["RST"], "stale_udp": True}, "contradict each other: tcp_states goes"),
        ({"stale_udp": True, "stale_nat": True}, "contradict each other: stale_udp selects"),
        ({"stale_udp": True, "protocol": "tcp"}, "contradict each other: stale_udp goes with"),
        ({"stale_udp": True, "types": ["NAT_FWD"]}, "contradict each other: stale_udp selects"),
        ({"stale_nat": True, "types": ["NORMAL"]}, "contradict each other: stale_nat selects"),
        ({"protocol": "udp", "max_deletions": 0}, "max_deletions: 0 is not"),
        ({"protocol": "udp", "calico_version": "three"}, "calico_version: 'three' is not"),
        ({"protocol": "udp", "pin_dir": "relative"}, "pin_dir: 'relative' is relative"),
        ({"protocol": "udp", "pin_dir": "/proc"}, "pin_dir: '/proc' is not on a bpffs"),
        ({"protocol": "udp", "lock_timeout": -1.0}, "lock_timeout: -1.0 is not"),
        ({"expired": True, "calico_version": None}, "expired: Calico 3.26 to 3.30 judge the life"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input(pins: Path, params: dict[str, Any], expected: str, check: bool) -> None:
    node = EntryNode(pins)
    node.connect(CLIENT, SERVICE, BACKEND)
    node.put(Flow(UDP, CLIENT, ("10.65.9.9", 53), idle=100))
    before = node.dump()
    with pytest.raises(errors.BpfopsError) as caught:
        node.run(check=check, **params)
    message = caught.value.as_failure()["msg"]
    assert expected in message
    assert message.endswith(".") and "\n" not in message
    assert node.dump() == before


@pytest.mark.parametrize(("allowed", "refused"), [(1, True), (2, False)])
def test_too_many_deletions(pins: Path, allowed: int, refused: bool) -> None:
    """Other halves count."""
    node = EntryNode(pins)
    node.connect(CLIENT, SERVICE, BACKEND)
    before = node.dump()
    if not refused:
        assert len(node.gone(types=["NAT_FWD"], max_deletions=allowed)) == 2
        return
    with pytest.raises(errors.RefusedError, match=r"max_deletions: 2 entries match.*most 1 may go"):
        node.run(types=["NAT_FWD"], max_deletions=allowed)
    assert node.dump() == before


def test_a_selector_that_is_far_too_wide(pins: Path) -> None:
    node = EntryNode(pins)
    for port in range(1, 101):
        node.put(Flow(UDP, ("10.65.0.1", port), ("10.65.9.9", 53)))
    before = node.dump()
    for check in (True, False):
        with pytest.raises(errors.RefusedError, match="max_deletions: 100 entries match"):
            node.run(check=check, protocol="udp", max_deletions=10)
    assert node.dump() == before
    assert len(node.gone(protocol="udp", max_deletions=100)) == 100


def test_a_search_keeps_no_more_than_may_go(pins: Path) -> None:
    """Memory does not grow with what a selector that is too wide matches."""
    node = EntryNode(pins)
    for port in range(1, 101):
        node.put(Flow(UDP, ("10.65.0.1", port), ("10.65.9.9", 53)))
    wanted = task({**node.params(), "protocol": "udp", "max_deletions": 10})
    kept: list[int] = []
    with Map.open(str(pins / node.name)) as opened, ExitStack() as stack:
        finder = finder_for(wanted, parse_release("3.29.7"), opened, stack)
        for limit in (10, 99, 100):
            groups, matched = finder.found(limit)
            assert matched == 100
            kept.append(len(groups))
            assert len(finder._all(limit)[0]) <= limit + 1
    assert kept == [0, 0, 100]


def test_a_map_of_another_layout_or_version(pins: Path) -> None:
    node = EntryNode(pins)
    node.put(Flow(UDP, ("10.65.0.1", 4000), ("10.65.9.9", 53)))
    node.make_other("cali_v6_ct3", 40, 96)
    with pytest.raises(errors.RefusedError, match="40 and values of 96 bytes has no known layout"):
        node.run(protocol="udp")
    assert len(node.dump()) == 1

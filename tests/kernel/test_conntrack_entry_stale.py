# SPDX-License-Identifier: GPL-3.0-or-later
"""What conntrack_entry takes for stale, by NAT and route maps as felix writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from tests.kernel.entry_node import WILDCARD, EntryNode, Flow
from tests.kernel.flows import NAT_FWD, NAT_REV, TCP, UDP

THIS_HOST, OTHER_HOST, LOCAL_POD, REMOTE_POD = 0x18, 0x10, 0xC, 0x4
ADDRESSES = {
    4: ("10.65.0.9", "10.96.0.1", "192.0.2.1"),
    6: ("fd00:65::9", "fd00:96::1", "2001:db8::1"),
}


class Scene:
    """A node of one family, a client, a Service's address and that of the node."""

    def __init__(self, pins: Path, family: int) -> None:
        self.node = EntryNode(pins, f"cali_v{family}_ct3")
        client, self.service, self.host = ADDRESSES[family]
        self.client = (client, 40000)
        self.family = family

    def flow(self, target: str, port: int = 53, **fields: Any) -> bytes:
        return self.node.put(Flow(UDP, self.client, (target, port), **fields))

    def frontend(self, address: str, port: int = 53, **fields: Any) -> None:
        self.node.frontend((address, port), **fields)

    def prefix(self, bits: tuple[int, int], address: str = "") -> str:
        return f"{address or self.client[0]}/{bits[self.family == 6]}"


@pytest.fixture(params=[4, 6])
def scene(request: pytest.FixtureRequest, pins: Path) -> Scene:
    return Scene(pins, request.param)


def test_a_flow_to_a_service_goes_and_no_other(scene: Scene) -> None:
    scene.frontend(scene.service)
    scene.frontend(scene.service, 54, protocol=TCP)
    stuck = scene.flow(scene.service)
    scene.flow(scene.service, 54)  # another port
    scene.flow(scene.service, 55)
    scene.flow(scene.host)  # another address
    scene.node.put(Flow(UDP, (scene.service, 53), (scene.client[0], 40001)))  # begun by the Service
    scene.node.put(Flow(TCP, scene.client, (scene.service, 53)))
    scene.node.connect((scene.client[0], 40002), (scene.service, 53), (scene.host, 5353), UDP)
    assert scene.node.gone(stale_udp=True) == {stuck}


@pytest.mark.parametrize("kind", [NAT_FWD, NAT_REV])
def test_entries_with_nat_are_no_stuck_flows(scene: Scene, kind: int) -> None:
    scene.frontend(scene.service)
    scene.flow(scene.service, kind=kind)
    assert scene.node.gone(stale_udp=True) == set()


@pytest.mark.parametrize(
    ("fields", "stale"),
    [
        ({"backends": 3}, True),
        ({"backends": 0}, False),
        ({"backends": 0xFFFFFFFF}, False),  # dropped
        ({"flags": 0x4}, False),  # excluded from NAT
        ({"flags": 0x3}, True),  # traffic policies Local
    ],
)
def test_frontends_that_lead_on(scene: Scene, fields: dict[str, int], stale: bool) -> None:
    scene.frontend(scene.service, **fields)
    key = scene.flow(scene.service)
    assert scene.node.gone(stale_udp=True) == ({key} if stale else set())


def test_the_rule_for_the_clients_range_counts(scene: Scene) -> None:
    """A load balancer with source ranges: the base entry drops."""
    scene.frontend(scene.service, backends=0xFFFFFFFF)
    key = scene.flow(scene.service)
    assert scene.node.gone(stale_udp=True) == set()
    other = {4: "10.66.0.0/16", 6: "fd00:66::/32"}[scene.family]
    scene.frontend(scene.service, source=other)
    assert scene.node.gone(stale_udp=True) == set()
    own = {4: "10.65.0.0/16", 6: "fd00:65::/32"}[scene.family]
    scene.frontend(scene.service, source=own)
    assert scene.node.gone(stale_udp=True) == {key}


def test_a_range_that_drops_within_one_that_leads_on(scene: Scene) -> None:
    scene.frontend(scene.service)
    own = {4: "10.65.0.0/16", 6: "fd00:65::/32"}[scene.family]
    scene.frontend(scene.service, source=own, backends=0xFFFFFFFF)
    scene.flow(scene.service)
    assert scene.node.gone(stale_udp=True) == set()


@pytest.mark.parametrize(
    ("flags", "stale"),
    [(THIS_HOST, True), (0x58, True), (OTHER_HOST, False), (LOCAL_POD, False), (REMOTE_POD, False)],
)
def test_node_ports_of_this_host(scene: Scene, flags: int, stale: bool) -> None:
    scene.frontend(WILDCARD[scene.family], 30053)
    key = scene.flow(scene.host, 30053)
    scene.flow(scene.host, 30054)
    scene.flow(scene.service, 30053)  # of no known place
    assert scene.node.gone(stale_udp=True) == set()
    scene.node.route(scene.prefix((16, 32), {4: "192.0.0.0", 6: "2001:db8::"}[scene.family]), 0x1)
    assert scene.node.gone(stale_udp=True) == set()
    scene.node.route(scene.prefix((32, 128), scene.host), flags)
    assert scene.node.gone(stale_udp=True) == ({key} if stale else set())


def test_an_entry_for_the_address_itself_is_met_before_the_wildcard(scene: Scene) -> None:
    scene.frontend(WILDCARD[scene.family], 30053)
    scene.frontend(scene.host, 30053, backends=0xFFFFFFFF)
    scene.node.route(scene.prefix((32, 128), scene.host), THIS_HOST)
    scene.flow(scene.host, 30053)
    assert scene.node.gone(stale_udp=True) == set()


def test_other_selectors_narrow_it(scene: Scene) -> None:
    scene.frontend(scene.service)
    scene.frontend(scene.host)
    one, other = scene.flow(scene.service), scene.flow(scene.host)
    old = scene.node.put(Flow(UDP, (scene.client[0], 4), (scene.host, 53), idle=90))
    assert scene.node.gone(stale_udp=True, services=[scene.service]) == {one}
    assert scene.node.gone(stale_udp=True, source_port="4", idle_longer_than=80) == {old}
    assert scene.node.gone(stale_udp=True, protocol="17", types=["NORMAL"]) == {other}


def test_the_finding(scene: Scene) -> None:
    scene.frontend(scene.service)
    scene.flow(scene.service)
    (found,) = scene.node.run(check=True, stale_udp=True).findings
    name = f"[{scene.service}]" if scene.family == 6 else scene.service
    assert (found["code"], found["object"]) == ("UDP_STALE", f"{name}:53")
    assert "1 UDP flows bypass it in" in found["evidence"][0]
    result = scene.node.run(check=True, stale_udp=True, calico_version="3.30.7")
    assert result.actions and result.findings == ()  # such a release mends it itself


@pytest.mark.parametrize("name", ["nat_fe3", "routes"])
def test_without_a_map_that_it_takes(scene: Scene, name: str) -> None:
    scene.frontend(scene.service)
    key = scene.flow(scene.service)
    pin = scene.node.pins / f"cali_v{scene.family}_{name}"
    pin.unlink()
    for check in (True, False):
        with pytest.raises(errors.RefusedError, match=f"Without a map at {pin} nothing tells"):
            scene.node.run(check=check, stale_udp=True)
    assert set(scene.node.dump()) == {key}
    assert scene.node.gone(port="53") == {key}


@pytest.mark.parametrize(("name", "role"), [("nat_fe3", "udp"), ("nat_be", "nat")])
def test_a_nat_map_of_unknown_layout(scene: Scene, name: str, role: str) -> None:
    key = scene.flow(scene.service)
    pin = scene.node.pins / f"cali_v{scene.family}_{name}"
    pin.unlink()
    scene.node.make_other(pin.name, 12, 20)
    for check in (True, False):
        with pytest.raises(errors.RefusedError, match="has keys of 12 and values of 20 bytes"):
            scene.node.run(check=check, **{f"stale_{role}": True})
    assert scene.node.gone(port="53") == {key}


def backends(scene: Scene, *ends: tuple[str, int], **fields: Any) -> None:
    """The Service at port 53 with these backends."""
    scene.frontend(scene.service, backends=len(ends), protocol=TCP, number=7, **fields)
    for ordinal, end in enumerate(ends):
        scene.node.backend(7, ordinal, end)


def connections(scene: Scene) -> tuple[set[bytes], set[bytes]]:
    """Two connections to two backends, and a flow without NAT."""
    client, service = scene.client[0], (scene.service, 53)
    scene.node.put(Flow(TCP, (client, 3), service))
    return (
        set(scene.node.connect((client, 1), service, (scene.host, 5301))),
        set(scene.node.connect((client, 2), service, (scene.host, 5302))),
    )


def test_connections_to_backends_that_are_gone(scene: Scene) -> None:
    one, other = connections(scene)
    backends(scene, (scene.host, 5302), (scene.host, 5301))
    assert scene.node.gone(stale_nat=True) == set()
    backends(scene, (scene.host, 5302))
    assert scene.node.gone(stale_nat=True, idle_longer_than=100) == set()
    assert (
        scene.node.gone(stale_nat=True) == one
    )  # the second ordinal is left, and beyond the count
    scene.frontend(scene.service, backends=0, protocol=TCP, number=7)
    scene.frontend(scene.host, backends=1, protocol=TCP, number=8)  # felix knows some Service
    assert scene.node.gone(stale_nat=True) == other


def test_a_connection_to_a_node_port(scene: Scene) -> None:
    keys = set(scene.node.connect(scene.client, (scene.host, 30053), (scene.service, 5301)))
    scene.node.frontend((WILDCARD[scene.family], 30053), protocol=TCP, number=3)
    scene.node.backend(3, 0, (scene.service, 5301))
    assert scene.node.gone(stale_nat=True) == set()
    scene.node.frontend((WILDCARD[scene.family], 30053), protocol=UDP, number=3)
    scene.node.frontend((WILDCARD[scene.family], 30053), backends=0, protocol=TCP, number=3)
    assert scene.node.gone(stale_nat=True) == keys


def test_a_forward_entry_whose_sides_nothing_tells(scene: Scene) -> None:
    """As of a program on the host, whose address changed as well: its NAT_REV entry tells."""
    backends(scene, (scene.host, 5301))
    service, target = (scene.service, 53), (scene.host, 5301)
    forward, reverse = scene.node.connect((scene.client[0], 9), service, target)
    moved = scene.node.put(Flow(TCP, (scene.host, 9), target, NAT_REV, service=service))
    raw = bytearray(scene.node.dump()[forward])
    raw[24 : 24 + len(moved)] = moved
    scene.node.put_raw(forward, bytes(raw))
    assert scene.node.gone(stale_nat=True) == set()
    # No NAT_REV entry any more, though the Service's address still stands in it.
    scene.node.put_raw(
        moved, bytes([*scene.node.dump()[moved][:16], 0]) + scene.node.dump()[moved][17:]
    )
    assert scene.node.gone(stale_nat=True) == {forward}
    assert reverse in scene.node.dump()


def test_nat_maps_that_felix_has_not_filled_yet(scene: Scene) -> None:
    connections(scene)
    before = scene.node.dump()
    with pytest.raises(errors.RefusedError, match="has no Service with backends, as before felix"):
        scene.node.run(stale_nat=True)
    assert scene.node.dump() == before

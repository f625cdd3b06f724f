# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that repair and change a setting, on a cluster of each install kind, under traffic.

upgrade and switch_dataplane have files of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration import udp_flows
from tests.integration.kube import needs_kubectl
from tests.integration.kubernetes_site import Site, cluster, flows_go_on, wait
from tests.integration.resizing import traffic_is_alive
from tests.lab.harness import agent, filters, in_node, lab
from tests.lab.settings import pod_address

pytestmark = [pytest.mark.lab, pytest.mark.long, needs_kubectl]

NODES = ("node1", "node2")
RELEASE = "3.29.7"
ADDRESS = "192.0.2.9"
DNS = {
    "protocol": "udp",
    "port": 53,
    "addresses": [ADDRESS],
    "backends": [f"{pod_address(1, 2)}:5353"],
}
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"namespace": "default", "name": "names"},
    "spec": {"ports": [{"port": 53, "protocol": "UDP"}], "externalIPs": [ADDRESS]},
}
CHOSEN: dict[str, Any] = {
    "calico_maintenance": "repair_tc,resize_conntrack,set_log_level",
    "calico_bpf_log_level": "Debug",
    "calico_conntrack_max_entries": 70_000,
}


@pytest.fixture(scope="module", params=["manifest", "operator"])
def site(
    request: pytest.FixtureRequest, kube_programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    assert kube_programs
    shape = ("--nodes", str(len(NODES)), "--pods", "3", "--size", "60000", "--services")
    with cluster(tmp_path_factory, request.param, RELEASE, *shape) as made:
        lab("traffic", "start", "--tcp", "8", "--udp", "4", "--interval", "0.1")
        yield made


def preferences(node: str) -> set[tuple[int, str]]:
    """Preference and handle of all filters at workloads, one for each hook."""
    assert {len(found) for found in filters(node).values()} == {1}
    return {found[0][:2] for found in filters(node).values()}


def configured(node: str) -> str:
    return in_node(node, "cat", "/etc/calico/felix.cfg")


def test_filters_that_differ_are_alike_again(site: Site) -> None:
    lines = "\ndefects = drifted_preference"
    in_node("node1", "sh", "-c", f"echo '{lines}' >>/etc/calico/lab-agent.cfg")
    in_node("node1", "lab-agent", "restart")
    in_node("node1", "sed", "-i", "/^defects/d", "/etc/calico/lab-agent.cfg")
    in_node("node1", "lab-agent", "restart")
    assert len(preferences("node1")) == 2
    wait(lambda: not agent("node1")["ready"], "felix to find them")
    before = site.who(NODES)
    site.play("repair_tc")
    assert len(preferences("node1")) == 1
    assert agent("node1")["ready"]
    assert site.who(NODES) == before
    site.again(NODES, "repair_tc")
    flows_go_on()


def test_a_stuck_flow_reaches_its_service(site: Site) -> None:
    site.apply(SERVICE)
    udp_flows.declare("node1", DNS)
    lab("udp", "serve", "node1", "2", "5353")
    lab("udp", "send", "node1", "1", "client", f"dns=40001@{ADDRESS}:53")
    udp_flows.echoing("node1", "client", {"dns"})
    udp_flows.declare("node1")
    udp_flows.silent("node1", "client", {"dns"}, 1)
    udp_flows.declare("node1", DNS)
    site.play("repair_udp", udp_repair_services=["default/names"])
    udp_flows.echoing("node1", "client", {"dns"})
    flows_go_on()


def test_maintenance_does_what_was_chosen(site: Site) -> None:
    site.play("maintenance", **CHOSEN)
    pin = f"{seen.GLOBALS}cali_v4_ct3"
    assert [seen.pins(node)[pin]["max_entries"] for node in NODES] == [70_000, 70_000]
    assert all("BPFLogLevel = Debug" in configured(node) for node in NODES)
    assert site.sizes() == {"default": 70_000}
    site.again(NODES, "maintenance", **CHOSEN)
    flows_go_on()


def test_logging_ends(site: Site) -> None:
    site.play("set_log_level", calico_bpf_log_level="Off")
    assert not any("BPFLogLevel = Debug" in configured(node) for node in NODES)
    assert set(site.specs()) == {"default"}
    traffic_is_alive()
    site.play("audit")
    (found,) = (site.hosts.parent / "report").glob("audit-*.json")
    audit = json.loads(found.read_text())
    assert audit["summary"]["findings"]["critical"] == 0
    repaired = ("TC_", "LOG_", "UDP_", "CT_SPLIT", "CT_OLD")
    assert not [one["code"] for one in audit["findings"] if one["code"].startswith(repaired)]


def test_a_pod_cannot_be_stopped(site: Site) -> None:
    said = site.control(("stop", {}), on="node1")
    assert "so it cannot be stopped while something is done" in said

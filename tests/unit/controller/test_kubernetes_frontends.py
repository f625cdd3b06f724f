# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a Service answers UDP."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._errors import RefusedError
from ansible_collections.bpfops.calico.plugins.plugin_utils._kubernetes import frontends as planner

NODE = {
    "metadata": {"name": "n1", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.9/24"}},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "Hostname", "address": "n1"},
        ]
    },
}
DNS = {"port": 53, "protocol": "UDP"}


def service(name: str = "dns", status: Any = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "a", "name": name}, "spec": spec, "status": status or {}}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            service(clusterIPs=["10.96.0.10", "fd00::10"], ports=[DNS]),
            ["10.96.0.10:53", "[fd00::10]:53"],
        ),
        (service(clusterIP="10.96.0.10", ports=[DNS, {"port": 80}]), ["10.96.0.10:53"]),
        (
            service(clusterIP="10.96.0.10", ports=[{**DNS, "nodePort": 30053}]),
            ["10.96.0.10:53", "10.0.0.1:30053", "10.0.0.9:30053"],
        ),
        (
            service(
                status={"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "x"}]}},
                clusterIP="10.96.0.10",
                externalIPs=["192.0.2.9"],
                ports=[DNS],
            ),
            ["10.96.0.10:53", "192.0.2.9:53", "192.0.2.1:53"],
        ),
    ],
)
def test_frontends(one: dict[str, Any], expected: list[str]) -> None:
    assert planner.frontends(["a/dns", "a/dns"], [service("other"), one], NODE) == expected


@pytest.mark.parametrize(
    ("name", "one", "sentence"),
    [
        ("a/gone", service(clusterIP="10.96.0.10", ports=[DNS]), "has no Service a/gone"),
        ("b/dns", service(clusterIP="10.96.0.10", ports=[DNS]), "has no Service b/dns"),
        ("a/dns", service(clusterIP="None", ports=[DNS]), "no address with a port of UDP"),
        ("a/dns", service(clusterIP="10.96.0.10", ports=[{"port": 53}]), "with a port of UDP"),
        ("a/b/c", service(), "'a/b/c' is neither address:port nor namespace/name"),
        ("/dns", service(), "'/dns' is neither"),
    ],
)
def test_refusals(name: str, one: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RefusedError, match=sentence):
        planner.frontends([name], [one], NODE)

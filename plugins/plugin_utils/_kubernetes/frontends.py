# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses and ports at which a Service answers UDP, as Calico's NAT map has them (maps 3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...module_utils._errors import BadInputError, RefusedError

Object = Mapping[str, Any]
_NODE_ADDRESSES = ("InternalIP", "ExternalIP")
_CALICO_ADDRESSES = ("projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address")


def split(name: str) -> tuple[str, str]:
    """Namespace and name. Raises BadInputError."""
    namespace, slash, service = name.partition("/")
    if not (namespace and slash and service) or "/" in service:
        raise BadInputError(
            "udp_repair_services", name, "is neither address:port nor namespace/name of a Service"
        )
    return namespace, service


def frontends(names: Sequence[str], services: Sequence[Object], node: Object) -> list[str]:
    """``address:port`` of each, once. Raises RefusedError where a Service has none."""
    found: list[str] = []
    for name in names:
        namespace, service = split(name)
        one = next((one for one in services if _is(one, namespace, service)), None)
        if one is None:
            raise RefusedError(f"udp_repair_services: this cluster has no Service {name}.")
        own = [_written(*pair) for pair in _of(one, node)]
        if not own:
            raise RefusedError(
                f"udp_repair_services: Service {name} has no address with a port of UDP."
            )
        found += own
    return list(dict.fromkeys(found))


def _is(one: Object, namespace: str, name: str) -> bool:
    meta = one["metadata"]
    return bool(meta["namespace"] == namespace and meta["name"] == name)


def _of(service: Object, node: Object) -> Iterator[tuple[str, int]]:
    spec, balancer = service["spec"], (service.get("status") or {}).get("loadBalancer") or {}
    addresses = [
        *(one for one in spec.get("clusterIPs") or [spec.get("clusterIP")] if one != "None"),
        *(spec.get("externalIPs") or []),
        *(one.get("ip") for one in balancer.get("ingress") or []),
    ]
    for port in spec.get("ports") or []:
        if port.get("protocol", "TCP") == "UDP":
            yield from ((address, port["port"]) for address in addresses if address)
            if port.get("nodePort"):
                yield from ((address, port["nodePort"]) for address in _addresses(node))


def _addresses(node: Object) -> list[str]:
    told = (node.get("status") or {}).get("addresses") or []
    own = [one["address"] for one in told if one.get("type") in _NODE_ADDRESSES]
    marks = node["metadata"].get("annotations") or {}
    return [*own, *(marks[key].partition("/")[0] for key in _CALICO_ADDRESSES if key in marks)]


def _written(address: str, port: int) -> str:
    version = ipaddress.ip_address(address).version
    return f"[{address}]:{port}" if version == 6 else f"{address}:{port}"

# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates of a switch of the dataplane alone: one function for each rule of the table."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any, Iterable, Iterator, Mapping

from .._calico.defects import defect
from .._calico.places import TCX_LINKS, VXLAN_DEVICES, is_cleaned
from .._calico.tables.gate_row import Gate
from .._calico.versions import parse_range
from .gates_input import CLOSED, NOTE, PASS, Answer, Asked, Rule, affected, suspicion

_WITH_TCX = parse_range(">=3.31")


def no_ipvs(asking: Asked, gate: Gate) -> Answer:
    """kube-proxy leaves its device behind, and only a restart of the node removes all of IPVS."""
    if not asking.goes_on or not asking.facts["kube_proxy_ipvs"]:
        return PASS
    return Answer(CLOSED, evidence=("The device kube-ipvs0 is there.",))


def api_answers(asking: Asked, gate: Gate) -> Answer:
    """What was tried from the node; an address that kube-proxy translates proves nothing."""
    asked = asking.operation
    if not asking.goes_on:
        return PASS
    if not asked.api_server:
        says = "Nobody has asked whether the API server answers without kube-proxy."
        return Answer(NOTE, says)
    host = asked.api_server.rpartition(":")[0].strip("[]")
    network = next((one for one in asked.service_cidrs if _within(host, one)), "")
    if network:
        evidence = f"{asked.api_server} is an address of a Service, within {network}."
        return Answer(CLOSED, evidence=(evidence,))
    if not asked.api_answers:
        return Answer(CLOSED, evidence=(f"{asked.api_server} does not answer on this node.",))
    return PASS


def _within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:  # a name, which is no address of a Service
        return False


def vxlan_port_is_free(asking: Asked, gate: Gate) -> Answer:
    """felix makes its device anew, in another form, which shares its port with nothing."""
    if not asking.goes_on:
        return PASS
    port = asking.operation.vxlan_port
    there = [one["name"] for one in asking.facts["vxlan_devices"] if one["port"] == port]
    others = [name for name in there if name not in VXLAN_DEVICES]
    if others:
        return Answer(CLOSED, evidence=(f"{', '.join(others)} has UDP port {port}.",))
    if port in asking.facts["udp_ports"] and not there:
        return Answer(CLOSED, evidence=(f"Some socket has UDP port {port}.",))
    return PASS


def no_foreign_connect_time(asking: Asked, gate: Gate) -> Answer:
    """felix looks for the first program of each hook and takes it for its own."""
    bad = affected(asking.running, gate.code)
    if not asking.felix_cleans or not bad.spans:
        return PASS
    evidence = tuple(
        f"{one['cgroup']} has program {one['program_id']}, {one['name']}, at {one['hook']}."
        for one in asking.facts["connect_time"]
        if one["legacy"] and one["owner"] != "calico"
    )
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def no_foreign_filter(asking: Asked, gate: Gate) -> Answer:
    """felix removes the whole clsact qdisc where it finds a filter of its own, or moves to TCX."""
    if asking.goes_on:
        return _filter_beside_tcx(asking)
    if not asking.felix_cleans:
        return PASS
    evidence = tuple(
        f"{interface['name']} has {one['name']} at {one['hook']}."
        for interface in asking.facts["interfaces"]
        if _calicos(interface, "tc")
        for one in _others(interface, "tc")
    )
    if not evidence:
        return PASS
    if asking.operation.filters_first:
        says = "Calico's filters are detached before felix can take those of others along."
        return Answer(NOTE, says, evidence)
    return Answer(CLOSED, evidence=evidence)


def _filter_beside_tcx(asking: Asked) -> Answer:
    """Which interfaces felix manages is its own setting; it attaches by TCX unless told TC."""
    evidence = tuple(
        f"{interface['name']} has {one['name']} at {one['hook']}."
        for interface in asking.facts["interfaces"]
        for one in _others(interface, "tc")
    )
    operation = asking.operation
    moves = operation.restart and operation.attach_type != "TC"
    if not (evidence and moves and asking.running.overlaps(_WITH_TCX)):
        return PASS
    says = "felix deletes the clsact qdisc of an interface that it attaches to by TCX."
    sure = _WITH_TCX.covers(asking.running)
    return Answer(CLOSED if sure else NOTE, says, evidence, "Set bpfAttachType to TC first.")


def no_foreign_xdp(asking: Asked, gate: Gate) -> Answer:
    """The table is not sure of it, and it is the same on each node that never had eBPF mode."""
    if not asking.felix_cleans:
        return PASS
    evidence = tuple(
        f"{interface['name']} has {one['name']}."
        for interface in asking.facts["interfaces"]
        for one in _others(interface, "xdp")
    )
    return Answer(NOTE, evidence=evidence) if evidence else PASS


def _calicos(interface: Mapping[str, Any], kind: str) -> bool:
    return any(one["owner"] == "calico" for one in interface["programs"] if one["kind"] == kind)


def _others(interface: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (
        one for one in interface["programs"] if one["kind"] == kind and one["owner"] != "calico"
    )


def no_foreign_pin(asking: Asked, gate: Gate) -> Answer:
    """By the name alone, wherever it is; and the whole directory of TCX links."""
    if not asking.felix_cleans:
        return PASS
    paths = dict.fromkeys((*_foreign_pins(asking), *_cleaned(asking.operation.foreign_pins)))
    evidence = tuple(f"{path} is not proven Calico's." for path in paths)
    return Answer(CLOSED, evidence=evidence) if evidence else PASS


def _cleaned(paths: Iterable[str]) -> Iterator[str]:
    return (path for path in paths if is_cleaned(PurePosixPath(path).name))


def _foreign_pins(asking: Asked) -> Iterator[str]:
    yield from _cleaned(one["path"] for one in asking.facts["maps"] if one["owner"] != "calico")
    if not asking.running.overlaps(_WITH_TCX):
        return
    own = {
        one["link_id"]
        for interface in asking.facts["interfaces"]
        for one in interface["programs"]
        if one["owner"] == "calico"
    }
    for one in asking.facts["pins"]:
        inside = PurePosixPath(one["path"]).parent.name == TCX_LINKS
        if inside and not one["severed"] and one["object_id"] not in own:
            yield one["path"]


def operator_keeps_mount(asking: Asked, gate: Gate) -> Answer:
    """Operators before 1.40 take the mount away in the same moment."""
    bad = affected(asking.running, gate.code)
    operator = asking.operation.install_kind == "operator"
    if not (operator and asking.goes_off and bad.spans):
        return PASS
    says = f"{defect(gate.code).title} The role dataplane_switch removes what stays."
    return Answer(NOTE, says, (suspicion(asking.running, bad),))


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        no_ipvs,
        api_answers,
        vxlan_port_is_free,
        no_foreign_connect_time,
        no_foreign_filter,
        no_foreign_xdp,
        no_foreign_pin,
        operator_keeps_mount,
    )
}

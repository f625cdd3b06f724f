# SPDX-License-Identifier: GPL-3.0-or-later
"""The operation that gates are asked for, checked."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, Callable, Mapping, NamedTuple

from .._calico.gates import OPERATIONS
from .._calico.rows import require_known
from .._calico.tables.gate_row import LOG_LEVEL, RESIZE, SWITCH, UPGRADE
from .._calico.versions import VersionSet, parse_release
from .._errors import BadInputError
from .inputs import in_range
from .map_task import MAX_U32

FAMILIES = ("ipv4", "ipv6")
DATAPLANES = ("ebpf", "iptables")
LEVELS = ("Off", "Info", "Debug")
INSTALL_KINDS = ("operator", "manifest", "kubespray", "none")


class Operation(NamedTuple):
    """An operation.

    ``release`` is the one that the operator says runs, ``target`` the one that an upgrade goes
    to. ``to`` is a dataplane or a log level. ``per_cpu`` is felix's bpfMapSizePerCpuConntrack.
    ``bpffs`` is where felix's bpffs has to be mounted.

    Of a switch alone: ``api_server`` is the address and port that felix uses, ``api_answers``
    whether it did, ``service_cidrs`` the addresses of Services, ``vxlan_port`` felix's vxlanPort.
    ``restart``: felix is about to restart; else only leftovers go. ``filters_first``: Calico's tc
    filters are detached before that. ``foreign_pins`` are paths of pins elsewhere that are not
    Calico's. ``attach_type`` is felix's bpfAttachType where it is set.
    """

    name: str
    release: VersionSet | None = None
    target: VersionSet | None = None
    to: str = ""
    max_entries: int = 0
    per_cpu: int = 0
    families: tuple[str, ...] = FAMILIES
    all_families: bool = True
    install_kind: str = ""
    bpffs: str = "/sys/fs/bpf"
    api_server: str = ""
    api_answers: bool = False
    service_cidrs: tuple[str, ...] = ()
    vxlan_port: int = 4789
    restart: bool = True
    filters_first: bool = False
    foreign_pins: tuple[str, ...] = ()
    attach_type: str = ""


_COMMON = frozenset({"name", "calico_version", "install_kind", "bpffs"})
_NEEDED: dict[str, frozenset[str]] = {
    RESIZE: frozenset({"max_entries"}),
    UPGRADE: frozenset({"to"}),
    SWITCH: frozenset({"to"}),
    LOG_LEVEL: frozenset(),
}
_OPTIONAL: dict[str, frozenset[str]] = {
    RESIZE: frozenset({"families", "per_cpu"}),
    SWITCH: frozenset(
        {"api_server", "api_answers", "service_cidrs", "vxlan_port"}
        | {"restart", "filters_first", "foreign_pins", "attach_type"}
    ),
    LOG_LEVEL: frozenset({"to"}),
}


def operation_of(given: Mapping[str, Any]) -> Operation:
    """An operation from a dict such as ``{"name": "upgrade", "to": "v3.31.7"}``.

    Raises BadInputError: unknown name, option or value, or an option that is missing.
    """
    name = _one_of("operation.name", given.get("name"), OPERATIONS)
    needed = _NEEDED.get(name, frozenset())
    allowed = _COMMON | needed | _OPTIONAL.get(name, frozenset())
    for option in sorted(set(given) - allowed):
        words = ", ".join(sorted(allowed))
        raise BadInputError("operation", option, f"is no option of {name}, which takes {words}")
    for option in sorted(needed - {key for key, value in given.items() if value is not None}):
        raise BadInputError(f"operation.{option}", None, f"is missing, but {name} needs it")
    parsed = {
        key: value
        for option, parse in _PARSERS.items()
        if given.get(option) is not None
        for key, value in parse(name, given[option]).items()
    }
    return Operation(name, **parsed)


def _one_of(parameter: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise BadInputError(parameter, value, f"is none of {', '.join(allowed)}")
    return value


def _release(operation: str, value: object) -> dict[str, Any]:
    release = parse_release(_text("operation.calico_version", value), "operation.calico_version")
    require_known(release)
    return {"release": release}


def _to(operation: str, value: object) -> dict[str, Any]:
    text = _text("operation.to", value)
    if operation == UPGRADE:
        return {"target": _target(text)}
    return {"to": _one_of("operation.to", text, DATAPLANES if operation == SWITCH else LEVELS)}


def _target(text: str) -> VersionSet:
    target = parse_release(text, "operation.to")
    require_known(target)
    if text.count(".") != 2:
        raise BadInputError("operation.to", text, "names a release line, not one such as v3.31.7")
    return target


def _text(parameter: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadInputError(parameter, value, "is not a text")
    return value


def _number(option: str, low: int, high: int = MAX_U32) -> Callable[[str, object], dict[str, Any]]:
    def parse(operation: str, value: object) -> dict[str, Any]:
        text = str(value)
        if not text.isdigit():
            raise BadInputError(f"operation.{option}", value, "is not a whole number")
        in_range(f"operation.{option}", int(text), low, high)
        return {option: int(text)}

    return parse


def _families(operation: str, value: object) -> dict[str, Any]:
    if not isinstance(value, (list, tuple)) or not value:
        raise BadInputError("operation.families", value, "is not a list of ipv4, ipv6")
    named = tuple(_one_of("operation.families", one, FAMILIES) for one in value)
    return {"families": named, "all_families": False}


def _install_kind(operation: str, value: object) -> dict[str, Any]:
    return {"install_kind": _one_of("operation.install_kind", value, INSTALL_KINDS)}


def _bpffs(operation: str, value: object) -> dict[str, Any]:
    return {"bpffs": _text("operation.bpffs", value).rstrip("/") or "/"}


def _flag(option: str) -> Callable[[str, object], dict[str, Any]]:
    def parse(operation: str, value: object) -> dict[str, Any]:
        if not isinstance(value, bool):
            raise BadInputError(f"operation.{option}", value, "is neither true nor false")
        return {option: value}

    return parse


def _api_server(operation: str, value: object) -> dict[str, Any]:
    text = _text("operation.api_server", value)
    host, _, port = text.rpartition(":")
    if text and not (host and port.isdigit() and 0 < int(port) < 65536):
        raise BadInputError("operation.api_server", text, "is no address with a port")
    return {"api_server": text}


def _attach_type(operation: str, value: object) -> dict[str, Any]:
    return {"attach_type": _text("operation.attach_type", value)}


def _foreign_pins(operation: str, value: object) -> dict[str, Any]:
    if not isinstance(value, (list, tuple)):
        raise BadInputError("operation.foreign_pins", value, "is not a list of paths")
    return {"foreign_pins": tuple(_text("operation.foreign_pins", one) for one in value)}


def _service_cidrs(operation: str, value: object) -> dict[str, Any]:
    if not isinstance(value, (list, tuple)):
        raise BadInputError("operation.service_cidrs", value, "is not a list of networks")
    for one in value:
        try:
            ip_network(one, strict=False)
        except ValueError as error:
            raise BadInputError("operation.service_cidrs", one, "is no network") from error
    return {"service_cidrs": tuple(value)}


_PARSERS: dict[str, Callable[[str, Any], dict[str, Any]]] = {
    "calico_version": _release,
    "to": _to,
    "max_entries": _number("max_entries", 1),
    "per_cpu": _number("per_cpu", 0),
    "families": _families,
    "install_kind": _install_kind,
    "bpffs": _bpffs,
    "api_server": _api_server,
    "api_answers": _flag("api_answers"),
    "service_cidrs": _service_cidrs,
    "vxlan_port": _number("vxlan_port", 1, 65535),
    "restart": _flag("restart"),
    "filters_first": _flag("filters_first"),
    "foreign_pins": _foreign_pins,
    "attach_type": _attach_type,
}

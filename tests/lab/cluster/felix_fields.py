# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of FelixConfiguration that the lab knows: their schema, and which releases have them.

Rows are ``name: (kind, first release[, release that has it no more])``. A release without the row
drops the field, as the real definition does.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

Release: TypeAlias = tuple[int, ...]
Schema: TypeAlias = dict[str, Any]

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
STRINGS: Schema = {"type": "array", "items": STRING}
STRING_MAP: Schema = {"type": "object", "additionalProperties": STRING}
INT_OR_STRING: Schema = {
    "anyOf": [INTEGER, STRING],
    "pattern": "^.*",
    "x-kubernetes-int-or-string": True,
}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$"}
RANGE: Schema = {"type": "object", "properties": {"min": INTEGER, "max": INTEGER}}
TIMEOUTS = ["creationGracePeriod", "tcpSynSent", "tcpEstablished", "tcpFinsSeen", "tcpResetSeen"]
TIMEOUTS += ["udpTimeout", "genericTimeout", "icmpTimeout"]


def one_of(*values: str) -> Schema:
    """Exactly one of these."""
    return {"type": "string", "enum": list(values)}


def any_case(*values: str) -> Schema:
    """One of these in any case, or empty."""
    return {"type": "string", "pattern": f"^(?i)({'|'.join(values)})?$"}


SWITCH = one_of("Enabled", "Disabled")
BPF: dict[str, tuple[Any, ...]] = {
    "bpfAttachType": (one_of("TC", "TCX"), "3.31.0"),
    "bpfCTLBLogFilter": (STRING, "3.27.0"),
    "bpfConnectTimeLoadBalancing": (one_of("TCP", "Enabled", "Disabled"), "3.27.0"),
    "bpfConnectTimeLoadBalancingEnabled": (BOOLEAN, "3.26.0"),
    "bpfConntrackLogLevel": (one_of("Off", "Debug"), "3.30.0"),
    "bpfConntrackMode": (one_of("Auto", "Userspace", "BPFProgram"), "3.30.0"),
    "bpfConntrackTimeouts": (
        {"type": "object", "properties": dict.fromkeys(TIMEOUTS, STRING)},
        "3.30.0",
    ),
    "bpfDSROptoutCIDRs": (STRINGS, "3.26.0"),
    "bpfDataIfacePattern": (STRING, "3.26.0"),
    "bpfDisableGROForIfaces": (STRING, "3.27.0"),
    "bpfDisableUnprivileged": (BOOLEAN, "3.26.0"),
    "bpfEnabled": (BOOLEAN, "3.26.0"),
    "bpfEnforceRPF": (any_case("Disabled", "Strict", "Loose"), "3.26.0"),
    "bpfExcludeCIDRsFromNAT": (STRINGS, "3.27.0"),
    "bpfExportBufferSizeMB": (INTEGER, "3.30.0"),
    "bpfExtToServiceConnmark": (INTEGER, "3.26.0"),
    "bpfExternalServiceMode": (any_case("Tunnel", "DSR"), "3.26.0"),
    "bpfForceTrackPacketsFromIfaces": (STRINGS, "3.27.0"),
    "bpfHostConntrackBypass": (BOOLEAN, "3.26.0"),
    "bpfHostNetworkedNATWithoutCTLB": (SWITCH, "3.27.0"),
    "bpfJITHardening": (STRING, "3.31.0"),
    "bpfKubeProxyEndpointSlicesEnabled": (BOOLEAN, "3.26.0", "3.32.0"),
    "bpfKubeProxyHealthzPort": (INTEGER, "3.30.5"),
    "bpfKubeProxyIptablesCleanupEnabled": (BOOLEAN, "3.26.0"),
    "bpfKubeProxyMinSyncPeriod": (DURATION, "3.26.0"),
    "bpfL3IfacePattern": (STRING, "3.26.0"),
    "bpfLogFilters": (STRING_MAP, "3.27.0"),
    "bpfLogLevel": (any_case("Off", "Info", "Debug"), "3.26.0"),
    "bpfMaglevMaxEndpointsPerService": (INTEGER, "3.32.0"),
    "bpfMaglevMaxServices": (INTEGER, "3.32.0"),
    "bpfMapSizeConntrack": (INTEGER, "3.26.0"),
    "bpfMapSizeConntrackCleanupQueue": (INTEGER, "3.30.0"),
    "bpfMapSizeConntrackScaling": (any_case("Disabled", "DoubleIfFull"), "3.30.0"),
    "bpfMapSizeIPSets": (INTEGER, "3.26.0"),
    "bpfMapSizeIfState": (INTEGER, "3.26.0"),
    "bpfMapSizeNATAffinity": (INTEGER, "3.26.0"),
    "bpfMapSizeNATBackend": (INTEGER, "3.26.0"),
    "bpfMapSizeNATFrontend": (INTEGER, "3.26.0"),
    "bpfMapSizePerCpuConntrack": (INTEGER, "3.30.0"),
    "bpfMapSizeRoute": (INTEGER, "3.26.0"),
    "bpfPSNATPorts": (INT_OR_STRING, "3.26.0"),
    "bpfPolicyDebugEnabled": (BOOLEAN, "3.26.0"),
    "bpfProfiling": (SWITCH, "3.30.0"),
}
OTHERS: dict[str, tuple[Any, ...]] = {
    "cgroupV2Path": (STRING, "3.30.4"),
    "floatingIPs": (SWITCH, "3.26.0"),
    "healthEnabled": (BOOLEAN, "3.26.0"),
    "healthHost": (STRING, "3.26.0"),
    "healthPort": (INTEGER, "3.26.0"),
    "ipv6Support": (BOOLEAN, "3.26.0"),
    "logSeverityScreen": (STRING, "3.26.0"),
    "nodeSelector": ({"type": "string", "maxLength": 1024}, "3.32.0"),
    "prometheusMetricsEnabled": (BOOLEAN, "3.26.0"),
    "prometheusMetricsPort": (INTEGER, "3.26.0"),
    "routeTableRange": (RANGE, "3.26.0"),
    "vxlanPort": (INTEGER, "3.26.0"),
    "vxlanVNI": (INTEGER, "3.26.0"),
}


def parse(release: str) -> Release:
    """``3.29.7`` as (3, 29, 7)."""
    return tuple(int(number) for number in re.findall(r"\d+", release))


def fields(release: str) -> dict[str, Schema]:
    """The schema of each field that a release has."""
    wanted = parse(release)
    found = {
        name: schema
        for name, (schema, since, *until) in {**BPF, **OTHERS}.items()
        if parse(since) <= wanted and not (until and parse(until[0]) <= wanted)
    }
    found.update(_changing(wanted))
    return found


def _changing(release: Release) -> dict[str, Schema]:
    """Fields whose schema is not the same in all releases."""
    if release < (3, 29):
        return {}
    if release < (3, 30):
        return {"bpfRedirectToPeer": STRING, "nftablesMode": STRING}
    peer = ("Enabled", "Disabled") if release >= (3, 32) else ("Enabled", "Disabled", "L2Only")
    return {
        "bpfRedirectToPeer": one_of(*peer),
        "nftablesMode": one_of("Disabled", "Enabled", "Auto"),
    }

# SPDX-License-Identifier: GPL-3.0-or-later
"""FelixConfiguration fields about how eBPF mode works: ops 1.3.

The facts list the fields of 3.27.3 and later; of 3.26 they say only how many it had. A field of
3.27 that no fact dates is taken to be in 3.26 too, and marked as uncertain.
"""

from __future__ import annotations

from ..rows import since
from .config_row import ConfigField

_SOURCE = "ops 1.3"
_OLD = ">=3.26"
_3_27 = ">=3.27"
_3_30 = ">=3.30"

_NICS_A = (
    "^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan).*|tunl0$|vxlan.calico$|"
    "wireguard.cali$|wg-v6.cali$)"
)
_NICS_C = "^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)"
_TUNNELS = "as in 3.26, with vxlan-v6.calico$"


def _dated(
    name: str, releases: str, kind: str, default: str | int | bool, **more: tuple[str, ...]
) -> ConfigField:
    return ConfigField(name, since(releases), kind, default, _SOURCE, values=more.get("values", ()))


def _old(name: str, kind: str, default: str | int | bool) -> ConfigField:
    """A field whose first release no fact names."""
    return _dated(name, _OLD, kind, default)._replace(certain=False)


ROWS: tuple[ConfigField, ...] = (
    _dated("bpfEnabled", _OLD, "boolean", False),
    _dated("bpfLogLevel", _OLD, "string", "Off", values=("Off", "Info", "Debug"))._replace(
        any_case=True, note="Info works as Off; with Debug, bpfLogFilters chooses"
    ),
    _dated("bpfLogFilters", _3_27, "object", "")._replace(
        source="ops 1.3, 5a; #7607", note="keys: an interface, weps, heps or all"
    ),
    _dated("bpfCTLBLogFilter", _3_27, "string", "")._replace(source="ops 1.3, 5a; #7607"),
    _dated(
        "bpfConnectTimeLoadBalancing",
        _3_27,
        "string",
        "TCP",
        values=("TCP", "Enabled", "Disabled"),
    )._replace(source="ops 1.3; #8139"),
    _dated(
        "bpfHostNetworkedNATWithoutCTLB",
        _3_27,
        "string",
        "Enabled",
        values=("Enabled", "Disabled"),
    )._replace(source="ops 1.3; programs 1.1"),
    _old("bpfConnectTimeLoadBalancingEnabled", "boolean", "")._replace(
        note="deprecated since 3.27"
    ),
    _dated("bpfDataIfacePattern", "3.26", "string", _NICS_A)._replace(source="programs 1.1"),
    _dated("bpfDataIfacePattern", "3.27", "string", "")._replace(
        source="programs 1.1", note=_TUNNELS
    ),
    _dated("bpfDataIfacePattern", ">=3.28,<3.30", "string", "")._replace(
        source="programs 1.1", note=_TUNNELS + " and bond.*"
    ),
    _dated("bpfDataIfacePattern", _3_30, "string", _NICS_C)._replace(
        source="programs 1.1", note="felix adds its own tunnel devices"
    ),
    _old("bpfL3IfacePattern", "string", ""),
    _dated("bpfAttachType", ">=3.31", "string", "TCX", values=("TCX", "TC"))._replace(
        source="ops 1.3; programs 1.3; #10573"
    ),
    _dated("bpfAttachType", ">=3.33", "string", "Netkit", values=("Netkit", "TCX", "TC"))._replace(
        source="programs 1.3", certain=False
    ),
    _old("bpfDisableGROForIfaces", "string", ""),
    _old("bpfDisableUnprivileged", "boolean", True),
    _old("bpfDSROptoutCIDRs", "list", ""),
    _old("bpfEnforceRPF", "string", "Loose")._replace(
        values=("Disabled", "Strict", "Loose"), any_case=True
    ),
    _old("bpfExcludeCIDRsFromNAT", "list", ""),
    _old("bpfExternalServiceMode", "string", "Tunnel")._replace(
        values=("Tunnel", "DSR"), any_case=True
    ),
    _old("bpfExtToServiceConnmark", "integer", 0),
    _old("bpfForceTrackPacketsFromIfaces", "list", "docker+"),
    _dated("bpfHostConntrackBypass", ">=3.26,<3.30", "boolean", True)._replace(certain=False),
    _dated("bpfHostConntrackBypass", _3_30, "boolean", False),
    _dated("bpfJITHardening", ">=3.31", "string", "Auto"),
    _old("bpfKubeProxyEndpointSlicesEnabled", "boolean", True)._replace(
        releases=since(">=3.26,<3.32"), note="has no effect from 3.28 on"
    ),
    _dated("bpfKubeProxyHealthzPort", ">=3.30.5,<3.32", "integer", 10256)._replace(
        source="ops 1.3; #11209",
        note="0 does not switch it off; choose an unused port",
        certain=False,
    ),
    _dated("bpfKubeProxyHealthzPort", ">=3.32", "integer", 10256)._replace(
        source="ops 1.3; #12033", note="0 switches it off"
    ),
    _old("bpfKubeProxyIptablesCleanupEnabled", "boolean", True),
    _old("bpfKubeProxyMinSyncPeriod", "duration", "1s"),
    _old("bpfPolicyDebugEnabled", "boolean", True),
    _dated("bpfProfiling", _3_30, "string", "Disabled", values=("Enabled", "Disabled")),
    _old("bpfPSNATPorts", "integer or string", "20000:29999"),
    _dated("bpfRedirectToPeer", ">=3.29,<3.32", "string", "L2Only")._replace(
        values=("Enabled", "Disabled", "L2Only"), certain=False
    ),
    _dated("bpfRedirectToPeer", ">=3.32", "string", "Enabled", values=("Enabled", "Disabled")),
    _dated("cgroupV2Path", ">=3.30.4", "string", ""),
    _dated("nftablesMode", ">=3.29,<3.32", "string", "Disabled")._replace(
        values=("Disabled", "Enabled", "Auto"), certain=False
    ),
    _dated("nftablesMode", ">=3.32", "string", "Auto", values=("Disabled", "Enabled", "Auto")),
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and timers, against the fact sheets."""

from __future__ import annotations

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico import (
    conntrack_timeouts,
    felix_config,
)
from ansible_collections.bpfops.calico.plugins.module_utils._calico.versions import (
    END,
    VersionSet,
    parse_release,
)

FIXED = {
    "creation_grace": 10,
    "tcp_syn_sent": 20,
    "tcp_established": 3600,
    "tcp_fins_seen": 30,
    "tcp_reset_seen": 40,
    "udp": 60,
    "generic": 600,
    "icmp": 5,
}
SET = {
    "creation_grace": ("creationGracePeriod", "", False),
    "tcp_syn_sent": ("tcpSynSent", "nf_conntrack_tcp_timeout_syn_sent", False),
    "tcp_established": ("tcpEstablished", "nf_conntrack_tcp_timeout_established", False),
    "tcp_fins_seen": ("tcpFinsSeen", "nf_conntrack_tcp_timeout_time_wait", True),
    "tcp_reset_seen": ("tcpResetSeen", "", False),
    "udp": ("udpTimeout", "", False),
    "generic": ("genericTimeout", "nf_conntrack_generic_timeout", False),
    "icmp": ("icmpTimeout", "nf_conntrack_icmp_timeout", False),
}


@pytest.mark.parametrize("release", ["3.26.4", "3.27", "3.28.5", "3.29.7"])
def test_fixed_timers(release: str) -> None:
    rows = conntrack_timeouts.timers_of(parse_release(release))
    assert {row.name: row.default for row in rows} == FIXED
    assert not [row for row in rows if row.field or row.sysctl or row.auto]


@pytest.mark.parametrize("release", ["3.30.0", "3.31.7", "3.32.1"])
def test_configured_timers(release: str) -> None:
    rows = {row.name: row for row in conntrack_timeouts.timers_of(parse_release(release))}
    rst_idle = rows.pop("rst_idle")
    assert (rst_idle.default, rst_idle.field) == (120, "")
    assert {name: row.default for name, row in rows.items()} == FIXED
    assert {name: (row.field, row.sysctl, row.auto) for name, row in rows.items()} == SET


@pytest.mark.parametrize(
    ("release", "wanted"),
    [
        ("3.27.5", ("generic", "created", "refuses")),
        ("3.28.0", ("icmp", "created", "refuses")),
        ("3.30.0", ("icmp", "rst_seen", "refuses")),
        ("3.31.0", ("icmp", "rst_seen", "evicts")),
    ],
)
def test_rules_of_the_conntrack_table(release: str, wanted: tuple[str, str, str]) -> None:
    rules = conntrack_timeouts.conntrack_rules_of(parse_release(release))
    found = {row.name: row.value for row in rules}
    assert (found["icmpv6_timer"], found["first_word"], found["table_full"]) == wanted


@pytest.mark.parametrize(
    ("release", "wanted"),
    [("3.29.7", (None, None)), ("3.30.7", ("95", "90")), ("3.31.0", ("90", "85"))],
)
def test_when_felix_doubles_the_map(release: str, wanted: tuple[str | None, str | None]) -> None:
    rules = conntrack_timeouts.conntrack_rules_of(parse_release(release))
    found = {row.name: row.value for row in rules}
    assert (found.get("autoscale_percent"), found.get("autoscale_growing_percent")) == wanted


# field, release, default (None: no such field)
DEFAULTS: list[tuple[str, str, object]] = [
    ("bpfMapSizeConntrack", "3.26.4", 512000),
    ("bpfMapSizeConntrack", "3.32.1", 512000),
    ("bpfMapSizeNATFrontend", "3.27.3", 65536),
    ("bpfMapSizeNATBackend", "3.27.3", 262144),
    ("bpfMapSizeNATAffinity", "3.27.3", 65536),
    ("bpfMapSizeRoute", "3.27.3", 262144),
    ("bpfMapSizeIPSets", "3.27.3", 1048576),
    ("bpfMapSizeIfState", "3.27.3", 1000),
    ("bpfMapSizePerCpuConntrack", "3.29.7", None),
    ("bpfMapSizePerCpuConntrack", "3.30.0", 0),
    ("bpfMapSizeConntrackScaling", "3.29.7", None),
    ("bpfMapSizeConntrackScaling", "3.31.7", "DoubleIfFull"),
    ("bpfMapSizeConntrackCleanupQueue", "3.31.7", 100000),
    ("bpfConntrackMode", "3.30.7", "Auto"),
    ("bpfConntrackTimeouts", "3.29.7", None),
    ("bpfMaglevMaxServices", "3.31.7", None),
    ("bpfMaglevMaxEndpointsPerService", "3.32.1", 100),
    ("bpfExportBufferSizeMB", "3.30.7", 1),
    ("bpfHostConntrackBypass", "3.29.7", True),
    ("bpfHostConntrackBypass", "3.30.7", False),
    ("bpfAttachType", "3.30.7", None),
    ("bpfAttachType", "3.31.7", "TCX"),
    ("bpfAttachType", "3.33.0", "Netkit"),
    ("bpfConnectTimeLoadBalancing", "3.26.4", None),
    ("bpfConnectTimeLoadBalancing", "3.27.3", "TCP"),
    ("bpfLogFilters", "3.26.4", None),
    ("bpfLogLevel", "3.27.3", "Off"),
    ("bpfEnabled", "3.27.3", False),
    ("bpfKubeProxyEndpointSlicesEnabled", "3.31.7", True),
    ("bpfKubeProxyEndpointSlicesEnabled", "3.32.1", None),
    ("bpfKubeProxyHealthzPort", "3.30.4", None),
    ("bpfKubeProxyHealthzPort", "3.30.7", 10256),
    ("cgroupV2Path", "3.30.3", None),
    ("cgroupV2Path", "3.30.4", ""),
    ("bpfRedirectToPeer", "3.27.3", None),
    ("bpfRedirectToPeer", "3.31.7", "L2Only"),
    ("bpfRedirectToPeer", "3.32.1", "Enabled"),
    ("nftablesMode", "3.31.7", "Disabled"),
    ("nftablesMode", "3.32.1", "Auto"),
    ("bpfJITHardening", "3.30.7", None),
    ("bpfProfiling", "3.30.7", "Disabled"),
    ("bpfPSNATPorts", "3.27.3", "20000:29999"),
    ("bpfForceTrackPacketsFromIfaces", "3.27.3", "docker+"),
]


@pytest.mark.parametrize(("field", "release", "default"), DEFAULTS)
def test_defaults(field: str, release: str, default: object) -> None:
    rows = felix_config.config_field(parse_release(release), field)
    assert [row.default for row in rows] == ([] if default is None else [default])


@pytest.mark.parametrize(
    ("release", "count"),
    [
        ("3.27.3", 30),
        ("3.28.5", 30),
        ("3.29.7", 31),
        ("3.30.7", 40),
        ("3.31.7", 42),
        ("3.32.1", 43),
    ],
)
def test_the_number_of_bpf_fields(release: str, count: int) -> None:
    names = {row.name for row in felix_config.config_fields_of(parse_release(release))}
    assert len({name for name in names if name.startswith("bpf")}) == count


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("bpfMapSizeConntrackCleanupQueue", 1, True),
        ("bpfMapSizeConntrackCleanupQueue", 0, False),
        ("bpfMapSizeConntrackCleanupQueue", True, False),
        ("bpfMaglevMaxServices", 3000, True),
        ("bpfMaglevMaxServices", 3001, False),
        ("bpfMapSizeConntrackScaling", "doubleiffull", True),
        ("bpfMapSizeConntrackScaling", "Triple", False),
        ("bpfLogLevel", "debug", True),
        ("bpfLogLevel", "Verbose", False),
        ("bpfConnectTimeLoadBalancing", "tcp", False),
        ("bpfConnectTimeLoadBalancing", "TCP", True),
        ("bpfMapSizeConntrack", 12, True),
    ],
)
def test_validation(field: str, value: object, allowed: bool) -> None:
    (row,) = felix_config.config_field(parse_release("3.32.1"), field)
    assert felix_config.allows(row, value) is allowed


@pytest.mark.parametrize(
    ("field", "variable"),
    [
        ("bpfEnabled", "FELIX_BPFENABLED"),
        ("bpfConntrackMode", "FELIX_BPFCONNTRACKCLEANUPMODE"),
        ("bpfMapSizePerCpuConntrack", "FELIX_BPFMAPSIZEPERCPUCONNTRACK"),
        ("nftablesMode", "FELIX_NFTABLESMODE"),
    ],
)
def test_environment_names(field: str, variable: str) -> None:
    assert felix_config.environment_name(field) == variable


def slots() -> list[tuple[str, VersionSet, str]]:
    """Name, releases and source of every row whose rows of one name must not overlap."""
    return [
        *((row.name, row.releases, row.source) for row in felix_config.FIELDS),
        *((f"timer {row.name}", row.releases, row.source) for row in conntrack_timeouts.TIMERS),
        *((f"rule {row.name}", row.releases, row.source) for row in conntrack_timeouts.RULES),
    ]


def test_rows_of_one_name_do_not_overlap() -> None:
    rows = slots()
    for number, (name, held, source) in enumerate(rows):
        assert source
        for other, its, _ in rows[number + 1 :]:
            superseded = its.spans[0].low > held.spans[0].low and held.spans[-1].high == END
            assert name != other or superseded or not held.overlaps(its)

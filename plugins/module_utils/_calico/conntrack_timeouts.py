# SPDX-License-Identifier: GPL-3.0-or-later
"""Conntrack timers by release: maps 3.1 and 3.2."""

from __future__ import annotations

from typing import NamedTuple

from .rows import Table, since
from .versions import VersionSet

SYSCTL_DIR = "/proc/sys/net/netfilter"


class Timer(NamedTuple):
    """A timer. ``default`` in seconds.

    ``field`` is its name below bpfConntrackTimeouts, empty where nothing configures it.
    ``sysctl`` is the file below /proc/sys/net/netfilter that the setting Auto reads, empty
    where Auto has no source. ``auto``: Auto is the default, and ``default`` what holds when the
    file cannot be read.
    """

    name: str
    releases: VersionSet
    default: int
    source: str
    field: str = ""
    sysctl: str = ""
    auto: bool = False
    certain: bool = True


class ConntrackRule(NamedTuple):
    """How a release treats the table: what changed of expiry, of a full table, of doubling.

    ``autoscale_percent``: fill level above which felix doubles the map and restarts;
    ``autoscale_growing_percent``: the same from the third growing sweep on.
    """

    name: str
    releases: VersionSet
    value: str
    source: str


_FIXED = "maps 3.1, felix/bpf/conntrack/cleanup.go"
_SET = "maps 3.1, felix/bpf/conntrack/timeouts/timeouts.go"
_TO_3_29 = since(">=3.26,<3.30")
_FROM_3_30 = since(">=3.30")

_TIMERS: tuple[Timer, ...] = (
    Timer("creation_grace", _TO_3_29, 10, _FIXED),
    Timer("tcp_syn_sent", _TO_3_29, 20, _FIXED),
    Timer("tcp_established", _TO_3_29, 3600, _FIXED),
    Timer("tcp_fins_seen", _TO_3_29, 30, _FIXED),
    Timer("tcp_reset_seen", _TO_3_29, 40, _FIXED),
    Timer("udp", _TO_3_29, 60, _FIXED),
    Timer("generic", _TO_3_29, 600, _FIXED),
    Timer("icmp", _TO_3_29, 5, _FIXED),
    Timer("creation_grace", _FROM_3_30, 10, _SET, "creationGracePeriod"),
    Timer("tcp_syn_sent", _FROM_3_30, 20, _SET, "tcpSynSent", "nf_conntrack_tcp_timeout_syn_sent"),
    Timer(
        "tcp_established",
        _FROM_3_30,
        3600,
        _SET,
        "tcpEstablished",
        "nf_conntrack_tcp_timeout_established",
    ),
    Timer(
        "tcp_fins_seen",
        _FROM_3_30,
        30,
        _SET,
        "tcpFinsSeen",
        "nf_conntrack_tcp_timeout_time_wait",
        auto=True,
    ),
    Timer("tcp_reset_seen", _FROM_3_30, 40, _SET, "tcpResetSeen"),
    Timer("udp", _FROM_3_30, 60, _SET, "udpTimeout"),
    Timer("generic", _FROM_3_30, 600, _SET, "genericTimeout", "nf_conntrack_generic_timeout"),
    Timer("icmp", _FROM_3_30, 5, _SET, "icmpTimeout", "nf_conntrack_icmp_timeout"),
    Timer("rst_idle", _FROM_3_30, 120, "maps 3.2: established, with an RST seen before; fixed"),
)

_RULES: tuple[ConntrackRule, ...] = (
    ConntrackRule("icmpv6_timer", since(">=3.26,<3.28"), "generic", "maps 3.1; #8749/#8754"),
    ConntrackRule("icmpv6_timer", since(">=3.28"), "icmp", "maps 3.1; #8749/#8754"),
    ConntrackRule("first_word", since(">=3.26,<3.30"), "created", "maps 2.2; #9692"),
    ConntrackRule("first_word", since(">=3.30"), "rst_seen", "maps 2.2; #9692"),
    ConntrackRule("table_full", since(">=3.26,<3.31"), "refuses", "maps 3.6; ops 1.5"),
    ConntrackRule("table_full", since(">=3.31"), "evicts", "maps 3.6; ops 1.5; #10557"),
    ConntrackRule("autoscale_percent", since("3.30"), "95", "maps 1.4; ops 1.5"),
    ConntrackRule("autoscale_percent", since(">=3.31"), "90", "maps 1.4; ops 1.5"),
    ConntrackRule("autoscale_growing_percent", since("3.30"), "90", "maps 1.4; ops 1.5"),
    ConntrackRule("autoscale_growing_percent", since(">=3.31"), "85", "maps 1.4"),
)

TIMERS = Table(_TIMERS, lambda row: row.name)
RULES = Table(_RULES, lambda row: row.name)


def timers_of(release: VersionSet) -> tuple[Timer, ...]:
    """The timers of some of ``release``; two with one name where it spans both kinds."""
    return TIMERS.of(release)


def conntrack_rules_of(release: VersionSet) -> tuple[ConntrackRule, ...]:
    """The rules of some of ``release``."""
    return RULES.of(release)

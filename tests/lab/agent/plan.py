# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent is told to play: a release, the families, and defects to show."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import NamedTuple

from . import bpf, config, logs
from .config import ConfigError
from .libbpf import LIB
from .map_rows import CONNTRACK_SIZE, MapRow
from .releases import ENTRY_26, PREAMBLE_27, PREAMBLE_27_V6, RELEASES, Preamble, Release

CONFIG = Path("/etc/calico/lab-agent.cfg")
SCALED_SIZE = Path("/var/lib/calico/bpf_ct_map_size")
TC_DEFECTS = ("drifted_preference", "duplicate_filter")
JUMP_DEFECTS = ("stale_log_filter", "lingering_old_jumps")
DEFECTS = (
    *(*TC_DEFECTS, *JUMP_DEFECTS),
    *("old_pin", "superseded_map", "legacy_connect_time", "no_cleanup"),
)


class Plan(NamedTuple):
    """A release as this node runs it."""

    release: Release
    families: tuple[str, ...]
    tcx: bool
    defects: tuple[str, ...]
    # Seconds between felix's sweeps; 0: it does not sweep.
    scan: int = 0
    bootstrap: bool = False
    enabled: bool = True
    # Programs at eth0, lo and the veth pair of felix, too.
    host: bool = False
    # Pods reach Services, by the NAT and route maps.
    services: bool = False
    # Seconds between attempts at an interface whose two filters differ.
    retry: int = 5
    logs: logs.Logs = logs.Logs()
    # An untracked policy, so that eth0 has an XDP program.
    untracked: bool = False

    @property
    def ipv6(self) -> bool:
        """Whether IPv6 is enabled."""
        return "v6" in self.families

    @property
    def preamble(self) -> Preamble:
        """Layout of the interface's globals."""
        both = self.release.preamble
        return PREAMBLE_27_V6 if both is PREAMBLE_27 and self.ipv6 else both


def read() -> Plan | None:
    """The plan that the agent's configuration gives; None: no release, play the first form."""
    section = config.read(CONFIG, "agent")
    version = section.get("lab", "release", fallback="")
    if not version:
        return None
    if version not in RELEASES:
        allowed = ", ".join(RELEASES)
        raise ConfigError(f"release in {CONFIG} is {version!r}; use one of {allowed}.")
    release = RELEASES[version]
    ipv6 = _yes(section, "ipv6", "no: the release has no IPv6" if not release.with_ipv6 else "")
    families = release.with_ipv6 if ipv6 else ("v4",)
    no_bootstrap = "" if release.bootstraps else "no: the release has none"
    tcx = release.tcx and config.choice("BPFAttachType", ("TCX", "TC")) == "TCX"
    defects = section.get("lab", "defects", fallback="").replace(",", " ").split()
    return Plan(
        release,
        families,
        tcx,
        _checked(defects, release, tcx),
        _seconds(section, "scan", 0),
        _yes(section, "bootstrap", no_bootstrap),
        config.choice("BPFEnabled", ("true", "false")) == "true",
        _yes(section, "host"),
        _yes(section, "services"),
        _seconds(section, "retry", 5),
        logs.read(),
        _yes(section, "untracked"),
    )


def _yes(section: configparser.ConfigParser, key: str, only_no: str = "") -> bool:
    """yes or no (the default); ``only_no`` says why the release takes no other word."""
    text = section.get("lab", key, fallback="no")
    if text not in (("no",) if only_no else ("no", "yes")):
        raise ConfigError(f"{key} in {CONFIG} is {text!r}; use {only_no or 'no or yes'}.")
    return text == "yes"


def _seconds(section: configparser.ConfigParser, key: str, default: int) -> int:
    text = section.get("lab", key, fallback=str(default))
    if not text.isdecimal() or int(text) > 3600:
        raise ConfigError(f"{key} in {CONFIG} is {text!r}; use 0 (never) to 3600 seconds.")
    return int(text)


def _checked(defects: list[str], release: Release, tcx: bool) -> tuple[str, ...]:
    allowed = [
        name
        for name in DEFECTS
        if not (tcx and name in TC_DEFECTS)
        and not (release.preamble is ENTRY_26 and name in JUMP_DEFECTS)
    ]
    for name in defects:
        if name not in allowed:
            raise ConfigError(
                f"defects in {CONFIG} has {name!r};"
                f" release {release.version} can show {', '.join(allowed)}."
            )
    return tuple(defects)


def specs(plan: Plan, *, defaults: bool = False) -> list[tuple[MapRow, bpf.MapSpec]]:
    """The maps to pin, in the order in which felix makes them; ``defaults``: unconfigured sizes."""
    found = [(row, spec(row, plan.release, "v4")) for row in plan.release.common]
    for family in plan.families:
        for row in plan.release.family:
            per_family = "%" in row.name
            if not per_family or family == "v4" or row.v6:
                found.append((row, spec(row, plan.release, family)))
    if defaults:
        return [(row, one._replace(max_entries=row.max_entries)) for row, one in found]
    return found


def spec(row: MapRow, release: Release, family: str) -> bpf.MapSpec:
    """A row for one family, with the size that felix would ask for."""
    v6 = family == "v6" and "%" in row.name
    sizes = row.v6 if v6 else row.v4
    if sizes is None:
        raise ConfigError(f"{row.name} has no {family} form.")
    size = row.max_entries
    if row.size_key and (row.sized_v6 or not v6):
        size = config.number(row.size_key, size)
    if row.size_key == CONNTRACK_SIZE and release.scales_conntrack:
        size = _scaled(size)
    return bpf.MapSpec(row.name.replace("%", family), row.type, *sizes, size, row.flags)


def _scaled(size: int) -> int:
    per_cpu = config.read(config.FELIX_CONFIG, "felix").get(
        "global", "BPFMapSizePerCPUConntrack", fallback="0"
    )
    if per_cpu != "0":
        size = config.number("BPFMapSizePerCPUConntrack", 1) * LIB.libbpf_num_possible_cpus()
    try:
        return max(size, int(SCALED_SIZE.read_text()))
    except (OSError, ValueError):
        return size

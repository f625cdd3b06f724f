# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent reads (felix.cfg) and what it manages, as data."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import NamedTuple

FELIX_CONFIG = Path("/etc/calico/felix.cfg")
OBJECT = Path(__file__).resolve().parent / "conntrack.bpf.o"
PID_FILE = Path("/run/lab-agent.pid")
STATE_FILE = Path("/run/lab-agent.json")
SCAN_FILE = Path("/run/lab-agent-scan.json")
LOG_FILE = Path("/var/log/lab-agent.log")
INTERFACES = "cali*"
# Where the kernel puts the first filter of anybody who names no place.
PRIORITY, HANDLE = 49152, 1

COUNTERS_PIN = Path("/sys/fs/bpf/lab_agent/lab_counters")
COUNTERS = ("dropped_no_entry", "dropped_table_full", "dropped_create_failed", "denied")
# Pairs of addresses, filled from outside; see conntrack.bpf.c.
DENIED_PIN = COUNTERS_PIN.with_name("lab_denied")


class SizedMap(NamedTuple):
    """A map whose max_entries felix.cfg sets."""

    name: str
    pin: Path
    size_key: str
    default: int


CONNTRACK = SizedMap(
    "cali_v4_ct3", Path("/sys/fs/bpf/tc/globals/cali_v4_ct3"), "BPFMapSizeConntrack", 512000
)


class ConfigError(Exception):
    """felix.cfg has something the agent cannot use; the text is a sentence."""


def size_of(wanted: SizedMap, path: Path = FELIX_CONFIG) -> int:
    """max_entries that felix.cfg asks for, or the default."""
    return number(wanted.size_key, wanted.default, path)


def number(key: str, default: int, path: Path = FELIX_CONFIG) -> int:
    """A count that felix.cfg gives, or the default."""
    text = read(path, "felix").get("global", key, fallback=str(default))
    if not text.isdecimal() or not 0 < int(text) < 1 << 32:
        raise ConfigError(f"{key} in {path} is {text!r}; use 1 to 4294967295.")
    return int(text)


def choice(key: str, allowed: tuple[str, ...], path: Path = FELIX_CONFIG) -> str:
    """A word that felix.cfg gives; the default is the first that is allowed."""
    text = read(path, "felix").get("global", key, fallback=allowed[0])
    if text not in allowed:
        raise ConfigError(f"{key} in {path} is {text!r}; use {' or '.join(allowed)}.")
    return text


def read(path: Path, kind: str) -> configparser.ConfigParser:
    """Parse a file; one that is not there is empty."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no {kind} configuration: {error}") from error
    return parser

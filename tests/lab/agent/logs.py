# SPDX-License-Identifier: GPL-3.0-or-later
"""BPFLogLevel and BPFLogFilters: which interfaces log, and so call a log filter."""

from __future__ import annotations

from typing import NamedTuple

from . import config


class Logs(NamedTuple):
    """The level, and pcap expressions by interface name, ``weps``, ``heps`` or ``all``."""

    debug: bool = False
    filters: tuple[tuple[str, str], ...] = ()

    def of(self, interface: str, *, host: bool) -> bool:
        """Whether an interface logs; with filters, only one that a filter names."""
        names = {name for name, _ in self.filters}
        kind = "heps" if host else "weps"
        return self.debug and (not names or bool(names & {interface, kind, "all"}))


def read() -> Logs:
    """What felix.cfg asks for; only Debug is more than off for programs."""
    section = config.read(config.FELIX_CONFIG, "felix")
    level = section.get("global", "BPFLogLevel", fallback="Off")
    pairs = section.get("global", "BPFLogFilters", fallback="").split(",")
    filters = (pair.partition("=") for pair in pairs if "=" in pair)
    return Logs(
        level.lower() == "debug", tuple((key.strip(), text.strip()) for key, _, text in filters)
    )

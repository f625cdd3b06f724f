# SPDX-License-Identifier: GPL-3.0-or-later
"""After the dry run everything is as it was planted."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import workloads as seen


def test_filters_and_felix(host: Host) -> None:
    seen.filters_are_as_planted(host)
    assert bool(seen.look(host).agent["dirty"]) is seen.planted(host).get("stuck", False)


def test_log_level(host: Host) -> None:
    planted, found = seen.planted(host), seen.look(host)
    debug = planted.get("debug", False)
    assert ("BPFLogLevel = Debug" in found.config) is debug
    assert "Off" not in found.config
    assert (-1 in found.indices()) is not (debug or planted.get("method") == "passthrough")

# SPDX-License-Identifier: GPL-3.0-or-later
"""After the repair: filters alike, felix healthy, nothing calls a log filter, traffic clean."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import workloads as seen


def test_one_filter_on_each_hook_at_one_place(host: Host) -> None:
    found = seen.look(host)
    assert (found.unequal(), found.duplicates()) == (0, 0)
    # 3.32 has TCX links.
    filters = 0 if seen.planted(host)["release"] == "3.32.1" else 1
    assert {len(one) for hooks in found.filters().values() for one in hooks.values()} == {filters}


def test_felix_is_healthy(host: Host) -> None:
    found = seen.look(host)
    assert (found.agent["running"], found.agent["dirty"], found.agent["not_ready"]) == (
        True,
        [],
        "",
    )
    assert not found.old_jumps


def test_nothing_calls_a_log_filter(host: Host) -> None:
    planted, found = seen.planted(host), seen.look(host)
    # Where a pass-through program had to answer felix was told once more.
    told = planted.get("debug", False) or planted.get("method") == "passthrough"
    assert ("BPFLogLevel = Off" in found.config) is told
    assert "Filters" not in found.config
    assert found.indices() == {-1}
    assert found.called() == {seen.NONE}
    assert seen.complaints(host) == set()


def test_felix_was_only_restarted_where_logging_had_to_end(host: Host) -> None:
    planted, before, now = seen.planted(host), seen.remembered(host), seen.look(host).marks
    again = bool(planted.get("debug") or planted.get("method"))
    assert (before["pid"] != now["pid"]) is again
    if seen.name(host) == "node8":
        assert now == before


def test_traffic() -> None:
    seen.traffic_is_clean()

# SPDX-License-Identifier: GPL-3.0-or-later
"""After each method of log_filter: silence, by another means for each."""

from __future__ import annotations

from testinfra.host import Host

from tests.observe import workloads as seen


def test_the_trace_is_silent(host: Host) -> None:
    assert seen.complaints(host) == set()


def test_the_means(host: Host) -> None:
    method, found = seen.planted(host).get("method"), seen.look(host)
    if method == "passthrough":
        assert -1 not in found.indices()
        seen.until(found.called, "program")
        for slot in found.called():
            assert "value:" in seen.held(host, "cali_jump2", slot)
    elif method:
        # felix has started since, and has taken over what was written.
        assert found.indices() == {-1}
        seen.until(found.called, "program")
        assert found.called() == {seen.NONE}


def test_traffic() -> None:
    seen.traffic_is_clean()

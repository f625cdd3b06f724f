# SPDX-License-Identifier: GPL-3.0-or-later
"""log_filter and what programs print: the trace falls silent, and is listened to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import trace as kernel_trace
from ansible_collections.bpfops.calico.plugins.modules import log_filter
from tests.kernel.log_filter_runs import HOOKS, PACKETS, calling, repeated, run
from tests.kernel.log_state import NAME, SHAPES, SLOTS, LogNode, sent, text, trace


@pytest.fixture(params=sorted(SHAPES))
def node(pins: Path, request: pytest.FixtureRequest) -> Iterator[LogNode]:
    with calling(pins, request.param) as made:
        yield made


def test_the_trace_is_silent_and_packets_pass(node: LogNode, tmp_path: Path) -> None:
    """Others may empty the trace meanwhile, so lines may be missing; the counters are exact."""
    with trace(tmp_path / "trace") as file:

        def lines() -> list[int]:
            said = file.read_text("utf-8", "replace") if file else ""
            return [said.count(text(node, hook)) for hook in HOOKS]

        rounds = 0
        while rounds < 20:
            rounds += 1
            assert [sent(PACKETS, hook) for hook in HOOKS] == [PACKETS, PACKETS]
            if not file or all(lines()):
                break
        assert not file or all(lines())
        before = node.counted()
        assert before == (2 * PACKETS * rounds, 2 * PACKETS * rounds)
        done = run(node)
        assert len(done.actions) == 2
        noisy = lines()
        assert [sent(PACKETS, hook) for hook in HOOKS] == [PACKETS, PACKETS]
        assert node.counted() == (before[0], before[1] + 2 * PACKETS)
        assert all(now <= then for now, then in zip(lines(), noisy, strict=True))
    assert [one["code"] for one in done.findings] == ["LOG_FILTER_STALE"]
    assert [one["passed_through"] for one in done.facts["log_filters"]] == [True, True]


def test_listening_to_the_trace(
    node: LogNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: f"test{os.getpid()}")
    with trace(tmp_path / "trace") as file, repeated(PACKETS):
        heard = run(node, method="ifstate", watch_trace=2)
        if heard.facts["trace"] is None:
            assert "needs tracefs" in heard.warnings[-1]
            pytest.skip("no tracefs, or no event of bpf_trace_printk")
        found = {(one["interface"], one["slot"]) for one in heard.facts["trace"]}
        assert found == {(NAME, slot) for slot in SLOTS.values()}
        assert all(one["lines"] > 1 for one in heard.facts["trace"])
        assert run(node, interfaces=["caliother"], watch_trace=1).facts["trace"] == []
        assert run(node, check=True, watch_trace=1).facts["trace"] is None
        assert run(node, watch_trace=1).facts["trace"] == []
        assert file
        instances = [path.name for path in (file.parent / "instances").iterdir()]
        assert f"bpfops_test{os.getpid()}" not in instances


def test_a_node_without_tracefs(node: LogNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_trace, "mounts", lambda kind: ())
    done = run(node, watch_trace=1)
    assert (len(done.actions), done.facts["trace"]) == (2, None)
    assert "mount -t tracefs" in done.warnings[-1]


@pytest.mark.parametrize("seconds", [-1, 601])
def test_time_to_listen(pins: Path, seconds: int) -> None:
    params = {name: spec.get("default") for name, spec in log_filter.ARGUMENT_SPEC.items()}
    with pytest.raises(errors.BadInputError, match=f"watch_trace: {seconds} is not a whole number"):
        log_filter.work({**params, "bpffs": str(pins), "watch_trace": seconds}, False)

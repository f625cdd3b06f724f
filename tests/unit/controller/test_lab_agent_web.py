# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's health endpoint and metrics."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.lab.agent import config, web
from tests.lab.cluster.control_plane import free_ports


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    health, metrics = free_ports(2)
    file = tmp_path / "felix.cfg"
    lines = ["[global]", "HealthEnabled = true", f"HealthPort = {health}"]
    lines += ["PrometheusMetricsEnabled = true", f"PrometheusMetricsPort = {metrics}"]
    file.write_text("\n".join(lines))
    monkeypatch.setattr(config, "FELIX_CONFIG", file)
    state: dict[str, Any] = {"not_ready": "Trouble.", "interfaces": ["a", "b"], "dirty": ["b"]}
    web.serve(lambda: state)
    assert fetch(health, "readiness") == (503, "Trouble.\n")
    assert fetch(health, "liveness")[0] == 200
    assert fetch(health, "metrics")[0] == 404
    told = fetch(metrics, "metrics")[1].splitlines()
    assert "felix_bpf_dataplane_endpoints 2" in told
    assert "felix_bpf_dirty_dataplane_endpoints 1" in told
    assert "felix_bpf_happy_dataplane_endpoints 1" in told
    state["not_ready"] = ""
    assert fetch(health, "readiness") == (200, "ready\n")

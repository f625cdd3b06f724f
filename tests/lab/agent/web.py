# SPDX-License-Identifier: GPL-3.0-or-later
"""Felix's health endpoint and metrics, on the node's own addresses, when felix.cfg enables them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from . import config


def serve(status: Callable[[], dict[str, Any]]) -> None:
    """Start what HealthEnabled and PrometheusMetricsEnabled ask for; both are off by default.

    ``status`` is what `lab-agent status` prints. OSError when a port is taken.
    """
    file = config.FELIX_CONFIG
    settings = config.read(file, "felix")
    if settings.get("global", "HealthEnabled", fallback="false") == "true":
        paths: dict[str, Callable[[], tuple[int, str]]] = {
            "/liveness": lambda: (200, "live\n"),
            "/readiness": lambda: _readiness(status()["not_ready"]),
        }
        _listen(config.number("HealthPort", 9099, file), paths)
    if settings.get("global", "PrometheusMetricsEnabled", fallback="false") == "true":
        port = config.number("PrometheusMetricsPort", 9091, file)
        _listen(port, {"/metrics": lambda: (200, _metrics(status()))})


def _readiness(reason: str) -> tuple[int, str]:
    return (503, f"{reason}\n") if reason else (200, "ready\n")


def _metrics(state: dict[str, Any]) -> str:
    dirty = len(state.get("dirty") or [])
    count = len(state["interfaces"]) + len(state.get("host_interfaces") or [])
    figures = {
        "felix_bpf_dataplane_endpoints": count,
        "felix_bpf_dirty_dataplane_endpoints": dirty,
        "felix_bpf_happy_dataplane_endpoints": count - dirty,
    }
    return "".join(
        f"# TYPE {name} gauge\n{name} {figure}\n" for name, figure in sorted(figures.items())
    )


def _listen(port: int, paths: dict[str, Callable[[], tuple[int, str]]]) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = paths.get(self.path, lambda: (404, "unknown\n"))()
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """No line for each question."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()

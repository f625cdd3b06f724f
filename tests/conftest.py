# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the checkout importable as ``ansible_collections.bpfops.calico``, wherever it lies."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _package(name: str, path: list[str]) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = path
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def _parent_package() -> None:
    """Keep an installed ``ansible_collections``: only our own name in it is replaced."""
    try:
        importlib.import_module("ansible_collections")
    except ImportError:
        _package("ansible_collections", [])


def _own_lab() -> None:
    """Give a worker of pytest-xdist a lab beside those of the others."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").replace("gw", "")
    if not worker:
        return
    name = os.environ.get("BPFOPS_LAB_NAME", "labtest")
    octets = os.environ.get("BPFOPS_LAB_SUBNET", "10.80.0.0/24").split(".")
    octets[2] = str(int(octets[2]) + int(worker))
    os.environ["BPFOPS_LAB_NAME"] = f"w{worker}{name[:7]}"
    os.environ["BPFOPS_LAB_SUBNET"] = ".".join(octets)


_own_lab()
_parent_package()
_package("ansible_collections.bpfops", [])
_package("ansible_collections.bpfops.calico", [str(ROOT)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Hand skipped tests to the test runner, which lists them as left out."""
    report = os.environ.get("LEFT_OUT_FILE")
    if not report:
        return
    reasons: dict[str, int] = {}
    for test in terminalreporter.stats.get("skipped", []):
        reason = test.longrepr[2] if isinstance(test.longrepr, tuple) else str(test.longrepr)
        reason = reason[len("Skipped: ") :] if reason.startswith("Skipped: ") else reason
        reasons[reason] = reasons.get(reason, 0) + 1
    with Path(report).open("a", encoding="utf-8") as file:
        file.writelines(f"{count} tests skipped: {why}\n" for why, count in reasons.items())

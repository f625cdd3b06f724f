# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the node's timer: what its exit status says, and how it is packed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._watch import udp_repair

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "roles/udp_repair/files/pack.py"
OPTIONS: dict[str, Any] = {
    "services": [],
    "bpffs": "/sys/fs/bpf",
    "pin_dir": None,
    "calico_version": None,
    "max_deletions": 1000,
}


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "options.json"
    path.write_text(json.dumps(OPTIONS))
    monkeypatch.setattr(udp_repair, "require_bpf_rights", lambda: None)
    monkeypatch.setattr(sys, "argv", ["watch", str(path)])
    return path


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.BusyError("Another run holds it."), os.EX_TEMPFAIL),
        (errors.RefusedError("max_deletions: too many."), 1),
        (OSError(2, "No such file"), 1),
    ],
)
def test_exit_status(
    error: Exception, status: int, options: Path, monkeypatch: Any, capsys: Any
) -> None:
    def fails(given: Any) -> Any:
        raise error

    monkeypatch.setattr(udp_repair, "repair", fails)
    assert udp_repair.main() == status
    assert capsys.readouterr().err == f"{error}\n"


def test_what_was_done_is_said(options: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(udp_repair, "repair", lambda given: (f"{len(given)} options",))
    assert udp_repair.main() == 0
    assert capsys.readouterr().out == "5 options\n"


def test_options_that_are_no_json(options: Path, capsys: Any) -> None:
    options.write_text("{")
    assert udp_repair.main() == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_options_mean_stale_udp_alone() -> None:
    task = udp_repair.meant({**OPTIONS, "services": ["10.96.0.10:53"]})
    assert task.select.stale_udp
    assert not task.select.stale_nat
    assert task.pin_dir == "/sys/fs/bpf/tc/globals"


def test_the_same_sources_give_the_same_file(tmp_path: Path) -> None:
    packed: list[Path] = []
    for name in ("one", "two"):
        source = tmp_path / name
        (source / "_watch").mkdir(parents=True)
        (source / "_watch" / "__init__.py").touch()
        (source / "_watch" / "udp_repair.py").write_text("def main(): return 3\n")
        (source / "_runner.py").write_text("import ansible\n")
        os.utime(source / "_runner.py", (0, len(packed)))
        target = tmp_path / f"{name}.pyz"
        subprocess.run([sys.executable, str(PACK), str(source), str(target)], check=True)
        packed.append(target)
    assert packed[0].read_bytes() == packed[1].read_bytes()
    assert subprocess.run([sys.executable, "-I", str(packed[0])], check=False).returncode == 3

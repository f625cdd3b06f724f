# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the resize playbook against a lab as a user would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import inventory
from tests.lab.errors import LabError
from tests.lab.settings import REPOSITORY, Settings

PLAYBOOK = Path(__file__).with_name("demo.yml")
RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


@dataclass
class Play:
    """What one run of the playbook did, by node."""

    seconds: float
    changed: dict[str, int]
    results: dict[str, dict[str, Any]]


REPORTS = REPOSITORY / ".build" / "demo-report"


def resize(settings: Settings, release: str, max_entries: int, name: str) -> Play:
    """Run the playbook, its output going to the terminal; LabError when it fails."""
    results = settings.state / f"results-{name}"
    results.mkdir()
    command = [inventory.ansible_playbook(), str(PLAYBOOK)]
    command += ["-i", str(settings.state / "inventory.yml")]
    variables = {
        "calico_conntrack_max_entries": max_entries,
        "calico_version": f"v{release}",
        "calico_report_dir": str(REPORTS),
        "lab_demo_results": str(results),
    }
    started = time.monotonic()
    output = _run_shown([*command, "-e", json.dumps(variables)])
    changed = {match[1]: int(match[2]) for match in RECAP.finditer(output)}
    reports = {file.stem: json.loads(file.read_text()) for file in results.glob("*.json")}
    return Play(time.monotonic() - started, changed, reports)


def _run_shown(command: list[str]) -> str:
    lines = []
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=inventory.ansible_environment(),
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} does not exist; run `make setup`.") from error
    with process:
        for line in process.stdout or ():
            lines.append(line)
            sys.stdout.write(line)
            sys.stdout.flush()
    if process.returncode:
        raise LabError(f"The playbook failed with status {process.returncode}.")
    return "".join(lines)

# SPDX-License-Identifier: GPL-3.0-or-later
"""kubectl on the lab's cluster, for tests."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")


class Kubectl:
    """kubectl with one kubeconfig."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def call(self, *arguments: str, stdin: str = "", context: str = "admin") -> Any:
        """The finished process."""
        command = ["kubectl", f"--kubeconfig={self.config}", f"--context={context}", *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=180
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What it prints; it must succeed."""
        process = self.call(*arguments, stdin=stdin)
        assert process.returncode == 0, process.stderr
        return str(process.stdout)

    def json(self, *arguments: str) -> Any:
        """The object or list that `kubectl get` finds."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def patch(self, *arguments: str, **change: Any) -> Any:
        """The finished process of a merge patch."""
        return self.call("patch", *arguments, "--type=merge", "-p", json.dumps(change))

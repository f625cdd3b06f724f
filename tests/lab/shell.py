# SPDX-License-Identifier: GPL-3.0-or-later
"""Running commands and waiting for conditions."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.lab.errors import LabError

T = TypeVar("T")


def run(*command: str, stdin: str = "", check: bool = True, shown: str = "") -> str:
    """Run a command and return its standard output; LabError carries its standard error.

    ``shown`` is what the error calls the command.
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        reason = (done.stderr or done.stdout).strip()
        raise LabError(
            f"`{shown or ' '.join(command)}` failed with status {done.returncode}: {reason}"
        )
    return done.stdout


def run_json(*command: str) -> Any:
    """Run a command and parse what it prints."""
    return json.loads(run(*command))


def wait_for(condition: Callable[[], T], seconds: float, what: str, pause: float = 0.02) -> T:
    """Poll until ``condition`` returns something true, and return that.

    LabError after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise LabError(f"Waited {seconds:g} s for {what}.")
        time.sleep(pause)
    return value

# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the tools that the virtual machines are made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SECONDS = 180  # the longest is a download of 40 MB


class UnavailableError(Exception):
    """Something cannot be had on this machine; the text says what and why."""


def run(*command: str, cwd: Path | None = None, feed: str | None = None) -> str:
    """What a command prints. Raises UnavailableError with its first complaint."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            input=feed,
            timeout=_SECONDS,
            check=False,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[:1]
        raise UnavailableError(f"{command[0]} failed: {''.join(said)}")
    return done.stdout

# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that say when they are ready, and go on when they are told to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.tools import REPOSITORY, BenchError, environment


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has said it is ready; ended with the block."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment(), stdin=pipe, stdout=pipe, text=True
    )
    try:
        if line(process) != "ready\n":
            raise BenchError(f"{command[0]} ended before it was ready.")
        yield process
    finally:
        process.kill()
        process.wait()


def tell(process: subprocess.Popen[str], what: str = "") -> None:
    """Write a line to the process."""
    assert process.stdin
    process.stdin.write(what + "\n")
    process.stdin.flush()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints. Raises BenchError when it ends instead."""
    assert process.stdout
    text = process.stdout.readline()
    if not text:
        raise BenchError("A program failed while something was measured.")
    return text

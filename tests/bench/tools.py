# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs, and compiling those of the benchmark."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
BUILD = REPOSITORY / ".build" / "bench"
LAB = HERE.parent / "lab"

SOURCES = {
    "copymap": HERE / "c" / "copymap.c",
    "lateness": HERE / "c" / "lateness.c",
    "udprtt": HERE / "c" / "udprtt.c",
    "spend": HERE / "c" / "spend.c",
    "switch": HERE / "c" / "switch.c",
    "ctmap": LAB / "tools" / "ctmap.c",
}


class BenchError(Exception):
    """Something could not run; the text is one whole sentence."""


@dataclass(frozen=True)
class Sample:
    """One run: seconds, entries that it moved or changed, and peak resident memory in MiB.

    ``cpu_seconds`` is what it used of a CPU, where that was asked for.
    """

    seconds: float
    entries: int
    peak_mib: float
    cpu_seconds: float = 0.0


def compile_programs() -> None:
    """Compile the C programs into .build/bench."""
    BUILD.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-Wall", "-Werror", "-D_GNU_SOURCE", f"-I{LAB / 'bpf'}", f"-I{LAB / 'tools'}"]
    for name, source in SOURCES.items():
        run("gcc", *flags, str(source), "-o", program(name), "-lbpf")


def program(name: str) -> str:
    """Path of a compiled program."""
    return str(BUILD / name)


def subject(*arguments: str) -> list[str]:
    """The command that runs the collection's own code once."""
    return [sys.executable, "-m", "tests.bench.subject", *arguments]


def environment() -> dict[str, str]:
    """Environment in which the collection can be imported from the checkout."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / ".build" / "src")}


def fingerprint() -> str:
    """A hash over the code of the collection that is measured."""
    digest = hashlib.sha256()
    for path in sorted((REPOSITORY / "plugins").rglob("*.py")):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command and return its standard output. Raises BenchError."""
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=env or environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()[-2000:]
        raise BenchError(f"`{_shown(command)}` failed with status {done.returncode}: {reason}")
    return done.stdout


def measure(*command: str) -> Sample:
    """Run a command whose last line of output says what it took. Raises BenchError."""
    return sample(run(*command))


def sample(output: str) -> Sample:
    """The last line of a program's output."""
    told: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return Sample(
        told["seconds"],
        told.get("entries", 0),
        told["peak_kib"] / 1024,
        told.get("cpu_seconds", 0.0),
    )


def say(text: str) -> None:
    """Tell how far the run is."""
    print(text, file=sys.stderr, flush=True)


def _shown(command: Sequence[str]) -> str:
    return " ".join(command).replace(f"{REPOSITORY}/", "")

# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.vm tests/kernel``: run tests, named as for pytest, on each kernel.

Ends with 0 (passed on all that could be had), 77 (on none) or 1. What is left out is told by
``LEFT_OUT_FILE``, as in the stages of the test run, else on standard error.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.vm.command import UnavailableError
from tests.vm.debian import Kernel, fetch
from tests.vm.image import ROOT, host_files, overlay, pack
from tests.vm.machine import Machine, Outcome, boot, this_machine

SUITES = os.environ.get("BPFOPS_VM_SUITES", "bullseye-security sid").split()
"""Suites of Debian: Linux 5.10 and the newest that there is; bookworm-security has 6.1."""

CACHE = ROOT / ".build/vm"
LIMIT = float(os.environ.get("BPFOPS_VM_TIMEOUT", "2400"))
"""Seconds that one virtual machine may take."""

LEFT_OUT = 77
_ROW = "{:<28} {:<18} {:>7} {:>7} {:>8} {:>8}"


def leave_out(reason: str) -> None:
    report = os.environ.get("LEFT_OUT_FILE")
    if not report:
        print(f"left out: {reason}", file=sys.stderr)
        return
    with Path(report).open("a", encoding="utf-8") as file:
        print(reason, file=file)


def kernels(architecture: str) -> list[Kernel]:
    """Those that can be had; the others are left out with their reason."""
    found: list[Kernel] = []
    for suite in SUITES:
        (CACHE / suite).mkdir(parents=True, exist_ok=True)
        try:
            found.append(fetch(suite, architecture, CACHE / suite))
        except UnavailableError as error:
            leave_out(f"the kernel of Debian's {suite}: {error}")
    return found


def tell(kernel: Kernel, outcome: Outcome) -> bool:
    """Print the row of a kernel and, when not all has passed, why; whether all has passed."""
    result = outcome.result
    if result is None:
        print(outcome.output)
        why = f"no result within {LIMIT:.0f} s" if outcome.timed_out else "ended without a result"
        print(f"! Linux {kernel.version}: {why}", flush=True)
        return False
    if result["status"]:
        print(f"{outcome.output}! pytest ended with {result['status']}")
    failed = result["failures"] + result["errors"]
    passed = result["tests"] - failed - result["skipped"]
    counts = (passed, failed, result["skipped"], f"{outcome.seconds:.0f}")
    print(_ROW.format(result["release"], kernel.version, *counts), flush=True)
    for reason in result["reasons"]:
        leave_out(f"on Linux {result['release']}, {reason}")
    return not result["status"]


async def test(machine: Machine, found: list[Kernel], tests: list[str], scratch: Path) -> bool:
    """Boot all kernels, a few at a time; whether all tests have passed."""
    # One more than CPUs: the last one would leave the others idle, as a run takes one CPU.
    base, free = scratch / "base.cpio", asyncio.Semaphore((os.cpu_count() or 1) + 1)
    pack(host_files(), Path("/"), base)

    async def one(kernel: Kernel) -> bool:
        async with free:
            place = scratch / kernel.version
            place.mkdir()
            archive = scratch / f"{kernel.version}.cpio"
            pack(overlay(kernel, tests, place), place, archive)
            with archive.open("ab") as file:
                file.write(base.read_bytes())
            log = CACHE / f"{kernel.version}.log"
            return tell(kernel, await boot(machine, kernel.image, archive, log, LIMIT))

    print(_ROW.format("release", "package", "passed", "failed", "skipped", "seconds"))
    return all(await asyncio.gather(*map(one, found)))


def main(tests: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # and let everything clean up
    try:
        machine = this_machine()
        if not shutil.which(machine.qemu):
            raise UnavailableError(f"{machine.qemu} is not on this machine")
        found = kernels(machine.architecture)
        if not found:
            return LEFT_OUT
        with TemporaryDirectory(dir=CACHE) as scratch:
            return 0 if asyncio.run(test(machine, found, tests, Path(scratch))) else 1
    except UnavailableError as error:
        leave_out(str(error))
        return LEFT_OUT


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines without KVM, which not every machine has and containers rarely get."""

from __future__ import annotations

import asyncio
import json
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.vm import guest
from tests.vm.command import UnavailableError

_MEMORY = "4G"  # a part is the initramfs; tests leave their maps pinned to the end
_CPUS = "2"  # the tests of LRU lists and per-CPU maps want more than one


class Machine(NamedTuple):
    """What qemu and Debian call an architecture."""

    architecture: str
    qemu: str
    board: str
    console: str


MACHINES = {
    "x86_64": Machine("amd64", "qemu-system-x86_64", "q35", "ttyS0"),
    "aarch64": Machine("arm64", "qemu-system-aarch64", "virt", "ttyAMA0"),
}


class Outcome(NamedTuple):
    """What came of a boot; ``result`` is what the guest told, None when it told nothing."""

    result: dict[str, Any] | None
    seconds: float
    output: str
    timed_out: bool


def this_machine() -> Machine:
    """Raises UnavailableError on a machine whose kernels are not known here."""
    name = platform.machine()
    if name not in MACHINES:
        raise UnavailableError(f"there are virtual machines for {', '.join(MACHINES)}, not {name}")
    return MACHINES[name]


def _command(machine: Machine, image: Path, initramfs: Path) -> list[str]:
    arguments = f"console={machine.console} loglevel=3 panic=-1 random.trust_cpu=on"
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),  # even when this process is killed
        *(machine.qemu, "-machine", machine.board, "-accel", "tcg,thread=multi", "-cpu", "max"),
        *("-m", _MEMORY, "-smp", _CPUS, "-kernel", str(image), "-initrd", str(initramfs)),
        *("-append", arguments, "-nodefaults", "-display", "none", "-serial", "stdio"),
        "-no-reboot",
    ]


async def boot(machine: Machine, image: Path, initramfs: Path, log: Path, limit: float) -> Outcome:
    """Boot, and wait ``limit`` seconds at most for the end; the console is written to ``log``."""
    started, timed_out = time.monotonic(), False
    with log.open("wb") as console:
        process = await asyncio.create_subprocess_exec(
            *_command(machine, image, initramfs),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        try:
            await asyncio.wait_for(process.wait(), limit)
        except TimeoutError:
            timed_out = True
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    output = log.read_text("utf-8", "replace").replace("\r\n", "\n")
    return Outcome(_result(output), time.monotonic() - started, _told(output), timed_out)


def _result(output: str) -> dict[str, Any] | None:
    _, found, told = output.rpartition(guest.RESULT)
    try:
        return dict(json.loads(told.partition("\n")[0])) if found else None
    except ValueError:
        return None


def _told(output: str) -> str:
    """What the tests printed; all of the console when they were not reached."""
    return output.rpartition(guest.STARTED)[2].partition(guest.RESULT)[0]

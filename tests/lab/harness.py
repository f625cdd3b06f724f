# SPDX-License-Identifier: GPL-3.0-or-later
"""For tests: a lab of their own, driven as users drive it and looked at from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError
from tests.lab.kernel_objects import ids
from tests.lab.settings import REPOSITORY
from tests.lab.shell import wait_for

NAME = os.environ.get("BPFOPS_LAB_NAME", "labtest")
SUBNET = os.environ.get("BPFOPS_LAB_SUBNET", "10.80.0.0/24")
COMMAND = (sys.executable, "-m", "tests.lab")
ENVIRONMENT = {**os.environ, "BPFOPS_LAB_NAME": NAME, "BPFOPS_LAB_SUBNET": SUBNET}
FILTERS = """
for path in /sys/class/net/cali*; do
    for hook in ingress egress; do
        echo "${path##*/} $hook $(tc -j filter show dev "${path##*/}" $hook | tr -d '\\n')"
    done
done
"""
# bpftool fails for pins of other kinds.
PINNED_MAPS = (
    "find /sys/fs/bpf -type f -exec bpftool -j map show pinned {} ';' 2>/dev/null | grep id"
)
PIN = "/sys/fs/bpf/tc/globals/cali_v4_ct3"


def call(*arguments: str, environment: dict[str, str] | None = None) -> Any:
    """Run ``python3 -m tests.lab`` and return the finished process, whatever its status."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=REPOSITORY,
        env={**ENVIRONMENT, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def begin(*arguments: str) -> subprocess.Popen[str]:
    """Start ``python3 -m tests.lab`` and do not wait for it."""
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=REPOSITORY, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )


def lab(*arguments: str) -> str:
    """Run ``python3 -m tests.lab``, which must succeed, and return its output."""
    done = call(*arguments)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return str(done.stdout)


def in_node(node: str, *argv: str) -> str:
    """Run a command in a node; it must succeed."""
    return lab("exec", node, "--", *argv)


def in_pod(node: str, pod: int, *argv: str) -> str:
    """Run a command in a pod of a node; it must succeed."""
    return in_node(node, "ip", "netns", "exec", f"pod{pod}", *argv)


def agent(node: str) -> dict[str, Any]:
    """What `lab-agent status` prints."""
    report: dict[str, Any] = json.loads(in_node(node, "lab-agent", "status"))
    return report


def filters(node: str) -> dict[tuple[str, str], list[tuple[int, str, int]]]:
    """(preference, handle, program id) of each filter of each cali interface and hook, by tc."""
    found = {}
    for line in in_node(node, "sh", "-c", FILTERS).splitlines():
        interface, hook, text = line.split(" ", 2)
        found[interface, hook] = [
            (one["pref"], one["options"]["handle"], one["options"]["prog"]["id"])
            for one in json.loads(text)
            if "options" in one
        ]
    return found


def entries(node: str) -> dict[bytes, bytes]:
    """The node's conntrack map as bpftool dumps it."""
    dumped = json.loads(in_node(node, "bpftool", "-j", "map", "dump", "pinned", PIN))
    return {_bytes(entry["key"]): _bytes(entry["value"]) for entry in dumped}


def _bytes(hexadecimal: list[str]) -> bytes:
    return bytes(int(byte, 16) for byte in hexadecimal)


@dataclass
class Traces:
    """Everything in the kernel and in /run that bears the lab's name or belongs to it."""

    named: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    programs: set[int] = field(default_factory=set)
    maps: set[int] = field(default_factory=set)

    def still_there(self) -> Traces:
        """What of it exists now, and whatever bears the lab's name now."""
        now = traces()
        return Traces(
            now.named,
            [process for process in self.processes if Path(process).exists()] + now.processes,
            self.programs & ids("prog"),
            self.maps & ids("map"),
        )

    def __bool__(self) -> bool:
        return bool(self.named or self.processes or self.programs or self.maps)


def traces() -> Traces:
    """Look for the lab from the host; BPF objects need `with_objects`."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return Traces(
        named=[
            *(str(path) for path in Path("/run").glob(f"{NAME}*")),
            *(str(path) for path in Path("/run/netns").glob(f"{NAME}*")),
            *(str(path) for path in Path("/sys/class/net").glob(f"{NAME}*")),
            *(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{NAME}*")),
            *(str(path) for path in (REPOSITORY / ".lab").glob(NAME)),
            *(line for line in mounts if NAME in line),
        ],
        processes=[str(path) for path in Path("/proc").glob("[0-9]*") if _ours(path)],
    )


def with_objects(found: Traces, nodes: list[str]) -> Traces:
    """Add the ids of the programs and maps that the nodes use, by tc and bpftool.

    Without program arrays: whoever looks at all maps of the kernel at a bad moment, as tests of
    another lab do, leaves them for good (see `kernel_objects.wait_until_freed`).
    """
    for node in nodes:
        for shown in filters(node).values():
            found.programs |= {program for _, _, program in shown}
        for line in in_node(node, "sh", "-c", PINNED_MAPS).splitlines():
            shown_map = json.loads(line)
            if shown_map["type"] != "prog_array":
                found.maps.add(shown_map["id"])
    return found


def gone(found: Traces, seconds: float = 10) -> Traces:
    """Wait for ``found`` to vanish, since dead processes need reaping; return what stays."""
    try:
        wait_for(lambda: not found.still_there(), seconds, "the lab to vanish", 0.1)
    except LabError:
        return found.still_there()
    return Traces()


def until(condition: Callable[[], Any], what: str, seconds: float = 15) -> None:
    """Wait for a condition of a test."""
    wait_for(condition, seconds, what, 0.002)


def _ours(process: Path) -> bool:
    """In the lab's cgroups, or an ssh connection to one of its nodes."""
    try:
        cgroup = (process / "cgroup").read_text()
        command = (process / "cmdline").read_text()
    except OSError:
        return False
    return f"/{NAME}-lab" in cgroup or command.startswith(f"ssh: /run/{NAME}-lab")

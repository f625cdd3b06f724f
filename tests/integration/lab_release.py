# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a node whose agent plays a release, by bpftool and tc."""

from __future__ import annotations

import json
import os
import subprocess
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from tests.integration.lab_release_pins import Parameters
from tests.lab import node as nodes
from tests.lab.harness import NAME, SUBNET
from tests.lab.settings import REPOSITORY, Settings

GLOBALS = "/sys/fs/bpf/tc/globals/"
# bpftool fails for pins of other kinds.
_PINNED = """find /sys/fs/bpf -type f | while read -r pin; do
    echo "$pin $(bpftool -j map show pinned "$pin" 2>/dev/null)"
done"""
BASE = Path(os.environ.get("BPFOPS_LAB_DIR", REPOSITORY / ".lab"))
LAB = Settings(NAME, IPv4Network(SUBNET), BASE.absolute())


def in_node(node: str, *argv: str) -> str:
    """Run a command in a node, without the lab's command line; it must succeed."""
    done = run(node, *argv)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return str(done.stdout)


def run(node: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a node and return the finished process, whatever its status."""
    command = nodes.find(LAB, node).command(*argv)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def configure(node: str, release: str, felix: str = "", **options: str) -> None:
    """Tell the agent what to play; ``felix``: lines of felix.cfg."""
    lines = [f"release = {release}", *(f"{name} = {text}" for name, text in options.items())]
    write(node, "/etc/calico/lab-agent.cfg", "[lab]\n" + "\n".join(lines))
    write(node, "/etc/calico/felix.cfg", f"[global]\n{felix}\n")


def write(node: str, path: str, text: str) -> None:
    """Write a file in a node."""
    in_node(node, "sh", "-c", 'printf "%s\\n" "$0" >$1', text, path)


def fresh(node: str, release: str, felix: str = "", **options: str) -> None:
    """Start the agent as if the node had just booted."""
    in_node(node, "lab-agent", "stop")
    in_node(
        node,
        "sh",
        "-c",
        "for i in /sys/class/net/*; do tc qdisc del dev ${i##*/} clsact 2>/dev/null; done;"
        "ip link del bpfin.cali 2>/dev/null;"
        # Without its pin a link is detached some time later, beside the next one.
        "for i in /sys/fs/bpf/tcx/*; do bpftool link detach pinned $i 2>/dev/null; done;"
        "rm -rf /sys/fs/bpf/tc /sys/fs/bpf/tcx /sys/fs/bpf/ctlb /run/calico/bpf",
    )
    configure(node, release, felix, **options)
    in_node(node, "lab-agent", "start")


def restart(node: str) -> subprocess.CompletedProcess[str]:
    """Restart the agent and return the finished process."""
    return run(node, "lab-agent", "restart")


def pins(node: str) -> dict[str, dict[str, Any]]:
    """bpftool's view of each map pinned in the node, by path; 15 characters of the name.

    It opens no map by its id: where no descriptor and no pin holds a program array, that makes
    the kernel clear it again, and often leak it.
    """
    lines = in_node(node, "sh", "-c", _PINNED).splitlines()
    shown = {path: json.loads(told or "{}") for path, _, told in (x.partition(" ") for x in lines)}
    return {path: one for path, one in shown.items() if "id" in one}


def parameters(one: dict[str, Any]) -> Parameters:
    """Type, key, value, max_entries and flags of a map that bpftool shows."""
    return (
        one["type"],
        one["bytes_key"],
        one["bytes_value"],
        one["max_entries"],
        int(one["flags"]),
    )


def dump(node: str, *place: str) -> dict[bytes, bytes]:
    """A map's entries by bpftool; empty slots of a program array are left out."""
    shown = json.loads(in_node(node, "bpftool", "-j", "map", "dump", *place))
    return {_bytes(one["key"]): _bytes(one["value"]) for one in shown if _is_bytes(one["value"])}


def program(node: str, *place: str) -> dict[str, Any]:
    """bpftool's view of a program."""
    shown: dict[str, Any] = json.loads(in_node(node, "bpftool", "-j", "prog", "show", *place))
    return shown


def rodata(node: str, program_id: int) -> tuple[dict[str, Any], bytes]:
    """The map with a program's globals, and its bytes."""
    for map_id in program(node, "id", str(program_id))["map_ids"]:
        shown = json.loads(in_node(node, "bpftool", "-j", "map", "show", "id", str(map_id)))
        if shown["name"].endswith(".rodata"):
            return shown, next(iter(dump(node, "id", str(map_id)).values()))
    raise AssertionError(f"program {program_id} has no read-only globals")


def _is_bytes(value: Any) -> bool:
    return isinstance(value, list)


def _bytes(hexadecimal: list[str]) -> bytes:
    return bytes(int(byte, 16) for byte in hexadecimal)

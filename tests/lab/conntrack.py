# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling, dumping and comparing a node's conntrack map (16-byte keys, 88-byte values)."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from tests.lab import build
from tests.lab.errors import LabError
from tests.lab.node import Node
from tests.lab.settings import POD_POOL
from tests.lab.shell import run

PIN = "sys/fs/bpf/tc/globals/cali_v4_ct3"
KEY_SIZE, VALUE_SIZE = 16, 88
RECORD_SIZE = KEY_SIZE + VALUE_SIZE
# Each client address of 198.18.0.0/15 has 32768 ports.
MAX_FILL = 1 << 31


@dataclass
class Difference:
    """Keys by what became of them between two dumps."""

    only_a: list[bytes] = field(default_factory=list)
    only_b: list[bytes] = field(default_factory=list)
    forward: list[bytes] = field(default_factory=list)
    recreated: list[bytes] = field(default_factory=list)
    backward: list[bytes] = field(default_factory=list)
    same_last_seen: list[bytes] = field(default_factory=list)
    equal: int = 0

    def report(self) -> dict[str, object]:
        """Counts, and a few keys of each kind that may mean a loss."""
        lost = {
            "only_in_a": self.only_a,
            "recreated": self.recreated,
            "backward": self.backward,
        }
        differ = (self.forward, self.recreated, self.backward, self.same_last_seen)
        return {
            "equal": self.equal,
            "only_in_a": len(self.only_a),
            "only_in_b": len(self.only_b),
            "differ": sum(map(len, differ)),
            "last_seen_forward": len(self.forward),
            "recreated": len(self.recreated),
            "last_seen_backward": len(self.backward),
            "last_seen_same": len(self.same_last_seen),
            "examples": {name: [describe(key) for key in keys[:5]] for name, keys in lost.items()},
        }


def pin(node: Node) -> Path:
    """The node's conntrack pin as the host reaches it."""
    return node.root() / PIN


def fill(node: Node, count: int) -> None:
    """Add ``count`` entries of made-up flows (70 % TCP, 30 % UDP) outside the pods' networks."""
    if not 0 <= count <= MAX_FILL:
        raise LabError(f"COUNT is {count}; use 0 to {MAX_FILL}.")
    _ctmap(node, "fill", str(count))


def count(node: Node) -> int:
    """Entries in the node's conntrack map."""
    return int(_ctmap(node, "count"))


def _ctmap(node: Node, action: str, *arguments: str) -> str:
    tool = str(build.tool(node.settings, "ctmap"))
    return run(tool, action, str(pin(node)), *arguments, shown=f"{action} {node.name}")


def dump(node: Node, file: Path) -> None:
    """Write key and value of every entry, 104 bytes each, in no order."""
    command = [str(build.tool(node.settings, "ctmap")), "dump", str(pin(node))]
    with file.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise LabError(done.stderr.decode().strip())


def compare(a: Path, b: Path) -> Difference:
    """What changed from dump ``a`` to dump ``b``."""
    before, after = _read(a), _read(b)
    found = Difference(only_b=[key for key in after if key not in before])
    for key, old in before.items():
        new = after.get(key)
        if new is None:
            found.only_a.append(key)
        elif new == old:
            found.equal += 1
        else:
            _kind(found, old, new).append(key)
    return found


def last_seen(value: bytes) -> int:
    """CLOCK_MONOTONIC nanoseconds of the flow's last packet."""
    return int.from_bytes(value[8:16], "little")


def addresses(key: bytes) -> tuple[IPv4Address, IPv4Address]:
    """The two sides of a key."""
    return IPv4Address(key[4:8]), IPv4Address(key[8:12])


def between_pods(key: bytes) -> bool:
    """Whether both sides are pods of the lab: the flow is live, not made up."""
    return all(address in POD_POOL for address in addresses(key))


def describe(key: bytes) -> str:
    """A key for people."""
    protocol, port_a, port_b = struct.unpack("<I8xHH", key)
    a, b = addresses(key)
    return f"protocol {protocol} {a}:{port_a} {b}:{port_b}"


def _kind(found: Difference, old: bytes, new: bytes) -> list[bytes]:
    if last_seen(new) == last_seen(old):
        return found.same_last_seen
    if last_seen(new) < last_seen(old):
        return found.backward
    # The first field is the time of creation (until release 3.29): a flow that
    # lost its entry and got another one.
    return found.forward if new[:8] == old[:8] else found.recreated


def _read(file: Path) -> dict[bytes, bytes]:
    data = file.read_bytes()
    if len(data) % RECORD_SIZE:
        raise LabError(f"{file} has {len(data)} bytes, which is no multiple of {RECORD_SIZE}.")
    records = struct.iter_unpack(f"{KEY_SIZE}s{VALUE_SIZE}s", data)
    return dict(records)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a node for an audit, runs the audits on it, and prints what each took.

To be run in a network and a mount namespace of its own, with a bpffs at /sys/fs/bpf; what it has
made is gone with them, but for the cgroups.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.bench.maps import BPFFS, settle
from tests.bench.tools import measure, program, run, subject
from tests.kernel.node_state import MAPS, Node
from tests.observe import rawbpf

ROOT = BPFFS / "node"
_CGROUPS_OF_A_POD = 3
_UDP = 17


def main() -> None:
    """Audit the node while it is empty and when it is full, and print the samples as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("pods", "entries", "services", "rounds"):
        parser.add_argument(name, type=int)
    wanted = parser.parse_args()
    ROOT.mkdir()
    with _cgroups(0) as cgroup:
        empty = [_audit(cgroup) for _ in range(wanted.rounds)]
    with _cgroups(wanted.pods) as cgroup, _node(wanted.pods, 2 * wanted.entries) as node:
        table = str(node.globals / "cali_v4_ct3")
        flows = ["0", "-1", "created", "service"]
        run(program("ctmap"), "fill", table, str(wanted.entries), *flows)
        _fill_services(node.fds["cali_v4_nat_fe3"], wanted.services)
        settle()
        full = [_audit(cgroup) for _ in range(wanted.rounds)]
    print(json.dumps({"empty": empty, "full": full}))


def _audit(cgroup: Path) -> dict[str, float]:
    return asdict(measure(*subject("audit", str(ROOT), str(cgroup))))


@contextmanager
def _node(pods: int, room: int) -> Iterator[Node]:
    node = Node(ROOT, tuple(f"cali{number:011d}" for number in range(pods)))
    try:
        (node.globals / "cali_v4_ct3").unlink()
        kind, key, value, _, flags = MAPS["cali_v4_ct3"]
        node.pin_map("cali_v4_ct3", kind, key, value, room, flags)
        node.attach_all()
        for interface in node.workloads:
            state = struct.pack("<I48x", 0x3)
            rawbpf.put(node.fds["cali_iface4"], struct.pack("<I", interface.ifindex), state)
        yield node
    finally:
        node.close()


def _fill_services(table: int, services: int) -> None:
    """Frontends of UDP Services, none of which a made-up flow goes to."""
    for number in range(services):
        address = struct.pack(">I", 0x0A600000 + number)
        key = struct.pack("<I4sHB4sB", 56, address, 53, _UDP, bytes(4), 0)
        rawbpf.put(table, key, struct.pack("<5I", number, 2, 1, 0, 0))


@contextmanager
def _cgroups(pods: int) -> Iterator[Path]:
    """A cgroup to take for the root, with those of so many pods below it."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    (root, *_) = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    top = Path(root, f"bench-audit-{os.getpid()}")
    made = [top, *(top / f"pod{number}" for number in range(pods))]
    made += [place / str(number) for place in made[1:] for number in range(_CGROUPS_OF_A_POD - 1)]
    try:
        for place in made:
            place.mkdir()
        yield top
    finally:
        for place in reversed(made):
            place.rmdir()


if __name__ == "__main__":
    main()

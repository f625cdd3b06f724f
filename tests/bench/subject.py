# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's own code once in a process of its own, and says what that took.

``copy OLD NEW``, ``carry OLD NEW``, ``prune OLD NEW``, ``migrate PIN``, ``sized PINS SIZE``,
``settled PINS SIZE`` and ``audit BPFFS CGROUP``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ansible_collections.bpfops.calico.plugins.module_utils._kernel import passes, user_passes
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.copy import copy_entries
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.readers import Side
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.rules import Rule

TIMESTAMP_OFFSET = 8

Operation = Callable[[], int]


def main() -> None:
    """Run one operation and print seconds, entries and peak memory as JSON."""
    arguments = _parser().parse_args()
    with ExitStack() as stack:
        operation: Operation = arguments.prepare(stack, arguments)
        if arguments.gate:
            _wait_for_start()
        began, before = time.perf_counter(), time.process_time()
        entries = operation()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - before
        while time.perf_counter() - began < arguments.at_least:
            operation()
    told = {"seconds": seconds, "cpu_seconds": cpu_seconds, "entries": entries}
    print(json.dumps({**told, "peak_kib": peak_kib()}), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gate", action="store_true", help="say ready, wait for a line")
    parser.add_argument("--at-least", type=float, default=0, help="repeat for so many seconds")
    commands = parser.add_subparsers(required=True)
    for name, prepare in (("copy", _copy), ("carry", _carry), ("prune", _prune)):
        command = commands.add_parser(name)
        command.add_argument("old")
        command.add_argument("new")
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--since", type=int, help="ns of CLOCK_MONOTONIC")
        command.add_argument(
            "--batches", action="store_true", help="no map iterator, as before 5.9"
        )
        command.set_defaults(prepare=prepare)
    migrate = commands.add_parser("migrate")
    migrate.add_argument("pin")
    migrate.add_argument("max_entries", type=int)
    migrate.add_argument("--timestamp", action="store_true")
    migrate.set_defaults(prepare=_migrate)
    for state in ("sized", "settled"):
        resize = commands.add_parser(state)
        resize.add_argument("pins")
        resize.add_argument("max_entries", type=int)
        resize.set_defaults(prepare=_resize, state=state)
    audit = commands.add_parser("audit")
    audit.add_argument("bpffs")
    audit.add_argument("cgroup_root")
    audit.set_defaults(prepare=_audit)
    return parser


def _copy(stack: ExitStack, arguments: argparse.Namespace) -> Operation:
    old, new = _side(stack, arguments.old), _side(stack, arguments.new)
    return lambda: copy_entries(old, new, threads=arguments.threads)


def _carry(stack: ExitStack, arguments: argparse.Namespace) -> Operation:
    old, new = _side(stack, arguments.old), _side(stack, arguments.new)
    rule = Rule() if arguments.since is None else Rule(TIMESTAMP_OFFSET, arguments.since)
    way = user_passes if arguments.batches else passes
    return lambda: way.carry(old, new, rule).changed


def _prune(stack: ExitStack, arguments: argparse.Namespace) -> Operation:
    old, new = _side(stack, arguments.old), _side(stack, arguments.new)
    return lambda: passes.prune(old, new).changed


def _migrate(_: ExitStack, arguments: argparse.Namespace) -> Operation:
    # Here, because it loads Ansible, whose memory is not the copy's.
    from ansible_collections.bpfops.calico.plugins.modules import bpf_map

    params = {name: spec.get("default") for name, spec in bpf_map.ARGUMENT_SPEC.items()}
    params.update(path=arguments.pin, max_entries=arguments.max_entries)
    params["timestamp_offset"] = TIMESTAMP_OFFSET if arguments.timestamp else None
    return lambda: int(bpf_map.work(params, False).facts["migration"]["entries"])


def _resize(_: ExitStack, arguments: argparse.Namespace) -> Operation:
    from ansible_collections.bpfops.calico.plugins.modules import conntrack_map

    params = {name: spec.get("default") for name, spec in conntrack_map.ARGUMENT_SPEC.items()}
    params.update(state=arguments.state, pin_dir=arguments.pins, calico_version="v3.29.7")
    if arguments.state == "sized":
        params["max_entries"] = arguments.max_entries
    return lambda: sum(
        int(one["entries"]) for one in conntrack_map.work(params, False).facts["carried"]
    )


def _audit(_: ExitStack, arguments: argparse.Namespace) -> Operation:
    return lambda: _node_info(arguments.bpffs, arguments.cgroup_root)


def _node_info(bpffs: str, cgroup_root: str) -> int:
    """The whole module with what it imports; entries of the maps that it has counted."""
    from ansible_collections.bpfops.calico.plugins.modules import node_info

    params = {name: spec.get("default") for name, spec in node_info.ARGUMENT_SPEC.items()}
    params.update(bpffs=bpffs, cgroup_root=cgroup_root)
    result = node_info.work(params, True)
    if result.findings or not result.facts["interfaces_known"]:
        raise SystemExit(f"The node is not healthy: {result.findings} {result.warnings}")
    return sum(one["entries"] or 0 for one in result.facts["maps"])


def _side(stack: ExitStack, path: str) -> Side:
    opened = stack.enter_context(Map.open(path))
    return Side(opened, opened.info().spec)


def _wait_for_start() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def peak_kib() -> int:
    """Peak resident memory of this process in KiB."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that has nothing to do, by ansible-playbook over ssh with pipelining."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.bench.maps import shuffled
from tests.bench.scale import Scale
from tests.bench.tools import BUILD, BenchError, run, say
from tests.lab import inventory

PING, NO_OP = "ping", "bpf_map"

TASKS = {
    PING: "ansible.builtin.ping: {}",
    NO_OP: (
        "bpfops.calico.bpf_map: {path: /sys/fs/bpf/bench, type: hash, key_size: 16, "
        "value_size: 88, max_entries: 512000, flags: [BPF_F_NO_PREALLOC]}"
    ),
}

Seconds: TypeAlias = "dict[tuple[str, int], list[float]]"
"""Runs by task and number of tasks in the play."""

_LAB = {"BPFOPS_LAB_NAME": "bench", "BPFOPS_LAB_SUBNET": "10.83.0.0/24"}


def measure_plays(scale: Scale, seconds: Seconds) -> None:
    """Add plays of one task and of several, in random order, on a lab node."""
    with _lab_node() as hosts:
        cases = [(task, count) for task in TASKS for count in (1, scale.tasks)]
        for task, count in cases:
            _play(hosts, task, count)  # makes the map, opens the connection
        for case in (case for _ in range(scale.play_rounds) for case in shuffled(cases)):
            say("play of {1} x {0}".format(*case))
            began = time.perf_counter()
            output = _play(hosts, *case)
            seconds.setdefault(case, []).append(time.perf_counter() - began)
            if "changed=0 " not in output:
                raise BenchError(f"A play that should change nothing did: {output}")


@contextmanager
def _lab_node() -> Iterator[Path]:
    """The inventory of a lab with one node."""
    hosts = BUILD / "inventory.yml"
    try:
        _lab("up", "--nodes", "1", "--pods", "0", "--no-agent")
        hosts.write_text(_lab("inventory"))
        yield hosts
    finally:
        _lab("down")


def _lab(*arguments: str) -> str:
    return run(sys.executable, "-m", "tests.lab", *arguments, env={**os.environ, **_LAB})


def _play(hosts: Path, task: str, count: int) -> str:
    book = BUILD / f"{task}-{count}.yml"
    tasks = f"    - {TASKS[task]}\n" * count
    book.write_text(f"- hosts: {inventory.GROUP}\n  gather_facts: false\n  tasks:\n{tasks}")
    environment = {**inventory.ansible_environment(), "ANSIBLE_PIPELINING": "true"}
    command = [inventory.ansible_playbook(), "--inventory", str(hosts), str(book)]
    return run(*command, env=environment)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters as tc shows them, and tc_attachment, in a network namespace of a test's own."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._runner import Result
from ansible_collections.bpfops.calico.plugins.modules import tc_attachment
from tests.kernel import node_state
from tests.kernel.node_state import Node, named_map
from tests.observe import rawbpf

WORKLOADS = ("calix", "caliy")


class Shown(NamedTuple):
    """A filter as tc shows it."""

    preference: int
    handle: int
    program: int
    name: str


def shown(interface: str, hook: str) -> list[Shown]:
    """The BPF filters of a hook in tc's order."""
    command = ["tc", "-j", "filter", "show", "dev", interface, hook]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    found = [one for one in json.loads(answer or "[]") if "bpf_name" in one.get("options", {})]
    return [
        Shown(
            one["pref"],
            int(one["options"]["handle"], 16),
            one["options"]["prog"]["id"],
            one["options"]["bpf_name"],
        )
        for one in found
    ]


def places(interface: str) -> dict[str, list[tuple[int, int]]]:
    """Preference and handle of the filters with Calico's name."""
    return {
        hook: [
            (one.preference, one.handle)
            for one in shown(interface, hook)
            if one.name.startswith("cali_tc_preambl:[")
        ]
        for hook in ("ingress", "egress")
    }


def both(preference: int, handle: int) -> dict[str, list[tuple[int, int]]]:
    """One filter on each hook, at one place."""
    return {hook: [(preference, handle)] for hook in ("ingress", "egress")}


@contextmanager
def forgotten_arrays(node: Node) -> Iterator[None]:
    """Programs made in the block call into program arrays that a start of felix put aside."""
    pinned = dict(node.fds)
    aside = node.globals / "old_jumps" / "1234"
    aside.mkdir(parents=True)
    for name in ("cali_jump3", "cali_progs3"):
        node.fds[name] = named_map(name, *node_state.MAPS[name])
        rawbpf.pin(node.fds[name], str(aside / name))
    main = struct.pack("<I", node.static)
    rawbpf.put(node.fds["cali_progs3"], struct.pack("<I", node_state.MAIN_SLOT), main)
    yield
    for name in ("cali_jump3", "cali_progs3"):
        os.close(node.fds[name])
    node.fds.update(pinned)


def run(node: Node, check: bool = False, **params: Any) -> Result:
    defaults = {name: spec.get("default") for name, spec in tc_attachment.ARGUMENT_SPEC.items()}
    return tc_attachment.work({**defaults, "bpffs": str(node.root), **params}, check)


def everything() -> dict[tuple[str, str], list[Any]]:
    """All BPF filters."""
    return {(name, hook): shown(name, hook) for name in WORKLOADS for hook in ("ingress", "egress")}


def tcx(node: Node, hook: str) -> None:
    try:
        node.attach_tcx(node.workloads[0], hook)
    except OSError as error:
        pytest.skip(f"no TCX here: {error}")

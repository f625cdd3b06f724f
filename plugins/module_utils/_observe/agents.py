# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of Calico's, and what shows that one of them is felix in eBPF mode."""

from __future__ import annotations

from typing import Iterable, Iterator

from .._calico.agent import NAMES, is_felix
from .._calico.maps import rows_fitting
from .._errors import SyscallError
from .._kernel import processes
from .._kernel.maps import Map
from .._kernel.programs import Program
from .._plan.felix_mode import Agent
from .._plan.findings_input import Node


def agents(node: Node | None = None) -> tuple[Agent, ...]:
    """The processes now; without a ``node`` only their maps are looked at."""
    loaded = dict(_load_times(node)) if node else {}
    found = []
    for one in processes.named(NAMES):
        felix = is_felix(one.name, one.arguments)
        newer = tuple(number for number, when in loaded.items() if felix and when > one.started)
        command = " ".join(one.arguments) or one.name
        found.append(Agent(one.pid, command, _calico_maps(one.pid), newer))
    return tuple(found)


def _load_times(node: Node) -> Iterator[tuple[int, int]]:
    for number in sorted(_attached(node)):
        try:
            with Program.from_id(number) as opened:
                yield number, opened.info().load_time
        except SyscallError:  # gone
            continue


def _attached(node: Node) -> Iterable[int]:
    return {
        one.prog_id
        for interface in node.interfaces
        for one in interface.attachments
        if one.calico and one.prog_id is not None
    }


def _calico_maps(pid: int) -> tuple[str, ...]:
    names = set()
    for number in processes.held_maps(pid):
        try:
            with Map.from_id(number) as opened:
                spec = opened.info().spec
        except SyscallError:  # gone
            continue
        if rows_fitting(spec):
            names.add(spec.name)
    return tuple(sorted(names))

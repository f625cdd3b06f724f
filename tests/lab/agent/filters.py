# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts programs on an interface's tc hooks as each release does, by filters or by TCX."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from . import bpf, libbpf
from .releases import DECREMENT, REPLACE

HOOKS = ("ingress", "egress")
POINTS = (libbpf.TC_INGRESS, libbpf.TC_EGRESS)
TCX_TYPES = (46, 47)
TCX_PINS = Path("/sys/fs/bpf/tcx")


class Filter(NamedTuple):
    """One of Calico's filters."""

    preference: int
    handle: int
    program: int


class Place(NamedTuple):
    """Where a filter is on its hook."""

    preference: int
    handle: int


class Interface(NamedTuple):
    """A workload's interface."""

    number: int
    name: str


def existing(interface: Interface, hook: int) -> list[Filter]:
    """Calico's filters by their names, highest preference first."""
    shown = _tc("-j", "filter", "show", "dev", interface.name, HOOKS[hook])
    found = []
    for one in json.loads(shown or "[]"):
        options = one.get("options", {})
        if options.get("bpf_name", "").startswith(("cali_tc_preambl", "calico_")):
            handle = int(options["handle"], 16)
            found.append(Filter(one["pref"], handle, options["prog"]["id"]))
    return sorted(found, reverse=True)


def attach(program: int, interface: Interface, hook: int, behaviour: str) -> Place:
    """Add the program's filter and deal with earlier ones as the release does.

    Returns where it is.
    """
    before = existing(interface, hook)
    preference = handle = 0
    if before and behaviour != DECREMENT:
        preference = before[0].preference
    if before and behaviour == REPLACE:
        handle = before[0].handle
    place = libbpf.attach_filter(program, interface.number, POINTS[hook], preference, handle)
    if behaviour != REPLACE:
        for old in before:
            remove(interface, hook, old)
    return Place(*place)


def remove(interface: Interface, hook: int, old: Filter) -> None:
    """Delete one filter by its place."""
    place = ["pref", str(old.preference), "handle", hex(old.handle), "bpf"]
    _tc("filter", "del", "dev", interface.name, HOOKS[hook], "protocol", "all", *place)


def attach_tcx(program: int, interface: Interface, hook: int) -> None:
    """Put the program behind the pinned link, or make one; then no clsact is left."""
    pin = TCX_PINS / f"{interface.name.replace('.', '')}_{HOOKS[hook]}"
    link = bpf.opened(pin)
    if link is not None and not bpf.update_link(link, program):
        pin.unlink()
        link = None
    if link is None:
        link = bpf.link(program, interface.number, TCX_TYPES[hook])
        bpf.pin(link, pin)
    os.close(link)


def remove_clsact(interface: Interface) -> None:
    """Delete the qdisc with all filters, whoever owns them."""
    if "clsact" in _tc("qdisc", "show", "dev", interface.name):
        _tc("qdisc", "del", "dev", interface.name, "clsact")


def _tc(*arguments: str) -> str:
    done = subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"tc {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout

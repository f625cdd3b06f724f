# SPDX-License-Identifier: GPL-3.0-or-later
"""What felix 3.26 has written of its attached programs, so as not to attach them again."""

from __future__ import annotations

import json
from pathlib import Path

from . import filters
from .filters import HOOKS, Interface

DIRECTORY = Path("/run/calico/bpf/prog")


def current(interface: Interface, hook: int) -> bool:
    """Whether the recorded program is the one that is attached."""
    try:
        recorded = json.loads(_file(interface, hook).read_text())["id"]
    except FileNotFoundError:
        return False
    return [one.program for one in filters.existing(interface, hook)] == [recorded]


def write(interface: Interface, hook: int) -> None:
    """Record what is attached now."""
    program = filters.existing(interface, hook)[0].program
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    _file(interface, hook).write_text(json.dumps({"id": program}))


def _file(interface: Interface, hook: int) -> Path:
    return DIRECTORY / f"{interface.name}_{HOOKS[hook]}.json"

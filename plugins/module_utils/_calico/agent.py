# SPDX-License-Identifier: GPL-3.0-or-later
"""How felix is known among the processes of a node.

It runs as ``calico-node -felix`` in a container on the host's network (ops 1.4, 4.2), or as
``calico-felix`` without one. Other parts of Calico are ``calico-node`` with other arguments.
"""

from __future__ import annotations

from typing import Sequence

NAMES = frozenset({"calico-node", "calico-felix"})
"""Names of processes, any of which may be felix."""


def is_felix(name: str, arguments: Sequence[str]) -> bool:
    """Whether a process with one of NAMES is felix and no other part of Calico."""
    return name == "calico-felix" or "-felix" in arguments

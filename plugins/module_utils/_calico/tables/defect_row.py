# SPDX-License-Identifier: GPL-3.0-or-later
"""The row of the table of findings."""

from __future__ import annotations

from typing import NamedTuple

from ..versions import VersionSet

CRITICAL = "critical"
WARNING = "warning"
INFO = "info"

NODE = "node"
OPERATION = "operation"


class Defect(NamedTuple):
    """A defect of some releases, or a state of a node that is wrong on all.

    ``severity``: critical (traffic is or will be lost, or felix cannot start), warning, info.
    ``seen``: node (an audit sees it in the node's state) or operation (it decides whether an
    operation is safe). ``upstream`` are numbers of projectcalico/calico where nothing else is
    said. ``remedy`` names modules or roles, ``advice`` says what to do in one sentence.
    """

    code: str
    severity: str
    seen: str
    title: str
    harm: str
    affected: VersionSet
    upstream: tuple[str, ...]
    remedy: tuple[str, ...]
    advice: str
    source: str
    certain: bool = True

    @property
    def releases(self) -> VersionSet:
        """The affected releases, as every table calls them."""
        return self.affected

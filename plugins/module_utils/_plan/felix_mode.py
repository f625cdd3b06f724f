# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether felix runs in eBPF mode, told from what a process holds and what it has loaded.

felix in eBPF mode keeps descriptors of its maps as long as it lives, and loads the programs of
all interfaces again when it starts (programs 2.3, maps 5.1). In iptables mode it does neither.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple

_SHOWN = 3


class Agent(NamedTuple):
    """A process of Calico's.

    ``maps`` are the names of Calico's maps that it has descriptors of. ``programs`` are the ids
    of attached programs of Calico's that were loaded after it started, where it is felix.
    """

    pid: int
    command: str
    maps: tuple[str, ...] = ()
    programs: tuple[int, ...] = ()

    @property
    def in_ebpf_mode(self) -> bool:
        """Whether it is felix in eBPF mode."""
        return bool(self.maps or self.programs)

    def evidence(self) -> str:
        """One sentence for the operator."""
        said = []
        if self.maps:
            said.append(f"holds {len(self.maps)} of Calico's maps ({_first(self.maps)})")
        if self.programs:
            numbers = _first(str(number) for number in self.programs)
            said.append(f"started before {len(self.programs)} attached programs ({numbers})")
        return f"Process {self.pid}, {self.command}, {' and '.join(said)}."


def _first(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:_SHOWN]) + (", …" if len(every) > _SHOWN else "")


def evidence(agents: Iterable[Agent]) -> tuple[str, ...]:
    """Why felix is taken to run in eBPF mode; empty when it does not."""
    return tuple(one.evidence() for one in agents if one.in_ebpf_mode)

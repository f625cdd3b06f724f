# SPDX-License-Identifier: GPL-3.0-or-later
"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes in entries with their repetitions; the other figures say what they count."""

    copies: dict[int, int]
    bpftool: dict[int, int]
    pass_entries: int
    pass_rounds: int
    lateness_rounds: int
    lateness_seconds: float
    play_rounds: int
    tasks: int
    """Tasks in the longer of two plays, whose difference is what a further task costs."""
    audit_pods: int
    audit_entries: int
    audit_services: int
    """Frontends of UDP Services, which the audit compares the entries with."""
    audit_rounds: int
    switch_flows: int
    switch_rate: int
    """Changes a second while programs move to the new map."""
    switch_shards: int
    """Programs that move, one after the other."""
    switch_rounds: int


FULL = Scale(
    copies={10_000: 3, 100_000: 5, 512_000: 5, 4_000_000: 2},
    bpftool={512_000: 2},
    pass_entries=512_000,
    pass_rounds=5,
    lateness_rounds=3,
    lateness_seconds=1.0,
    play_rounds=5,
    tasks=6,
    audit_pods=250,
    audit_entries=500_000,
    audit_services=500,
    audit_rounds=5,
    switch_flows=512_000,
    switch_rate=100_000,
    switch_shards=64,
    switch_rounds=5,
)

QUICK = Scale(
    copies={10_000: 1, 100_000: 2},
    bpftool={10_000: 1},
    pass_entries=100_000,
    pass_rounds=1,
    lateness_rounds=1,
    lateness_seconds=0.3,
    play_rounds=1,
    tasks=3,
    audit_pods=20,
    audit_entries=50_000,
    audit_services=50,
    audit_rounds=1,
    switch_flows=50_000,
    switch_rate=20_000,
    switch_shards=16,
    switch_rounds=1,
)

# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge.yml, and still after the refused requests."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.observe import bpftool

BPF_F_NO_PREALLOC = 1
PINS = "/sys/fs/bpf/molecule"


def filled(key: int) -> list[int]:
    """The value that prepare.yml gave to ``key``."""
    return [key % 256, key // 256] * 4


def test_pins(host: Host) -> None:
    assert bpftool.pins(host, PINS) == {
        "created",
        "array",
        "resized",
        "resized_before",
        "percpu",
        "recreated",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("created", ("hash", 4, 8, 1000)),
        ("array", ("array", 4, 16, 32)),
        ("resized", ("hash", 4, 8, 4000)),
        ("resized_before", ("hash", 4, 8, 1000)),
        ("percpu", ("percpu_hash", 4, 8, 400)),
        ("recreated", ("hash", 4, 24, 100)),
    ],
)
def test_shapes(host: Host, name: str, expected: tuple[str, int, int, int]) -> None:
    assert bpftool.shape(host, f"{PINS}/{name}") == expected


def test_flags(host: Host) -> None:
    assert bpftool.flags(host, f"{PINS}/created") == BPF_F_NO_PREALLOC


@pytest.mark.parametrize("name", ["resized", "resized_before"])
def test_every_entry_was_carried_over(host: Host, name: str) -> None:
    assert bpftool.entries(host, f"{PINS}/{name}") == {key: filled(key) for key in range(500)}


def test_every_cpu_keeps_its_value(host: Host) -> None:
    found = bpftool.entries(host, f"{PINS}/percpu")
    assert found.keys() == set(range(20))
    assert all(cpu == filled(key) for key, cpus in found.items() for cpu in cpus)
    assert all(found.values())


@pytest.mark.parametrize("name", ["created", "recreated"])
def test_new_maps_are_empty(host: Host, name: str) -> None:
    assert bpftool.entries(host, f"{PINS}/{name}") == {}

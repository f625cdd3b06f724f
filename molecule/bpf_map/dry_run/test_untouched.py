# SPDX-License-Identifier: GPL-3.0-or-later
"""After the dry run everything is as prepare.yml left it."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.observe import bpftool

PINS = "/sys/fs/bpf/molecule"


def filled(key: int) -> list[int]:
    """The value that prepare.yml gave to ``key``."""
    return [key % 256, key // 256] * 4


def test_no_pin_came_or_went(host: Host) -> None:
    assert bpftool.pins(host, PINS) == {
        "resized",
        "percpu",
        "recreated",
        "doomed",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resized", ("hash", 4, 8, 1000)),
        ("percpu", ("percpu_hash", 4, 8, 100)),
        ("recreated", ("hash", 4, 8, 100)),
        ("doomed", ("array", 4, 8, 10)),
    ],
)
def test_shapes_stayed(host: Host, name: str, expected: tuple[str, int, int, int]) -> None:
    assert bpftool.shape(host, f"{PINS}/{name}") == expected


@pytest.mark.parametrize(("name", "count"), [("resized", 500), ("recreated", 20), ("doomed", 10)])
def test_entries_stayed(host: Host, name: str, count: int) -> None:
    assert bpftool.entries(host, f"{PINS}/{name}") == {key: filled(key) for key in range(count)}

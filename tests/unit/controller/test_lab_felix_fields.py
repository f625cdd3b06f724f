# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's table of FelixConfiguration's fields has as many rows per release as Calico has."""

from __future__ import annotations

import pytest

from tests.lab.cluster.felix_fields import fields


@pytest.mark.parametrize(
    ("release", "count"),
    [
        ("3.26.4", 23),
        ("3.27.3", 30),
        ("3.28.5", 30),
        ("3.29.7", 31),
        ("3.30.7", 40),
        ("3.31.7", 42),
        ("3.32.1", 43),
    ],
)
def test_number_of_bpf_fields(release: str, count: int) -> None:
    assert sum(name.startswith("bpf") for name in fields(release)) == count


def test_fields_come_and_go_with_releases() -> None:
    assert "bpfKubeProxyHealthzPort" not in fields("3.30.4")
    assert "bpfKubeProxyHealthzPort" in fields("3.30.5")
    assert "bpfKubeProxyEndpointSlicesEnabled" in fields("3.31.7")
    assert "bpfKubeProxyEndpointSlicesEnabled" not in fields("3.32.0")
    assert "L2Only" in fields("3.31.7")["bpfRedirectToPeer"]["enum"]
    assert "L2Only" not in fields("3.32.1")["bpfRedirectToPeer"]["enum"]

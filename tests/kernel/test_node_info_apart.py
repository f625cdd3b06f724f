# SPDX-License-Identifier: GPL-3.0-or-later
"""node_info without rights, on many interfaces, and on devices that need a network of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kernel.apart import NOBODY, SYS_ADMIN, Case, run

OWN_NETWORK = ("unshare", "--net")
NOTHING = {"cgroup_root": "/", "count_entries": False}
VETHS = 200 if Path("/guest.json").exists() else 2000
"""An emulated machine (tests.vm) takes minutes for thousands."""


def test_without_root_one_sentence() -> None:
    answer = run(Case(NOTHING, [], user=NOBODY))
    assert answer["failed"]
    assert answer["msg"].startswith(f"BPF maps need root or CAP_BPF, and uid {NOBODY} has neither")
    assert answer["msg"].endswith("run the task with become.")


@pytest.mark.parametrize("rights", [{"bpf": False}, {"without": SYS_ADMIN}])
def test_root_whom_the_kernel_refuses_gets_one_sentence(rights: dict[str, Any]) -> None:
    answer = run(Case(NOTHING, [], **rights))
    assert answer["failed"]
    assert answer["msg"].startswith("The kernel refuses to list BPF objects")
    assert ". " not in answer["msg"]


def special(answer: Any) -> dict[str, tuple[str, str, str]]:
    return {
        one["name"]: (one["kind"], one["peer"], one["owner"]) for one in answer["special_devices"]
    }


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, Any]:
    """Parameters for a node with nothing on it."""
    pytest.importorskip("pyroute2")
    return {**NOTHING, "bpffs": str(tmp_path)}


def veth(name: str, peer: str) -> list[str]:
    return ["ip", "link", "add", name, "type", "veth", "peer", "name", peer]


def test_the_devices_of_eBPF_mode(bare: dict[str, Any]) -> None:  # noqa: N802
    answer = run(Case(bare, [veth("bpfin.cali", "bpfout.cali")]), *OWN_NETWORK)
    assert special(answer) == {
        "bpfin.cali": ("veth", "bpfout.cali", "calico"),
        "bpfout.cali": ("veth", "bpfin.cali", "calico"),
    }
    assert [one["code"] for one in answer["findings"]] == ["DEVICE_LEFTOVER"]


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (["ip", "link", "set", "lo", "name", "bpfin.cali"], ("", "", "unproven")),
        (veth("bpfin.cali", "other"), ("veth", "other", "unproven")),
    ],
)
def test_devices_that_are_only_called_so(
    bare: dict[str, Any], setup: list[str], expected: tuple[str, str, str]
) -> None:
    answer = run(Case(bare, [setup]), *OWN_NETWORK)
    assert special(answer) == {"bpfin.cali": expected}
    assert answer["findings"] == []


@pytest.mark.scale
def test_thousands_of_interfaces(bare: dict[str, Any], tmp_path: Path) -> None:
    links, qdiscs = tmp_path / "links", tmp_path / "qdiscs"
    names = [f"cali{number}" for number in range(VETHS)]
    links.write_text("".join(f"link add {n} type veth peer name p{n[4:]}\n" for n in names))
    qdiscs.write_text("".join(f"qdisc add dev {n} clsact\n" for n in names))
    setup = [["ip", "-batch", str(links)], ["tc", "-batch", str(qdiscs)]]
    answer = run(Case(bare, setup), *OWN_NETWORK)
    assert len(answer["interfaces"]) == VETHS
    assert all(one["clsact"] and one["kind"] == "veth" for one in answer["interfaces"])
    assert answer["findings"] == []

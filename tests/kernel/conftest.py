# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests against the running kernel share."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _runner
from ansible_collections.bpfops.calico.plugins.module_utils._kernel import lock
from ansible_collections.bpfops.calico.plugins.module_utils._observe import leftovers
from ansible_collections.bpfops.calico.plugins.module_utils._observe.node import report, twice
from tests.kernel.connect_state import Cgroup, cgroup_root
from tests.kernel.leftover_state import Leftovers, Scene
from tests.kernel.node_state import Node
from tests.kernel.private import private_network
from tests.observe import rawbpf


def pytest_configure() -> None:
    """Before Linux 5.11 the maps of all tests together count against RLIMIT_MEMLOCK."""
    with suppress(ValueError):  # no CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _hindrance()
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.kernel)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def _hindrance() -> str:
    if os.geteuid():
        return "kernel tests need root"
    try:
        os.close(rawbpf.create_map(2, 4, 4, 1))
    except OSError as error:
        return f"this kernel or container allows no BPF maps ({error})"
    return ""


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """An empty cgroup, for connect-time programs."""
    root = cgroup_root()
    if root is None:
        pytest.skip("no cgroup2 is mounted")
    made = Cgroup(root / f"bpfops-connect-{os.getpid()}")
    yield made
    made.remove()


@pytest.fixture(scope="session")
def bpffs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bpffs of our own."""
    place = tmp_path_factory.mktemp("bpffs")
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def pins(bpffs_mount: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory for pins, one for each test; what is left in it goes with the test."""
    wanted = f"{request.path.stem}_{request.node.name}"
    name = "".join(letter if letter.isalnum() else "_" for letter in wanted)
    place = bpffs_mount / name[:200]
    place.mkdir()
    yield place
    shutil.rmtree(place)


@pytest.fixture(autouse=True)
def own_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A lock of the test's own, so that tests do not wait for a run on this machine."""
    path = tmp_path / "lock"
    monkeypatch.setattr(_runner, "node_lock", lambda timeout: lock.node_lock(timeout, str(path)))
    return path


@pytest.fixture
def node(pins: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Node]:
    """Pins and two workload interfaces, on which nothing is attached yet."""
    pytest.importorskip("pyroute2")
    monkeypatch.setattr(report, "AUTO_SIZE", str(tmp_path / "bpf_ct_map_size"))
    monkeypatch.setattr(twice, "MOMENT", 0.01)
    made = Node(pins)
    yield made
    made.close()


@pytest.fixture
def healthy(node: Node) -> Node:
    """Two workloads with all programs, and nothing wrong."""
    node.attach_all()
    return node


@pytest.fixture
def scene(pins: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scene]:
    """Pinned maps, three interfaces and a cgroup, on which nothing is attached yet."""
    pytest.importorskip("pyroute2")
    root = cgroup_root()
    if root is None:
        pytest.skip("no cgroup2 is mounted")
    records = tmp_path / "bpf"
    monkeypatch.setattr(leftovers, "RECORDS", tuple(str(records / n) for n in ("prog", "policy")))
    with private_network():
        made = Scene(Leftovers(pins), Cgroup(root / f"bpfops-leave-{os.getpid()}"), records)
        yield made
        made.node.close()
        made.cgroup.remove()

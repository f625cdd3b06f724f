# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab goes without a trace, whatever has happened to it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import harness
from tests.lab.harness import NAME, call, gone, in_node, lab, traces, with_objects

pytestmark = pytest.mark.lab

MOUNTS = Path("/proc/self/mounts")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    lab("down")
    yield
    lab("down")


def _cgroup() -> Path:
    root = next(
        line.split()[1] for line in MOUNTS.read_text().splitlines() if line.split()[2] == "cgroup2"
    )
    return Path(root) / f"{NAME}-lab"


def _host_pid(node: str) -> int:
    """The node's process 1, found by its last pid in NSpid."""
    for pid in (_cgroup() / node / "cgroup.procs").read_text().split():
        status = Path(f"/proc/{pid}/status").read_text()
        if re.search(r"^NSpid:.*\t1$", status, re.MULTILINE):
            return int(pid)
    raise AssertionError(f"{node} has no process 1")


def _leave_ssh_master(node: str) -> None:
    """What Ansible leaves for a minute after a play."""
    command = next(
        line.removeprefix(f"{node}: ")
        for line in lab("logins").splitlines()
        if line.startswith(f"{node}: ")
    )
    options = [
        "-oControlMaster=yes",
        "-oControlPersist=60",
        f"-oControlPath=/run/{NAME}-lab/{node}",
    ]
    ssh, *arguments = shlex.split(command)
    subprocess.run(
        [ssh, *options, *arguments, "true"], check=True, stderr=subprocess.DEVNULL, timeout=20
    )
    assert any("[mux]" in Path(process, "cmdline").read_text() for process in traces().processes)


def test_down_leaves_nothing() -> None:
    lab("up", "--nodes", "2", "--pods", "2")
    lab("traffic", "start", "--tcp", "2", "--udp", "2")
    _leave_ssh_master("node1")
    found = with_objects(traces(), ["node1", "node2"])
    assert found.named and found.processes and found.programs and found.maps
    lab("down")
    # Dead processes may still need reaping, but `down` has waited for the kernel's objects.
    at_once = found.still_there()
    assert not (at_once.named or at_once.programs or at_once.maps)
    assert not gone(found)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda: Path(f"/run/netns/{NAME}-switch"), id="switch"),
        pytest.param(lambda: Path(f"/run/netns/{NAME}-node2"), id="second-namespace"),
        pytest.param(lambda: _cgroup() / "node2", id="second-cgroup"),
        pytest.param(lambda: _cgroup() / "node1" / "kubepods.slice", id="pods"),
    ],
)
def test_down_after_up_was_killed(moment: Callable[[], Path]) -> None:
    path = moment()
    process = harness.begin("up", "--nodes", "2", "--pods", "2")
    harness.until(path.exists, f"{path}, the moment to kill `up`")
    process.kill()
    process.wait()
    found = traces()
    assert found.named
    lab("down")
    assert not gone(found)


def test_down_after_the_nodes_were_killed() -> None:
    lab("up", "--nodes", "2", "--pods", "1")
    found = with_objects(traces(), ["node1", "node2"])
    for node in ("node1", "node2"):
        os.kill(_host_pid(node), signal.SIGKILL)
    lab("down")
    assert not gone(found)


def test_up_replaces_what_is_left() -> None:
    lab("up", "--nodes", "2", "--pods", "1")
    found = with_objects(traces(), ["node1", "node2"])
    os.kill(_host_pid("node1"), signal.SIGKILL)
    lab("up", "--nodes", "1", "--pods", "1")
    assert in_node("node1", "hostname").strip() == "node1"
    assert not (_cgroup() / "node2").exists()
    lab("down")
    assert not gone(found)


def test_up_again_replaces_a_running_lab() -> None:
    lab("up", "--nodes", "1", "--pods", "0", "--no-agent")
    in_node("node1", "touch", "/tmp/mark")
    lab("up", "--nodes", "1", "--pods", "0", "--no-agent")
    assert call("exec", "node1", "--", "test", "-e", "/tmp/mark").returncode == 1


def test_lab_of_another_checkout_is_left_alone(tmp_path: Path) -> None:
    lab("up", "--nodes", "1", "--pods", "0", "--no-agent")
    done = call("up", "--nodes", "1", environment={"BPFOPS_LAB_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert f"Lab '{NAME}' is run from " in done.stderr
    assert in_node("node1", "hostname").strip() == "node1"


def test_two_labs_side_by_side() -> None:
    other = {"BPFOPS_LAB_NAME": f"{NAME[:9]}2", "BPFOPS_LAB_SUBNET": "10.199.80.0/24"}
    lab("up", "--nodes", "1", "--pods", "1")
    try:
        done = call("up", "--nodes", "1", "--pods", "1", environment=other)
        assert done.returncode == 0, done.stderr
    finally:
        call("down", environment=other)
    assert harness.agent("node1")["running"]
    assert not list(Path("/run").glob(f"{other['BPFOPS_LAB_NAME']}*"))


def test_up_that_fails_leaves_nothing(tmp_path: Path) -> None:
    sshd = tmp_path / "usr" / "sbin" / "sshd"
    sshd.parent.mkdir(parents=True)
    sshd.write_text("not a program")
    done = call("up", "--nodes", "2", "--rootfs", str(tmp_path))
    assert done.returncode == 1
    assert "node1 ended before it came up" in done.stderr
    assert not gone(traces())


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["up", "--nodes", "0"], {}, "--nodes is 0; use 1 to 100."),
        (["up", "--pods", "-1"], {}, "--pods is -1; use 0 to 250."),
        (["up", "--size", "0"], {}, "--size is 0; use 1 to 4294967295."),
        (["up", "--rootfs", "/proc"], {}, "--rootfs is /proc; it has no /usr/sbin/sshd."),
        (["up"], {"BPFOPS_LAB_NAME": "a-b"}, "BPFOPS_LAB_NAME is 'a-b'"),
        (["up"], {"BPFOPS_LAB_SUBNET": "10.0.0.0/8"}, "use an IPv4 /24 outside 10.65.0.0/16."),
        (["up"], {"BPFOPS_LAB_SUBNET": "127.0.0.0/24"}, "overlaps 127.0.0.0/8 on lo"),
        (["exec", "node9", "--", "true"], {}, "has no node 'node9'; it has: none."),
        (["traffic", "start"], {}, "Traffic needs a running lab with pods"),
        (["traffic", "status"], {}, "No traffic runs; use `traffic start`."),
        (["compare", "/nowhere", "/nowhere"], {}, "There is no file /nowhere."),
    ],
)
def test_bad_input(arguments: list[str], environment: dict[str, str], sentence: str) -> None:
    done = call(*arguments, environment=environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not gone(traces())

# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a whole lab up and taking it down without a trace."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.lab import build, cgroup2, deploy, inventory, kernel_objects, network, pods
from tests.lab.agent.releases import RELEASES
from tests.lab.errors import LabError
from tests.lab.node import Node, existing
from tests.lab.settings import MAX_NODES, MAX_PODS, Settings
from tests.lab.shell import run

SYSTEMD = "lib/systemd/systemd"
TOOLS = ("ip", "nsenter", "unshare", "sshd", "ssh", "ssh-keygen", "bpftool", "clang", "gcc")


@dataclass(frozen=True)
class Shape:
    """What `up` is asked for."""

    nodes: int = 3
    pods: int = 4
    rootfs: Path = Path("/")
    conntrack_size: int = 512000
    agent: bool = True
    releases: tuple[str, ...] = ()
    ipv6: bool = False
    services: bool = False
    systemd: bool = False

    def release(self, index: int) -> str | None:
        """What node ``index`` (1, 2, ...) plays; the list begins again at its end."""
        return self.releases[(index - 1) % len(self.releases)] if self.releases else None

    def check(self) -> None:
        """Raise LabError for a value that cannot work."""
        if not 1 <= self.nodes <= MAX_NODES:
            raise LabError(f"--nodes is {self.nodes}; use 1 to {MAX_NODES}.")
        if not 0 <= self.pods <= MAX_PODS:
            raise LabError(f"--pods is {self.pods}; use 0 to {MAX_PODS}.")
        if not 1 <= self.conntrack_size < 1 << 32:
            raise LabError(f"--size is {self.conntrack_size}; use 1 to 4294967295.")
        if not (self.rootfs / "usr" / "sbin" / "sshd").exists():
            raise LabError(f"--rootfs is {self.rootfs}; it has no /usr/sbin/sshd.")
        for release in self.releases:
            if release not in RELEASES:
                raise LabError(f"--release is {release!r}; use some of {', '.join(RELEASES)}.")
        if self.ipv6 and not self.releases:
            raise LabError("--ipv6 needs --release.")
        if self.services and not self.releases:
            raise LabError("--services needs --release.")
        if self.systemd and not (self.rootfs / SYSTEMD).exists():
            raise LabError(f"--systemd: {self.rootfs} has no /{SYSTEMD}.")


def up(settings: Settings, shape: Shape) -> list[Node]:
    """Start a lab; what is left of an earlier one of this name is removed first."""
    shape.check()
    _check_machine()
    build.bpf_object(settings, "conntrack")
    if shape.releases:
        deploy.release_objects(settings, services=shape.services)
    with _locked(settings) as lock:
        _refuse_other_owner(settings)
        _clean(settings)
        try:
            return _create(settings, shape, lock)
        except BaseException:
            _clean(settings)
            raise


def down(settings: Settings) -> None:
    """Remove every trace of the lab; fine when there is none."""
    if os.geteuid():
        raise LabError("The lab needs root.")
    with _locked(settings):
        _clean(settings)


def status(settings: Settings) -> dict[str, Any]:
    """What of the lab exists, read from the kernel."""
    nodes = [_node_status(node) for node in existing(settings)]
    return {"name": settings.name, "state": str(settings.state), "nodes": nodes}


def each(nodes: list[Node], action: Callable[[Node], None]) -> None:
    """Do something on all nodes at once; the first error is raised after all have ended."""
    with ThreadPoolExecutor(max_workers=max(1, len(nodes))) as pool:
        for future in [pool.submit(action, node) for node in nodes]:
            future.result()


def _create(settings: Settings, shape: Shape, lock: IO[str]) -> list[Node]:
    nodes = [Node(settings, index) for index in range(1, shape.nodes + 1)]
    _make_keys(settings, nodes)
    network.create_switch(settings)
    processes = {}
    for node in nodes:
        network.create_node(settings, node.index)
        processes[node] = node.spawn(shape.rootfs.resolve(), lock, systemd=shape.systemd)
    each(nodes, lambda node: _furnish(node, shape, processes[node]))
    inventory.write(settings, nodes)
    return nodes


def _furnish(node: Node, shape: Shape, process: subprocess.Popen[bytes]) -> None:
    node.wait_until_up(process)
    pods.create(node, shape.pods, shape.nodes)
    deploy.agent(node, shape.conntrack_size, bundle_libbpf=shape.rootfs != Path("/"))
    if release := shape.release(node.index):
        deploy.play(node, release, ipv6=shape.ipv6, services=shape.services)
    if shape.agent:
        deploy.start_agent(node, systemd=shape.systemd)


def _make_keys(settings: Settings, nodes: list[Node]) -> None:
    keys = settings.state / "keys"
    keys.mkdir(parents=True)
    for name in ("login", "host"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(keys / name))
    host_key = " ".join((keys / "host.pub").read_text().split()[:2])
    lines = [f"{node.address} {host_key}\n" for node in nodes]
    (settings.state / "known_hosts").write_text("".join(lines))
    settings.control_path.mkdir(mode=0o700, exist_ok=True)


def _clean(settings: Settings) -> None:
    objects = kernel_objects.held_by(settings)
    if top := cgroup2.tree(settings):
        cgroup2.destroy(top)
    network.destroy(settings)
    cgroup2.unmount_private(settings)
    kernel_objects.wait_until_freed(objects)
    # Ansible's persistent connections have ended with sshd; their sockets may be left.
    for directory in (settings.control_path, settings.state):
        shutil.rmtree(directory, ignore_errors=True)


def _node_status(node: Node) -> dict[str, Any]:
    pid = node.pid()
    report: dict[str, Any] = {"name": node.name, "address": node.address, "pid": pid}
    if pid:
        report["pods"] = pods.existing(node)
        report["agent"] = deploy.agent_status(node)
    return report


def _check_machine() -> None:
    if os.geteuid():
        raise LabError("The lab needs root.")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise LabError(f"The lab needs these commands, which are not installed: {missing}.")


@contextlib.contextmanager
def _locked(settings: Settings) -> Iterator[IO[str]]:
    settings.base.mkdir(parents=True, exist_ok=True)
    (settings.base / ".gitignore").write_text("*\n")
    with (settings.base / f"{settings.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _refuse_other_owner(settings: Settings) -> None:
    """A lab of the same name that another checkout runs is not ours to end."""
    owner = network.owner(settings)
    alive = any(node.pid() for node in existing(settings))
    if alive and owner and owner != str(settings.state):
        raise LabError(
            f"Lab {settings.name!r} is run from {owner}; take it down there,"
            " or choose another BPFOPS_LAB_NAME and BPFOPS_LAB_SUBNET."
        )


def print_status(settings: Settings) -> None:
    """Print `status` as JSON."""
    print(json.dumps(status(settings), indent=2))

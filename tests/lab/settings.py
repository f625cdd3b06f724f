# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab lives and what its kernel objects are called."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from tests.lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parents[2]
POD_POOL = IPv4Network("10.65.0.0/16")
# Each lab has its own bridge, so that all can use the same IPv6 networks.
POD_POOL6 = IPv6Network("fd00:10:65::/48")
NODES6 = IPv6Network("fd00:10:77::/64")
MAX_NODES = 100
MAX_PODS = 250
# ip-link(8) names have 15 characters: name + "-host" must fit.
NAME = re.compile(r"[a-z][a-z0-9]{0,9}\Z")


@dataclass(frozen=True)
class Settings:
    """Identity of one lab: every kernel object of it is named after ``name``."""

    name: str
    subnet: IPv4Network
    base: Path

    @property
    def state(self) -> Path:
        """Keys, logs, inventory and mount points of this lab."""
        return self.base / self.name

    @property
    def build(self) -> Path:
        """Compiled BPF objects and tools, shared by all labs of this directory."""
        return self.base / "build"

    @property
    def control_path(self) -> Path:
        """ssh's control sockets: short, since a Unix socket's path has 107 characters."""
        return Path(f"/run/{self.name}-lab")

    @property
    def cgroup(self) -> str:
        """Directory of the lab below the cgroup2 root."""
        return f"{self.name}-lab"

    @property
    def switch(self) -> str:
        """Network namespace with the bridge that joins the nodes."""
        return f"{self.name}-switch"

    @property
    def uplink(self) -> str:
        """The host's interface into the lab's subnet."""
        return f"{self.name}-host"

    @property
    def gateway(self) -> IPv4Address:
        """Address of the host in the lab's subnet."""
        return self.subnet[1]

    def node_netns(self, index: int) -> str:
        """Network namespace of node ``index`` (1, 2, ...)."""
        return f"{self.name}-node{index}"

    def node_address(self, index: int) -> IPv4Address:
        """Address of node ``index`` in the lab's subnet."""
        return self.subnet[10 + index]

    def node_address6(self, index: int) -> IPv6Address:
        """IPv6 address of node ``index`` on the bridge between nodes."""
        return NODES6[10 + index]


def pod_cidr(index: int) -> IPv4Network:
    """The /24 from which node ``index`` gives its pods addresses."""
    return IPv4Network((int(POD_POOL[0]) + (index << 8), 24))


def pod_address(node: int, pod: int) -> IPv4Address:
    """Address of pod ``pod`` (1, 2, ...) of node ``node``."""
    return pod_cidr(node)[1 + pod]


def pod_cidr6(index: int) -> IPv6Network:
    """The /64 from which node ``index`` gives its pods addresses."""
    return IPv6Network((int(POD_POOL6[0]) + (index << 64), 64))


def pod_address6(node: int, pod: int) -> IPv6Address:
    """IPv6 address of pod ``pod`` (1, 2, ...) of node ``node``."""
    return pod_cidr6(node)[1 + pod]


def environment(settings: Settings) -> dict[str, str]:
    """Variables by which another process finds the same lab."""
    return {
        "BPFOPS_LAB_NAME": settings.name,
        "BPFOPS_LAB_SUBNET": str(settings.subnet),
        "BPFOPS_LAB_DIR": str(settings.base),
    }


def from_environment() -> Settings:
    """Read BPFOPS_LAB_NAME, BPFOPS_LAB_SUBNET and BPFOPS_LAB_DIR.

    Raises LabError for a name or subnet that cannot be used.
    """
    name = os.environ.get("BPFOPS_LAB_NAME", "bpfops")
    if not NAME.match(name):
        raise LabError(
            f"BPFOPS_LAB_NAME is {name!r}; use 1 to 10 lower-case letters and digits, letter first."
        )
    base = os.environ.get("BPFOPS_LAB_DIR")
    return Settings(name, _subnet(), Path(base).absolute() if base else REPOSITORY / ".lab")


def _subnet() -> IPv4Network:
    text = os.environ.get("BPFOPS_LAB_SUBNET", "10.77.0.0/24")
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise LabError(f"BPFOPS_LAB_SUBNET is {text!r}; use an IPv4 /24 network.") from error
    if subnet.prefixlen != 24 or subnet.overlaps(POD_POOL):
        raise LabError(f"BPFOPS_LAB_SUBNET is {text!r}; use an IPv4 /24 outside {POD_POOL}.")
    return subnet

# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc and /sys tell about this machine and about open BPF objects."""

from __future__ import annotations

import os
import platform
import re
import resource
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from .._errors import RefusedError

CAP_SYS_ADMIN = 21
CAP_BPF = 39  # 5.8

_LINK_TARGETS = {"bpf-map": "map", "bpf-prog": "program", "bpf_link": "link", "bpf-link": "link"}


def parse_cpu_list(text: str) -> int:
    """The number of slots for a CPU list such as ``0-3,6``: the highest CPU plus one."""
    return max(int(last) for last in re.findall(r"(\d+)(?:,|$)", text.strip())) + 1


@lru_cache(maxsize=None)
def possible_cpus() -> int:
    """The number of values in an entry of a per-CPU map (possible, not online CPUs)."""
    return parse_cpu_list(Path("/sys/devices/system/cpu/possible").read_text("ascii"))


def node_name() -> str:
    """The host name, that of this UTS namespace."""
    return platform.node()


def boot_id() -> str:
    """This boot's random id, 32 hexadecimal digits."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")


def fdinfo(fd: int) -> dict[str, str]:
    """The lines of /proc/self/fdinfo: for a map memlock in bytes and frozen (5.2) among others."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text("ascii").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def object_kind(fd: int) -> str | None:
    """``map``, ``program`` or ``link`` for a BPF descriptor, else None."""
    target = os.readlink(f"/proc/self/fd/{fd}")
    return _LINK_TARGETS.get(target.rpartition(":")[2].strip("[]"))


def kernel_release() -> str:
    """The kernel's release string."""
    return platform.release()


def effective_capabilities() -> int:
    """The bit mask CapEff of this process."""
    match = re.search(
        r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text("ascii"), re.M
    )
    return int(match.group(1), 16) if match else 0


def require_bpf_rights(capabilities: int | None = None) -> None:
    """Raise RefusedError unless this process may use BPF maps (CAP_BPF or CAP_SYS_ADMIN)."""
    held = effective_capabilities() if capabilities is None else capabilities
    if not held & (1 << CAP_SYS_ADMIN | 1 << CAP_BPF):
        raise RefusedError(
            f"BPF maps need root or CAP_BPF, and uid {os.geteuid()} has neither CAP_BPF nor "
            "CAP_SYS_ADMIN; run the task with become."
        )


def lift_memlock_limit() -> bool:
    """Raise RLIMIT_MEMLOCK as far as allowed; False when nothing could be raised.

    Kernels before 5.11 account map memory against it (64 KiB by default).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    infinity = resource.RLIM_INFINITY
    for wanted in ((infinity, infinity), (hard, hard)):
        if wanted[0] == soft:
            continue
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, wanted)
        except (ValueError, OSError):  # no CAP_SYS_RESOURCE
            continue
        return True
    return False


class Memory(NamedTuple):
    """Memory of the machine in bytes."""

    total: int
    available: int


def memory() -> Memory:
    """MemTotal and MemAvailable of /proc/meminfo."""
    text = Path("/proc/meminfo").read_text("ascii")
    fields = {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}
    return Memory(fields["MemTotal"], fields["MemAvailable"])


def netfilter_seconds(name: str) -> int | None:
    """A timeout below /proc/sys/net/netfilter of this network namespace; None without it."""
    try:
        return int(Path("/proc/sys/net/netfilter", name).read_text("ascii"))
    except (OSError, ValueError):
        return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""node_info as Ansible runs it, in a process of its own with other rights or namespaces.

``python -m tests.kernel.apart CASE`` with a Case as JSON prints what the module prints.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
SYS_ADMIN = 21
_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_CAPABILITIES_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_EPERM = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Case(NamedTuple):
    """Parameters of the module, commands to run before, and rights to give up."""

    params: dict[str, Any]
    setup: list[list[str]]
    user: int = 0
    without: int | None = None
    bpf: bool = True


def run(case: Case, *wrapper: str) -> Any:
    """The module's answer; ``wrapper`` is a command that runs another one."""
    command = [*wrapper, sys.executable, "-m", "tests.kernel.apart", json.dumps(case)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(lines[0])


def main() -> None:
    """Give the module its parameters as Ansible does, and run it."""
    from ansible.module_utils import basic

    import tests.conftest  # noqa: F401  (makes the checkout importable)
    from ansible_collections.bpfops.calico.plugins.modules import node_info

    case = Case(*json.loads(sys.argv[1]))
    for command in case.setup:
        subprocess.run(command, check=True)
    _give_up(case)
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": case.params}).encode()
    if hasattr(basic, "_ANSIBLE_PROFILE"):
        basic._ANSIBLE_PROFILE = "legacy"
    sys.stdin = io.StringIO()
    node_info.main()


def _give_up(case: Case) -> None:
    if not case.bpf:
        forbid_bpf()
    if case.without is not None:
        drop_capability(case.without)
    if case.user:
        os.setgroups([])
        os.setgid(case.user)
        os.setuid(case.user)


def drop_capability(number: int) -> None:
    """Go on without a capability (capset(2))."""
    head = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITIES_3, 0))
    sets = ctypes.create_string_buffer(24)
    assert _libc.capget(head, sets) == 0
    words = list(struct.unpack("<6I", sets.raw))
    words[:3] = [word & ~(1 << number) for word in words[:3]]
    assert _libc.capset(head, ctypes.create_string_buffer(struct.pack("<6I", *words))) == 0


def forbid_bpf() -> None:
    """Let bpf(2) fail with EPERM from now on, as a container's seccomp filter does."""
    filters = [
        struct.pack("<HBBI", 0x20, 0, 0, 0),  # load the system call's number
        struct.pack("<HBBI", 0x15, 0, 1, _BPF),
        struct.pack("<HBBI", 0x06, 0, 0, 0x00050000 | _EPERM),  # SECCOMP_RET_ERRNO
        struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ]
    code = ctypes.create_string_buffer(b"".join(filters))
    program = struct.pack("<HxxxxxxQ", len(filters), ctypes.addressof(code))
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    assert _libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert _libc.prctl(set_seccomp, filter_mode, ctypes.create_string_buffer(program)) == 0


if __name__ == "__main__":
    main()

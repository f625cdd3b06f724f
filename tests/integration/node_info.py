# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking node_info about all nodes of a lab."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyroute2

from tests.lab import inventory

NODE_PACKAGES = "/usr/lib/python3/dist-packages"


def ask(hosts: Path) -> dict[str, Any]:
    """The module's answer by node, through ansible, as users call it."""
    bring_pyroute2(hosts)
    found = {}
    for line in run(hosts, "bpfops.calico.node_info").splitlines():
        node, _, answer = line.partition(" | ")
        if "{" in answer:
            found[node] = json.loads(answer[answer.index("{") :])
    return found


def bring_pyroute2(hosts: Path) -> None:
    """The system's Python on the nodes has none, and they may not see these tests' own."""
    package = Path(pyroute2.__file__).parent
    archive = shutil.make_archive(
        str(hosts.with_name("pyroute2")), "gztar", package.parent, package.name
    )
    run(hosts, "ansible.builtin.unarchive", f"src={archive} dest={NODE_PACKAGES}")


def run(hosts: Path, module: str, options: str = "", *more: str) -> str:
    """What ansible prints of a module on all nodes; it must succeed."""
    command = [inventory.ansible_playbook().replace("ansible-playbook", "ansible"), "all"]
    command += ["-i", str(hosts), "-m", module, "-a", options, *more]
    environment = {
        **inventory.ansible_environment(),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

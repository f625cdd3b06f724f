# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking node_info about all nodes of a lab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab import inventory


def ask(hosts: Path) -> dict[str, Any]:
    """The module's answer by node, through ansible, as users call it."""
    command = [inventory.ansible_playbook().replace("ansible-playbook", "ansible"), "all"]
    command += ["-i", str(hosts), "-m", "bpfops.calico.node_info"]
    # The nodes see this machine's files, and these tests' Python has pyroute2.
    command += ["-e", json.dumps({"ansible_python_interpreter": sys.executable})]
    environment = {
        **inventory.ansible_environment(),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for line in done.stdout.splitlines():
        node, _, answer = line.partition(" | ")
        if "{" in answer:
            found[node] = json.loads(answer[answer.index("{") :])
    return found

# SPDX-License-Identifier: GPL-3.0-or-later
"""The Ansible inventory of a lab, and the environment to run Ansible in."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from tests.lab.node import Node
from tests.lab.settings import REPOSITORY, Settings

GROUP = "calico_nodes"


def ssh_options(settings: Settings) -> list[str]:
    """What ssh needs to reach a node without the user's own configuration."""
    # ssh splits the value at spaces unless it stands in double quotes.
    known_hosts = f'"{settings.state / "known_hosts"}"'
    options = {
        "UserKnownHostsFile": known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
    }
    return ["-F", "/dev/null", *(f"-o{name}={value}" for name, value in options.items())]


def ssh_command(node: Node) -> str:
    """What to type to log in to a node."""
    key = str(node.settings.state / "keys" / "login")
    return shlex.join(["ssh", *ssh_options(node.settings), "-i", key, f"root@{node.address}"])


def inventory(settings: Settings, nodes: list[Node]) -> str:
    """The inventory as YAML."""
    variables = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(settings.state / "keys" / "login"),
        "ansible_ssh_common_args": shlex.join(ssh_options(settings)),
        "ansible_control_path_dir": str(settings.control_path),
        "ansible_ssh_pipelining": True,
        "calico_control": "agent",
        "calico_agent_restart_command": "lab-agent restart",
        "calico_agent_stop_command": "lab-agent stop",
        "calico_agent_health_command": "lab-agent ready",
        "calico_felix_config": "/etc/calico/felix.cfg",
    }
    lines = ["---", "all:", "  children:", f"    {GROUP}:", "      vars:"]
    lines += [f"        {name}: {json.dumps(value)}" for name, value in variables.items()]
    lines += ["      hosts:"]
    lines += [f"        {node.name}: {{ansible_host: {node.address}}}" for node in nodes]
    return "\n".join(lines) + "\n"


def ansible_environment() -> dict[str, str]:
    """Environment for ansible-playbook against a lab; keeps what the caller has set."""
    defaults = {
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build" / "collections"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_FORKS": "10",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "LC_ALL": "C.UTF-8",
    }
    return {**os.environ, **{k: v for k, v in defaults.items() if k not in os.environ}}


def ansible_playbook() -> str:
    """Path of ansible-playbook: ANSIBLE_PLAYBOOK, or the one of the repository's .venv."""
    default = REPOSITORY / ".venv" / "bin" / "ansible-playbook"
    return os.environ.get("ANSIBLE_PLAYBOOK", str(default))


def write(settings: Settings, nodes: list[Node]) -> Path:
    """Write the inventory into the state directory and return its path."""
    path = settings.state / "inventory.yml"
    path.write_text(inventory(settings, nodes))
    return path

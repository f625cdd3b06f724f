# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TypeAlias

from tests.lab import cli_conntrack, cli_services, cli_writer, demo, fleet, inventory, node
from tests.lab.cluster import commands as commands_of_cluster
from tests.lab.errors import LabError
from tests.lab.settings import Settings, from_environment
from tests.lab.traffic import commands as commands_of_traffic

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors are one sentence on standard error and status 1."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(from_environment(), arguments) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fleet(commands)
    cli_conntrack.add(commands)
    cli_services.add(commands)
    cli_writer.add(commands)
    commands_of_traffic.add(commands)
    commands_of_cluster.add(commands)
    return parser


def _add_fleet(commands: Commands) -> None:
    default = fleet.Shape()
    up = commands.add_parser("up", help="start a lab, replacing one of the same name")
    up.add_argument("--nodes", type=int, default=default.nodes)
    up.add_argument("--pods", type=int, default=default.pods, help="pods per node")
    up.add_argument("--rootfs", type=Path, default=default.rootfs, help="lower root directory")
    up.add_argument("--size", type=int, default=default.conntrack_size, help="conntrack entries")
    up.add_argument("--release", default="", help="Calico's, for each node in turn: R[,R...]")
    up.add_argument("--ipv6", action="store_true", help="the release with IPv6 enabled")
    up.add_argument("--services", action="store_true", help="pods reach Services")
    up.add_argument("--systemd", action="store_true", help="systemd is a node's process 1")
    up.add_argument("--no-agent", dest="agent", action="store_false")
    up.set_defaults(command=_up)
    commands.add_parser("down", help="remove every trace").set_defaults(command=_down)
    commands.add_parser("status", help="what exists, as JSON").set_defaults(command=_status)
    commands.add_parser("inventory", help="Ansible inventory").set_defaults(command=_inventory)
    commands.add_parser("logins", help="ssh command lines").set_defaults(command=_logins)
    commands.add_parser("demo", help="the main job").set_defaults(command=_demo)
    plant = commands.add_parser("neighbours", help="other software in the places of Calico's")
    plant.add_argument("node")
    plant.set_defaults(command=_neighbours)
    execute = commands.add_parser("exec", help="run a command in a node")
    execute.add_argument("node")
    execute.add_argument("argv", nargs="+", metavar="-- COMMAND")
    execute.set_defaults(command=_exec)


def _up(settings: Settings, arguments: argparse.Namespace) -> None:
    shape = fleet.Shape(
        arguments.nodes,
        arguments.pods,
        arguments.rootfs,
        arguments.size,
        arguments.agent,
        tuple(filter(None, arguments.release.split(","))),
        arguments.ipv6,
        arguments.services,
        arguments.systemd,
    )
    fleet.up(settings, shape)
    _logins(settings, arguments)


def _logins(settings: Settings, _: argparse.Namespace) -> None:
    for one in node.existing(settings):
        print(f"{one.name}: {inventory.ssh_command(one)}")


def _down(settings: Settings, _: argparse.Namespace) -> None:
    fleet.down(settings)


def _status(settings: Settings, _: argparse.Namespace) -> None:
    fleet.print_status(settings)


def _inventory(settings: Settings, _: argparse.Namespace) -> None:
    print(inventory.inventory(settings, node.existing(settings)), end="")


def _demo(settings: Settings, _: argparse.Namespace) -> int:
    return demo.demo(settings)


def _neighbours(settings: Settings, arguments: argparse.Namespace) -> None:
    node.find(settings, arguments.node).run("/usr/local/bin/lab-neighbours")


def _exec(settings: Settings, arguments: argparse.Namespace) -> None:
    command = node.find(settings, arguments.node).command(*arguments.argv)
    os.execvp(command[0], command)

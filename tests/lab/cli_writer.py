# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands: writer start, status, stop."""

from __future__ import annotations

import argparse
import json
from typing import TypeAlias

from tests.lab import node
from tests.lab.settings import Settings
from tests.lab.writer import Wish, Writer

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add(commands: Commands) -> None:
    """Register the commands."""
    writer = commands.add_parser("writer", help="change a node's conntrack map without pause")
    actions = writer.add_subparsers(required=True, metavar="start|status|stop")
    default = Wish()
    start = actions.add_parser("start", help="start a writer that survives this command")
    start.add_argument("--rate", type=int, default=default.rate, help="updates per second")
    start.add_argument("--flows", type=int, default=default.flows, help="alive at a time")
    start.add_argument("--map", help="name of a pin, path in the node, or id:NUMBER; not followed")
    start.set_defaults(command=_start)
    status = actions.add_parser("status", help="figures so far, as JSON")
    status.set_defaults(command=_status)
    stop = actions.add_parser("stop", help="end; final figures and files")
    stop.set_defaults(command=_stop)
    for action in (start, status, stop):
        action.add_argument("node")
        action.add_argument("--family", type=int, choices=(4, 6), default=4)


def _writer(settings: Settings, arguments: argparse.Namespace) -> Writer:
    return Writer(node.find(settings, arguments.node), arguments.family)


def _start(settings: Settings, arguments: argparse.Namespace) -> None:
    wish = Wish(arguments.rate, arguments.flows, arguments.map)
    _writer(settings, arguments).start(wish)


def _status(settings: Settings, arguments: argparse.Namespace) -> None:
    print(json.dumps(_writer(settings, arguments).status(), indent=2))


def _stop(settings: Settings, arguments: argparse.Namespace) -> None:
    print(json.dumps(_writer(settings, arguments).stop(), indent=2))

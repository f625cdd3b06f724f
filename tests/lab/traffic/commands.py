# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands: traffic start, status, stop."""

from __future__ import annotations

import argparse
import json
from typing import TypeAlias

from tests.lab.settings import Settings
from tests.lab.traffic import control

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add(commands: Commands) -> None:
    """Register the commands."""
    traffic = commands.add_parser("traffic", help="checked traffic between pods")
    actions = traffic.add_subparsers(required=True, metavar="start|status|stop")
    start = actions.add_parser("start", help="start flows that survive this command")
    start.add_argument("--tcp", type=int, default=12, help="connections")
    start.add_argument("--udp", type=int, default=6, help="streams")
    start.add_argument("--interval", type=float, default=0.1, help="seconds between messages")
    start.add_argument("--family", choices=("4", "6", "both"), default="4")
    start.add_argument("--policy", action="store_true", help="each pod has a peer that is denied")
    start.set_defaults(command=_start)
    actions.add_parser("status", help="figures so far, as JSON").set_defaults(command=_status)
    actions.add_parser("stop", help="end; final figures").set_defaults(command=_stop)


def _start(settings: Settings, arguments: argparse.Namespace) -> None:
    flows = arguments.tcp, arguments.udp, arguments.interval, arguments.family
    wish = control.Wish(*flows, arguments.policy)
    control.start(settings, wish)


def _status(settings: Settings, _: argparse.Namespace) -> None:
    print(json.dumps(control.status(settings), indent=2))


def _stop(settings: Settings, _: argparse.Namespace) -> None:
    print(json.dumps(control.stop(settings), indent=2))

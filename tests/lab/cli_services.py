# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands for Services and for UDP flows: services, udp serve, udp send, udp status."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TypeAlias

from tests.lab import node, services
from tests.lab.settings import Settings

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add(commands: Commands) -> None:
    """Register the commands."""
    declare = commands.add_parser("services", help="the Services of a node, JSON from stdin")
    declare.add_argument("node")
    declare.set_defaults(command=_declare)
    udp = commands.add_parser("udp", help="UDP flows of pods that keep their port")
    verbs = udp.add_subparsers(required=True, metavar="VERB")
    serve = verbs.add_parser("serve", help="a pod answers datagrams")
    serve.add_argument("node")
    serve.add_argument("pod", type=int)
    serve.add_argument("port", type=int)
    serve.set_defaults(command=_serve)
    send = verbs.add_parser("send", help="a pod sends 20 times a second on each flow")
    send.add_argument("node")
    send.add_argument("pod", type=int)
    send.add_argument("name")
    send.add_argument("flows", nargs="+", metavar="NAME=PORT@ADDRESS:PORT")
    send.set_defaults(command=_send)
    status = verbs.add_parser("status", help="what became of the datagrams, as JSON")
    status.add_argument("node")
    status.set_defaults(command=_status)


def _declare(settings: Settings, arguments: argparse.Namespace) -> None:
    services.declare(node.find(settings, arguments.node), sys.stdin.read())


def _serve(settings: Settings, arguments: argparse.Namespace) -> None:
    services.serve(node.find(settings, arguments.node), arguments.pod, arguments.port)


def _send(settings: Settings, arguments: argparse.Namespace) -> None:
    one = node.find(settings, arguments.node)
    services.send(one, arguments.pod, arguments.name, arguments.flows)


def _status(settings: Settings, arguments: argparse.Namespace) -> None:
    print(json.dumps(services.states(node.find(settings, arguments.node))))

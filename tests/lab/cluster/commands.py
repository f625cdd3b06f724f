# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands: cluster up, down, status, kubeconfig, api, crds, fault."""

from __future__ import annotations

import argparse
import json
from typing import TypeAlias

from tests.lab.agent.releases import RELEASES
from tests.lab.cluster import crds, faults, layout, lifecycle
from tests.lab.cluster.control_plane import ControlPlane
from tests.lab.settings import Settings

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add(commands: Commands) -> None:
    """Register the commands."""
    cluster = commands.add_parser("cluster", help="a Kubernetes API around the nodes")
    actions = cluster.add_subparsers(
        required=True, metavar="up|down|status|kubeconfig|api|crds|fault"
    )
    default = lifecycle.Wish()
    up = actions.add_parser("up", help="start a cluster, replacing the one that is there")
    up.add_argument("--install", choices=layout.KINDS, default=default.install)
    up.add_argument("--release", choices=tuple(RELEASES), default=default.release)
    up.add_argument("--native", action="store_true", help="use projectcalico.org/v3")
    up.add_argument("--no-nodes", dest="nodes", action="store_false", help="the API alone")
    up.set_defaults(command=_up)
    actions.add_parser("down", help="end it; nodes stay").set_defaults(command=_down)
    actions.add_parser("status", help="what runs, as JSON").set_defaults(command=_status)
    actions.add_parser("kubeconfig", help="path of its file").set_defaults(command=_kubeconfig)
    server = actions.add_parser("api", help="end or start the API server alone")
    server.add_argument("action", choices=("stop", "start"))
    server.set_defaults(command=_server)
    _add_faults(actions)
    definitions = actions.add_parser("crds", help="bring the definitions to another release")
    definitions.add_argument("release", choices=tuple(RELEASES))
    definitions.set_defaults(command=_crds)


def _add_faults(actions: Commands) -> None:
    kinds = actions.add_parser("fault", help="make trouble, or end it (--end)").add_subparsers(
        required=True, metavar="never-ready|no-image|conflict|budget"
    )
    never = kinds.add_parser("never-ready", help="a node's calico-node does not become ready")
    pull = kinds.add_parser("no-image", help="a node cannot pull images")
    for kind, one in (("never-ready", never), ("no-image", pull)):
        one.add_argument("node")
        one.set_defaults(kind=kind, fault=_of_node)
    other = kinds.add_parser("conflict", help="somebody else writes FelixConfiguration default")
    other.add_argument("change", nargs="?", default="{}", help="merge patch in JSON")
    felix, operator = "felixconfigurations", "installations"
    other.add_argument(
        "--installation",
        dest="kind",
        action="store_const",
        const=operator,
        default=felix,
        help="Installation default, instead",
    )
    other.set_defaults(
        fault=lambda plane, told: faults.conflict(plane, told.kind, told.change, end=told.end)
    )
    blocking = kinds.add_parser("budget", help="a pod that nobody may evict")
    blocking.set_defaults(fault=lambda plane, told: faults.budget(plane, end=told.end))
    for one in (never, pull, other, blocking):
        one.add_argument("--end", action="store_true")
        one.set_defaults(command=_fault)


def _of_node(plane: ControlPlane, told: argparse.Namespace) -> None:
    faults.of_node(plane, told.kind, told.node, end=told.end)


def _fault(settings: Settings, arguments: argparse.Namespace) -> None:
    arguments.fault(lifecycle.running(settings), arguments)


def _up(settings: Settings, arguments: argparse.Namespace) -> None:
    wish = lifecycle.Wish(arguments.install, arguments.release, arguments.native, arguments.nodes)
    lifecycle.up(settings, wish)
    _kubeconfig(settings, arguments)


def _down(settings: Settings, _: argparse.Namespace) -> None:
    lifecycle.down(settings)


def _status(settings: Settings, _: argparse.Namespace) -> None:
    plane = lifecycle.running(settings)
    state = plane.state
    shown = {"install": state.install, "release": state.release, "api": state.api}
    print(json.dumps({**shown, "ready": plane.ready(), "programs": plane.running()}, indent=2))


def _kubeconfig(settings: Settings, _: argparse.Namespace) -> None:
    layout.read(settings)
    print(layout.kubeconfig(settings))


def _server(settings: Settings, arguments: argparse.Namespace) -> None:
    plane = lifecycle.running(settings)
    if arguments.action == "stop":
        plane.stop_server()
    else:
        plane.start_server()


def _crds(settings: Settings, arguments: argparse.Namespace) -> None:
    plane = lifecycle.running(settings)
    native = plane.state.api == "projectcalico.org/v3"
    crds.install(plane.api(), arguments.release, plane.state.install, native=native)

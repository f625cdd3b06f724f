# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on a node's conntrack maps: fill, count, dump, compare."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TypeAlias

from tests.lab import compare, conntrack, node
from tests.lab.conntrack import Flows, Table
from tests.lab.errors import LabError
from tests.lab.settings import Settings

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add(commands: Commands) -> None:
    """Register the commands."""
    fill = commands.add_parser("fill", help="add made-up flows to a node's conntrack map")
    add_table(fill)
    fill.add_argument("count", type=int)
    fill.add_argument("--first", type=int, default=0, help="number of the first flow")
    fill.add_argument("--age", type=float, help="seconds since the last packet of each")
    fill.add_argument("--service", action="store_true", help="pairs of NAT_FWD and NAT_REV")
    fill.set_defaults(command=_fill)
    count = commands.add_parser("count", help="entries in a node's conntrack map")
    add_table(count)
    count.set_defaults(command=_count)
    dump = commands.add_parser("dump", help="write a node's conntrack map to a file")
    add_table(dump)
    dump.add_argument("file", type=Path)
    dump.set_defaults(command=_dump)
    _add_compare(commands)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Arguments that name a map."""
    parser.add_argument("node")
    parser.add_argument("--map", help="name of a pin, path in the node, or id:NUMBER")
    parser.add_argument("--family", type=int, choices=(4, 6), help="of the map in use")


def table(settings: Settings, arguments: argparse.Namespace) -> Table:
    """The map that the arguments name."""
    one = node.find(settings, arguments.node)
    return conntrack.table(one, arguments.map, arguments.family)


def _add_compare(commands: Commands) -> None:
    parser = commands.add_parser("compare", help="what changed between two dumps, as JSON")
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--deleted", type=Path, help="log of a writer's deletions")
    parser.add_argument("--all", action="store_true", help="list every difference")
    parser.set_defaults(command=_compare)


def _fill(settings: Settings, arguments: argparse.Namespace) -> None:
    flows = Flows(arguments.count, arguments.first, arguments.age, arguments.service)
    conntrack.fill(table(settings, arguments), flows)


def _count(settings: Settings, arguments: argparse.Namespace) -> None:
    print(conntrack.count(table(settings, arguments)))


def _dump(settings: Settings, arguments: argparse.Namespace) -> None:
    conntrack.dump(table(settings, arguments), arguments.file)


def _compare(_: Settings, arguments: argparse.Namespace) -> None:
    for file in filter(None, (arguments.a, arguments.b, arguments.deleted)):
        if not file.is_file():
            raise LabError(f"There is no file {file}.")
    found = compare.compare(arguments.a, arguments.b, arguments.deleted)
    limit = None if arguments.all else compare.EXAMPLES
    print(json.dumps(found.report(limit), indent=2))

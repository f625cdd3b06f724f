# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on a node's conntrack map: fill, count, dump, compare."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TypeAlias

from tests.lab import conntrack, node
from tests.lab.errors import LabError
from tests.lab.settings import Settings

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add(commands: Commands) -> None:
    """Register the commands."""
    fill = commands.add_parser("fill", help="add made-up flows to a node's conntrack map")
    fill.add_argument("node")
    fill.add_argument("count", type=int)
    fill.set_defaults(command=_fill)
    count = commands.add_parser("count", help="entries in a node's conntrack map")
    count.add_argument("node")
    count.set_defaults(command=_count)
    dump = commands.add_parser("dump", help="write a node's conntrack map to a file")
    dump.add_argument("node")
    dump.add_argument("file", type=Path)
    dump.set_defaults(command=_dump)
    compare = commands.add_parser("compare", help="what changed between two dumps, as JSON")
    compare.add_argument("a", type=Path)
    compare.add_argument("b", type=Path)
    compare.set_defaults(command=_compare)


def _fill(settings: Settings, arguments: argparse.Namespace) -> None:
    conntrack.fill(node.find(settings, arguments.node), arguments.count)


def _count(settings: Settings, arguments: argparse.Namespace) -> None:
    print(conntrack.count(node.find(settings, arguments.node)))


def _dump(settings: Settings, arguments: argparse.Namespace) -> None:
    conntrack.dump(node.find(settings, arguments.node), arguments.file)


def _compare(_: Settings, arguments: argparse.Namespace) -> None:
    for file in (arguments.a, arguments.b):
        if not file.is_file():
            raise LabError(f"There is no dump {file}.")
    print(json.dumps(conntrack.compare(arguments.a, arguments.b).report(), indent=2))

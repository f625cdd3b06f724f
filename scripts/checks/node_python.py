# SPDX-License-Identifier: GPL-3.0-or-later
"""Import, with the interpreter that runs this, all that a node may have to run.

Usage: ``node_python.py DIRECTORY...``: directories to import from, one of which holds
``ansible_collections`` and one the ``ansible.module_utils`` that Ansible sends to nodes.
Runs on Python 3.8 and with nothing but the standard library.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Iterator

PACKAGE = "ansible_collections.bpfops.calico.plugins"


def names(directories: list[str]) -> Iterator[str]:
    for directory in directories:
        plugins = Path(directory, *PACKAGE.split("."))
        for part in ("module_utils", "modules"):
            for file in sorted((plugins / part).rglob("*.py")):
                path = file.relative_to(plugins).with_suffix("")
                yield ".".join((PACKAGE, *path.parts)).replace(".__init__", "")


def failure(name: str) -> str:
    """What goes wrong on importing ``name``, or nothing."""
    try:
        importlib.import_module(name)
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"
    return ""


def main(directories: list[str]) -> int:
    sys.path[:0] = directories
    sys.dont_write_bytecode = True
    wanted = list(names(directories))
    found = [line for line in map(failure, wanted) if line]
    version = sys.version.split()[0]
    print("\n".join(found) if found else f"{len(wanted)} modules import on Python {version}")
    return 1 if found or not wanted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

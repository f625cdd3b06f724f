# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs what a node's timer runs into one file that Python runs: pack.py MODULE_UTILS FILE.

The same sources give the same bytes, so that a node's file changes with them alone.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

PACKAGE = "bpfops_calico"
MAIN = f"import sys\nfrom {PACKAGE}._watch.udp_repair import main\nsys.exit(main())\n"
NEEDS_ANSIBLE = "_runner.py"


def main(source: Path, target: Path) -> None:
    """Write ``target``: the Python files below ``source``, and where to begin."""
    with zipfile.ZipFile(target, "w") as archive:
        add(archive, "__main__.py", MAIN)
        add(archive, f"{PACKAGE}/__init__.py", "")  # Ansible needs none where this comes from
        for path in sorted(source.rglob("*.py")):
            name = path.relative_to(source).as_posix()
            if name != NEEDS_ANSIBLE:
                add(archive, f"{PACKAGE}/{name}", path.read_text("utf-8"))


def add(archive: zipfile.ZipFile, name: str, text: str) -> None:
    """One file, without the time and the mode that it has here."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

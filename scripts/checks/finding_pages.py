# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the page of each finding's code from the table of defects, or fail when one is not current.

Usage: ``finding_pages.py [--write] DIRECTORY``. Without ``--write`` it prints one line for each
page that is missing, different or too much, and exits 1 when there is any.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
NUMBER = re.compile(r"(?:([\w.-]+/[\w.-]+))?#(\d+)")
CALICO = "projectcalico/calico"
MADE = "<!-- Made by scripts/checks/finding_pages.py from the table of defects: do not edit. -->"
SEVERITIES = {
    "critical": "critical: traffic is or will be lost, or felix cannot start",
    "warning": "warning",
    "info": "info",
}


def table(name: str) -> Any:
    """A module of the collection; the tables need nothing but the standard library."""
    if str(PLUGINS) not in sys.path:
        sys.path.insert(0, str(PLUGINS))
    return importlib.import_module(f"module_utils.{name}")


def pages() -> dict[str, str]:
    """Text by file name."""
    rows = sorted(table("_calico.defects").DEFECTS, key=lambda row: str(row.code))
    return {"README.md": index(rows), **{f"{row.code}.md": page(row) for row in rows}}


def index(rows: list[Any]) -> str:
    """The page that lists all."""
    lines = [
        MADE,
        "# Findings",
        "",
        "Each finding and each refusal has a code. `node_info` reports those that can be seen on a",
        "node; the others decide whether an operation is safe.",
        "",
        "| code | severity | reported by node_info | what is wrong |",
        "|---|---|---|---|",
    ]
    reported = table("_plan.findings").LOOKED_FOR
    lines += [
        f"| [{row.code}]({row.code}.md) | {row.severity} "
        f"| {'yes' if row.code in reported else 'no'} | {row.title} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def page(row: Any) -> str:
    """The page of one code."""
    parts = [
        MADE,
        f"# {row.code}",
        f"{row.title}\n\n{row.harm}",
        f"Severity: {SEVERITIES[row.severity]}. {seen(row)}",
        f"## What to do\n\n{row.advice}\n\nModules and roles for it: "
        + ", ".join(f"`{name}`" for name in row.remedy)
        + ".",
        releases(row),
    ]
    if row.upstream:
        parts.append("## Upstream\n\n" + "\n".join(f"- {link(one)}" for one in row.upstream))
    return "\n\n".join(parts) + "\n"


def seen(row: Any) -> str:
    """How it comes to light."""
    if row.code in table("_plan.findings").LOOKED_FOR:
        return "`node_info` reports it."
    if row.seen == "node":
        return "It can be seen on a node, but `node_info` does not look for it."
    return "It decides whether an operation is safe; `node_info` does not report it."


def releases(row: Any) -> str:
    """The affected releases, and the first one without the defect in each line."""
    lines = [
        "## Releases",
        "",
        f"Affected: {row.affected}.{'' if row.certain else ' This is inferred, not tried.'}",
        "",
        "| line | fixed in |",
        "|---|---|",
    ]
    fixed = table("_calico.defects").fixed_in(row)
    return "\n".join([*lines, *(f"| {line} | {first} |" for line, first in fixed.items())])


def link(number: str) -> str:
    """A number as a link; GitHub leads from issues to pull requests itself."""
    match = NUMBER.fullmatch(number)
    if not match:
        raise SystemExit(f"{number} is no number of an issue or pull request")
    repository = match[1] or CALICO
    return f"[{repository}#{match[2]}](https://github.com/{repository}/issues/{match[2]})"


def differences(directory: Path) -> list[str]:
    """What is not as the table has it."""
    wanted = pages()
    have = {file.name: file.read_text("utf-8") for file in directory.glob("*.md")}
    return [
        f"{directory / name}: {'not current' if name in wanted else 'no such code'}"
        for name in sorted({*wanted, *have})
        if wanted.get(name) != have.get(name)
    ]


def write(directory: Path) -> None:
    """Bring the directory to what the table says."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for file in directory.glob("*.md"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text, "utf-8")


def main(arguments: list[str]) -> int:
    directory = Path(arguments[-1])
    if "--write" in arguments:
        write(directory)
    found = differences(directory)
    print("\n".join(found) if found else f"{len(pages())} pages are current")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

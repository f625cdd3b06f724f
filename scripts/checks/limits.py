# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail on functions over 50 lines and files over 300 lines, documentation not counted.

Usage: ``limits.py DIRECTORY...``; prints one line per finding and exits 1 when there is any.
Documentation is docstrings and the DOCUMENTATION, EXAMPLES and RETURN blocks of a plugin.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FUNCTION_LINES = 50
FILE_LINES = 300
PLUGIN_BLOCKS = {"DOCUMENTATION", "EXAMPLES", "RETURN"}


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_plugin_block(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id in PLUGIN_BLOCKS for target in node.targets
    )


def documentation_lines(body: list[ast.stmt]) -> int:
    return sum(length(node) for node in body if is_docstring(node) or is_plugin_block(node))


def long_functions(tree: ast.Module) -> Iterator[tuple[ast.stmt, str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = length(node) - documentation_lines(node.body)
            if lines > FUNCTION_LINES:
                yield node, node.name, lines


def findings(file: Path) -> Iterator[str]:
    text = file.read_text("utf-8")
    tree = ast.parse(text, str(file))
    for node, name, lines in long_functions(tree):
        yield f"{file}:{node.lineno}: {name} has {lines} lines; {FUNCTION_LINES} are allowed"
    lines = len(text.splitlines()) - documentation_lines(tree.body)
    if lines > FILE_LINES:
        yield f"{file}:1: the file has {lines} lines; {FILE_LINES} are allowed"


def main(directories: list[str]) -> int:
    files = sorted(file for name in directories for file in Path(name).rglob("*.py"))
    found = [line for file in files for line in findings(file)]
    print("\n".join(found) if found else f"{len(files)} files are within the limits")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

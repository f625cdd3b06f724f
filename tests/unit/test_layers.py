# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of the collection: who may import whom, and who knows what."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
UTILS = PLUGINS / "module_utils"
# What a room of module_utils may import of the others; its own files are always allowed.
ALLOWED: dict[str, frozenset[str]] = {
    "_errors": frozenset(),
    "_uapi": frozenset({"_errors"}),
    "_calico": frozenset({"_errors", "_uapi"}),
    "_snapshot": frozenset(),
    "_plan": frozenset({"_errors", "_uapi", "_calico", "_snapshot"}),
    "_kernel": frozenset({"_errors", "_uapi"}),
    "_observe": frozenset({"_errors", "_uapi", "_calico", "_snapshot", "_kernel", "_plan"}),
    "_execute": frozenset(
        {"_errors", "_uapi", "_calico", "_snapshot", "_kernel", "_plan", "_observe"}
    ),
    "_watch": frozenset({"_errors", "_calico", "_kernel", "_plan", "_observe", "_execute"}),
    "_runner": frozenset(
        {"_errors", "_uapi", "_calico", "_kernel", "_plan", "_observe", "_execute"}
    ),
}
# Rooms that make no system call, whatever they import.
PURE = ("_uapi", "_calico", "_snapshot", "_plan")
IMPURE_IMPORTS = frozenset({"ctypes", "os", "socket", "subprocess", "fcntl", "mmap", "signal"})
CALICO_WORDS = ("calico", "felix", "cali_", "tigera")


class Import(NamedTuple):
    """A dotted name (the collection's own start at plugins/); on_load: not inside a function."""

    module: str
    on_load: bool


def package_of(file: Path) -> list[str]:
    return list(file.relative_to(PLUGINS).with_suffix("").parts[:-1])


def resolved(node: ast.ImportFrom, file: Path) -> Iterator[str]:
    """Absolute names that a from-import takes; the collection's start at plugins/."""
    if not node.level:
        prefix = "ansible_collections.bpfops.calico.plugins."
        module = node.module or ""
        yield module[len(prefix) :] if module.startswith(prefix) else module
        return
    package = package_of(file)
    base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
    parts = [part for part in base if part]
    for name in node.names:
        yield ".".join([*parts, name.name])


def imports(file: Path) -> Iterator[Import]:
    tree = ast.parse(file.read_text("utf-8"))
    top = {id(child) for node in tree.body for child in _unconditional(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(name.name, id(node) in top)
        elif isinstance(node, ast.ImportFrom):
            for module in resolved(node, file):
                yield Import(module, id(node) in top)


def _unconditional(node: ast.stmt) -> Iterator[ast.AST]:
    """Statements that run on import: everything outside functions and TYPE_CHECKING."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _for_type_checkers(node):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.ExceptHandler)):
            yield from _unconditional(child)  # type: ignore[arg-type]


def _for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def room(module: str) -> str:
    """The room of module_utils that a dotted name belongs to, or an empty string."""
    parts = module.split(".")
    return parts[1] if parts[0] == "module_utils" and len(parts) > 1 else ""


def room_of_file(file: Path) -> str:
    return file.relative_to(UTILS).parts[0].replace(".py", "")


def utils() -> list[Path]:
    return sorted(UTILS.rglob("*.py"))


def name(file: Path) -> str:
    return str(file.relative_to(PLUGINS))


@pytest.mark.parametrize("file", utils(), ids=name)
def test_imports_point_downwards(file: Path) -> None:
    own = room_of_file(file)
    assert own in ALLOWED, f"{own} is a new room: give it a place in ALLOWED"
    wrong = {room(one.module) for one in imports(file)} - ALLOWED[own] - {own, ""}
    assert not wrong


@pytest.mark.parametrize("file", utils(), ids=name)
def test_node_code_needs_only_the_standard_library(file: Path) -> None:
    outside = {one.module.split(".")[0] for one in imports(file) if one.on_load}
    allowed = {"module_utils", "ansible"} if room_of_file(file) == "_runner" else {"module_utils"}
    assert not outside - sys.stdlib_module_names - allowed


@pytest.mark.parametrize("file", utils(), ids=name)
def test_pure_rooms_make_no_system_call(file: Path) -> None:
    if room_of_file(file) in PURE:
        assert not {one.module.split(".")[0] for one in imports(file)} & IMPURE_IMPORTS


@pytest.mark.parametrize("file", sorted((UTILS / "_kernel").rglob("*.py")), ids=name)
def test_the_kernel_layer_knows_no_calico_word(file: Path) -> None:
    text = file.read_text("utf-8").lower()
    # The collection's own name is no knowledge of Calico.
    text = text.replace("bpfops.calico", "").replace("bpfops/calico", "")
    assert not [word for word in CALICO_WORDS if word in text]


@pytest.mark.parametrize("file", sorted((PLUGINS / "modules").glob("*.py")), ids=name)
def test_modules_only_wire(file: Path) -> None:
    wrong = {"ctypes", "struct", "socket", "subprocess"}
    found = {one.module for one in imports(file)}
    assert not {module.split(".")[0] for module in found} & wrong
    assert "_kernel" not in {room(module) for module in found}

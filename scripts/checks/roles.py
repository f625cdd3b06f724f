# SPDX-License-Identifier: GPL-3.0-or-later
"""Fail when a role's ``defaults/main.yml`` and ``meta/argument_specs.yml`` disagree.

Usage: ``roles.py ROLES_DIRECTORY``. Every default must be a documented option with the same
default, and every documented default must be in the defaults. Options without a default
(required ones, or those that stay undefined) belong to the argument_specs alone. Names start with
the role's or with ``calico_``, and every role has a README.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

Mapping = dict[str, Any]
SHARED_PREFIX = "calico_"


def load(file: Path) -> Mapping:
    content = yaml.safe_load(file.read_text("utf-8")) if file.exists() else None
    return content or {}


def documented(specs: Mapping) -> Mapping:
    """Defaults by option name over all entry points."""
    points = specs.get("argument_specs", {}).values()
    return {
        name: option["default"]
        for point in points
        for name, option in (point.get("options") or {}).items()
        if "default" in option
    }


def disagreements(defaults: Mapping, specs: Mapping) -> Iterator[str]:
    for name in sorted(defaults.keys() - specs.keys()):
        yield f"{name} is in defaults/main.yml, but has no default in meta/argument_specs.yml"
    for name in sorted(specs.keys() - defaults.keys()):
        yield f"{name} has a default in meta/argument_specs.yml, but none in defaults/main.yml"
    for name in sorted(defaults.keys() & specs.keys()):
        if defaults[name] != specs[name]:
            yield (
                f"{name} is {defaults[name]!r} in defaults/main.yml, "
                f"but {specs[name]!r} in meta/argument_specs.yml"
            )


def misnamed(names: Iterable[str], role: str) -> Iterator[str]:
    for name in sorted(names):
        if not name.startswith((f"{role}_", SHARED_PREFIX)):
            yield f"{name} starts neither with {role}_ nor with {SHARED_PREFIX}"


def findings(role: Path) -> Iterator[str]:
    specs = load(role / "meta/argument_specs.yml")
    if not specs:
        yield "meta/argument_specs.yml is missing"
    if not (role / "README.md").exists():
        yield "README.md is missing"
    defaults = load(role / "defaults/main.yml")
    yield from misnamed(defaults, role.name.lstrip("_"))
    yield from disagreements(defaults, documented(specs))


def main(directory: str) -> int:
    roles = sorted(path for path in Path(directory).glob("*") if path.is_dir())
    found = [f"{role}: {finding}" for role in roles for finding in findings(role)]
    print("\n".join(found) if found else f"{len(roles)} roles agree with their documentation")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

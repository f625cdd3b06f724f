# SPDX-License-Identifier: GPL-3.0-or-later
"""The initramfs: this machine's own files under their own names, and the tests of the checkout."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.vm import guest
from tests.vm.command import UnavailableError, run
from tests.vm.debian import Kernel

ROOT = Path(__file__).resolve().parents[2]

_TOOLS = ("bpftool", "ip", "tc", "mount", "umount", "insmod", "unshare")
_DISTRIBUTIONS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments", "pyroute2")
_CHECKOUT = ("plugins", "tests", "pyproject.toml", ".venv/pyvenv.cfg", ".venv/bin/python")
_UNUSED = {"test", "idlelib", "lib2to3", "tkinter", "ensurepip", "turtledemo", "site-packages"}
# Of ansible-core a node gets module_utils and nothing else.
_ANSIBLE = re.compile(r"ansible/((__init__|release)\.py|(_vendor|module_utils)/.*)")


def host_files() -> set[Path]:
    """What the tests need of this machine, with all that leads there. Raises UnavailableError."""
    programs = [_found(tool) for tool in _TOOLS]
    python = Path(sys._base_executable)  # type: ignore[attr-defined]
    library = Path(sysconfig.get_path("stdlib"))
    standard = [
        file for file in _below(library) if not _UNUSED & set(file.relative_to(library).parts)
    ]
    extensions = [file for file in standard if file.suffix == ".so"]
    wanted = [*programs, python, *standard, *_libraries([*programs, python, *extensions])]
    wanted += [ROOT / name for name in _CHECKOUT]
    for name in ("plugins", "tests"):
        wanted += (file for file in _below(ROOT / name) if file.suffix == ".py")
    return _with_parents([*wanted, *_site_files()])


def _found(tool: str) -> Path:
    place = shutil.which(tool)
    if place is None:
        raise UnavailableError(f"{tool} is not on this machine")
    return Path(place)


def _below(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _libraries(files: Iterable[Path]) -> list[Path]:
    """The shared libraries of programs and extension modules, and the loader."""
    told = run("ldd", *map(str, files))
    return [Path(name) for name in re.findall(r"^\s+(?:\S+ => )?(/.+) \(0x", told, re.M)]


def _site_files() -> Iterator[Path]:
    for name in _DISTRIBUTIONS:
        distribution = importlib.metadata.distribution(name)
        yield from (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
    ansible = importlib.metadata.distribution("ansible-core")
    for file in ansible.files or ():
        if _ANSIBLE.fullmatch(str(file)):
            yield Path(str(ansible.locate_file(file)))


def _with_parents(paths: Iterable[Path]) -> set[Path]:
    """The paths, the directories above them, and where the links among these lead."""
    found: set[Path] = set()
    left = [Path(os.path.normpath(path)) for path in paths]
    while left:
        path = left.pop()
        if path in found or not os.path.lexists(path):
            continue
        link = next((parent for parent in path.parents if parent.is_symlink()), None)
        if link is not None:  # say it by the directory that the link names, and add the link
            left += [link, link.resolve() / path.relative_to(link)]
            continue
        found.add(path)
        left.append(path.parent)
        if path.is_symlink():
            left.append(Path(os.path.normpath(path.parent / path.readlink())))
    return found


def pack(paths: Iterable[Path], base: Path, target: Path) -> None:
    """Write an archive as the kernel wants it, of ``paths`` below ``base``."""
    # A directory has to come before what is in it.
    names = sorted(str(path.relative_to(base)) for path in paths)
    options = ["--create", "--null", "--format=newc", "--owner=+0:+0", "--quiet"]
    run("cpio", *options, f"--file={target}", cwd=base, feed="\0".join(names) + "\0")


def overlay(kernel: Kernel, tests: list[str], scratch: Path) -> list[Path]:
    """What differs from kernel to kernel, laid out in ``scratch``."""
    python = sys._base_executable  # type: ignore[attr-defined]
    first = scratch / "init"
    first.write_text(f"#!{python}\n{Path(guest.__file__).read_text('utf-8')}", "utf-8")
    first.chmod(0o755)
    for module in kernel.modules:
        shutil.copyfile(module, scratch / module.name)
    work = {
        "modules": [f"/{module.name}" for module in kernel.modules],
        "directory": str(ROOT),
        "pytest": [
            str(ROOT / ".venv/bin/python"),
            "-m",
            "pytest",
            "-q",
            "--color=no",
            "--tb=short",
            *tests,
        ],
    }
    (scratch / "guest.json").write_text(json.dumps(work))
    return sorted(scratch.iterdir())

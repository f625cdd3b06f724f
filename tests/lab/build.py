# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiles the lab's C sources at first use; the cache is keyed by their content."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.settings import Settings
from tests.lab.shell import run

HERE = Path(__file__).resolve().parent
BPF_FLAGS = ["-O2", "-g", "-target", "bpf", "-mcpu=v2", "-Wall", "-Werror"]
HOST_FLAGS = ["-O2", "-Wall", "-Werror"]

# Nodes are filled by threads of one process, which would write one unfinished file.
_compiling = threading.Lock()


def bpf_object(settings: Settings, name: str, **defines: object) -> Path:
    """The object of ``bpf/<name>.bpf.c``, compiled with these macros."""
    # clang for the bpf target does not search the machine's own asm/ headers.
    headers = Path("/usr/include") / run("gcc", "-print-multiarch").strip()
    macros = [f"-D{macro}={value}" for macro, value in defines.items()]
    command = ["clang", *BPF_FLAGS, f"-I{headers}", *macros]
    return _compiled(settings, HERE / "bpf" / f"{name}.bpf.c", [*command, "-c"], [])


def tool(settings: Settings, name: str) -> Path:
    """The program of ``tools/<name>.c``."""
    return _compiled(settings, HERE / "tools" / f"{name}.c", ["gcc", *HOST_FLAGS], ["-lbpf"])


def _compiled(settings: Settings, source: Path, command: list[str], libraries: list[str]) -> Path:
    digest = hashlib.sha256(" ".join(command).encode())
    for path in [source, *sorted(source.parent.glob("*.h"))]:
        digest.update(path.read_bytes())
    target = settings.build / f"{source.name.split('.')[0]}-{digest.hexdigest()[:16]}.o"
    with _compiling:
        if not target.exists():
            _compile(settings, target, [*command, str(source)], libraries)
    return target


def _compile(settings: Settings, target: Path, command: list[str], libraries: list[str]) -> None:
    settings.build.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    try:
        run(*command, "-o", str(unfinished), *libraries)
    except LabError as error:
        raise LabError(f"{error} (needs the packages clang, gcc and libbpf-dev)") from error
    unfinished.rename(target)

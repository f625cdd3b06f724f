# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the agent into a node and tells it what size the conntrack map has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.lab import build
from tests.lab.agent import releases
from tests.lab.node import Node
from tests.lab.settings import Settings
from tests.lab.shell import run

HERE = Path(__file__).resolve().parent
INSTALL = Path("usr/local/lib/bpfops-lab")
LIBRARIES = ("libbpf.so.1", "libelf.so.1", "libz.so.1")
LAUNCHERS = {"lab-agent": "agent", "lab-neighbours": "agent.neighbours"}
LAUNCHER = """#!/bin/sh
PYTHONPATH=/usr/local/lib/bpfops-lab exec /usr/bin/python3 -m {} "$@"
"""


def agent(node: Node, size: int, *, bundle_libbpf: bool) -> None:
    """Copy the agent's files into the node and write felix.cfg."""
    root = node.root()
    target = root / INSTALL / "agent"
    shutil.copytree(HERE / "agent", target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(build.bpf_object(node.settings, "conntrack"), target / "conntrack.bpf.o")
    if bundle_libbpf:
        _copy_libraries(target / "lib")
    for name, module in LAUNCHERS.items():
        launcher = root / "usr/local/bin" / name
        launcher.write_text(LAUNCHER.format(module))
        launcher.chmod(0o755)
    write_felix_config(node, size)


def play(node: Node, release: str, *, ipv6: bool, services: bool) -> None:
    """Have the agent play a release of Calico from its next start on."""
    target = node.root() / INSTALL / "agent" / "bpf"
    for place, built in release_objects(node.settings, services=services).items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(built, target / place)
    text = f"[lab]\nrelease = {release}\nipv6 = {_word(ipv6)}\nservices = {_word(services)}\n"
    (node.root() / "etc/calico/lab-agent.cfg").write_text(text)


def _word(wanted: bool) -> str:
    return "yes" if wanted else "no"


def release_objects(settings: Settings, *, services: bool = False) -> dict[str, Path]:
    """Compiled objects of all releases by their place in the agent's directory."""
    found = {
        f"{name}.o": build.bpf_object(settings, name) for name in ("connect_time", "neighbours")
    }
    for entry in releases.XDP_ENTRIES:
        macros = {"SIZE": entry.size, "ENTRY": entry.name}
        found[entry.object_path()] = build.bpf_object(settings, "xdp_preamble", **macros)
    for layout in releases.LAYOUTS:
        for hook in (0, 1):
            found[layout.object_path(hook)] = _preamble(settings, layout, hook)
    programs = releases.main_programs()
    if services:
        programs += releases.main_programs(services=True)
    for one in programs:
        found[one.path()] = _main(settings, one)
    return found


def _main(settings: Settings, one: releases.MainProgram) -> Path:
    direction = ("FROM_POD", "TO_POD")[one.hook]
    macros = {"RST_SEEN": one.rst_seen, "IPV6": one.family == "v6", "SERVICES": one.services}
    flags = {macro: 1 for macro, wanted in macros.items() if wanted}
    return build.bpf_object(settings, "conntrack", MAIN=one.name, DIRECTION=direction, **flags)


def _preamble(settings: Settings, layout: releases.Preamble, hook: int) -> Path:
    return build.bpf_object(
        settings,
        "tc_preamble",
        SIZE=layout.size,
        HALF=layout.half,
        IFACE=layout.iface,
        LOG_FILTER=layout.log_filter,
        JUMPS=layout.jumps,
        DEBUG=layout.debug,
        TEXT=f'"{layout.text}"',
        ENTRY=layout.entries[hook],
    )


def write_felix_config(node: Node, size: int) -> None:
    """The part of felix's configuration file that the agent reads."""
    path = node.root() / "etc/calico/felix.cfg"
    path.write_text(f"[global]\nBPFMapSizeConntrack = {size}\n")


def start_agent(node: Node, *, systemd: bool = False) -> None:
    """Start the agent; LabError with its reason when it cannot attach.

    With systemd by its unit, so that systemctl knows of it.
    """
    by_hand = ["/usr/local/bin/lab-agent", "start"]
    node.run(*(["systemctl", "start", "calico-felix"] if systemd else by_hand))


def agent_status(node: Node) -> dict[str, Any] | None:
    """What the agent says of itself; None when the node has none."""
    if not (node.root() / "usr/local/bin/lab-agent").exists():
        return None
    report: dict[str, Any] = json.loads(node.run("/usr/local/bin/lab-agent", "status"))
    return report


def _copy_libraries(target: Path) -> None:
    target.mkdir()
    known = {
        line.split()[0]: line.rsplit("=> ", 1)[1]
        for line in run("ldconfig", "-p").splitlines()
        if "=> " in line
    }
    for name in LIBRARIES:
        shutil.copy(known[name], target / name)

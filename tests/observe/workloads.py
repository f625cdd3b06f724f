# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters, calls of log filters and traffic of lab nodes, by tc, bpftool and the kernel's trace.

One look at a node is one command, since a scenario looks at many nodes many times.
"""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

PROJECT = Path(__file__).resolve().parents[2]
NONE = 0xFFFFFFFF
GLOBALS = "/sys/fs/bpf/tc/globals"
# Offset of log_filter_jmp in the constants of each size; halves follow each other.
_LOG_FILTER = {220: (56,), 512: (92, 348), 528: (96, 360), 536: (96, 364)}
_SCENARIO = PROJECT / "molecule" / "tc_and_logs" / "vars"
_STATES = PROJECT / ".build" / "molecule" / "tc_and_logs-states"
# What is shared by all lines: mark, name, a blank, one line of JSON or text.
_LOOK = """
say() { echo "==$1 $(cat | tr -d '\\n')"; }
cd /sys/fs/bpf/tc/globals
lab-agent status | say agent
bpftool -j map dump pinned cali_iface? | say ifstate
bpftool -j map show pinned cali_state? | say state
ls | say pins
cat /etc/calico/felix.cfg | say config
(stat -c %y /etc/calico/felix.cfg; find /sys/fs/bpf -printf '%p %i\\n' | sort) | say marks
for path in /sys/class/net/cali*; do
    for hook in ingress egress; do
        tc -j filter show dev "${path##*/}" $hook | say "filter ${path##*/} $hook"
    done
done
"""
# An instance of its own, so that no other reader takes its lines.
_LISTEN = """
[ -d /sys/kernel/tracing/events/bpf_trace ] || echo no such event
instance=/sys/kernel/tracing/instances/observe_$(hostname)_$$
mkdir $instance && echo 1 >$instance/events/bpf_trace/bpf_trace_printk/enable
timeout 2 cat $instance/trace_pipe | grep -o 'cali[0-9a-f-]* failed to call log filter' | sort -u
echo 0 >$instance/events/bpf_trace/bpf_trace_printk/enable; rmdir $instance
"""

Places = dict[str, list[tuple[int, int]]]


_heard: dict[str, set[str]] = {}
_looks: dict[str, Look] = {}


def name(host: Host) -> str:
    """The node's name in the inventory."""
    return str(host.backend.get_hostname())


def planted(host: Host) -> dict[str, Any]:
    """What has happened to the node."""
    nodes: dict[str, Any] = yaml.safe_load((_SCENARIO / "nodes.yml").read_text("utf-8"))["nodes"]
    return nodes[name(host)]  # type: ignore[no-any-return]


class Look:
    """A node at one moment."""

    def __init__(self, host: Host) -> None:
        lines = str(host.check_output(_LOOK.replace("%", "%%"))).split("\n==")
        found = {}
        for line in lines:
            what, _, said = line.removeprefix("==").partition(" ")
            if what == "filter":
                interface, hook, said = said.split(" ", 2)
                what = f"{interface} {hook}"
            found[what] = said
        self._found = found
        self.agent: dict[str, Any] = json.loads(found["agent"])
        self.config = found["config"]
        # What changes when felix starts, is told something, or pins something.
        self.marks = {"pid": str(self.agent["pid"]), "files": found["marks"]}
        self.old_jumps = "old_jumps" in found["pins"]

    def filters(self) -> dict[str, Places]:
        """Preference and handle of each filter of each workload, by interface and hook."""
        places: dict[str, Places] = {}
        for what, said in self._found.items():
            if what.startswith("cali"):
                interface, _, hook = what.partition(" ")
                places.setdefault(interface, {})[hook] = [
                    (one["pref"], int(one["options"]["handle"], 16))
                    for one in json.loads(said or "[]")
                    if "options" in one
                ]
        return places

    def unequal(self) -> int:
        """Workloads whose filters differ; felix goes by the highest one of each hook."""
        return sum(len({max(one) for one in hooks.values() if one}) > 1 for hooks in self._hooks())

    def duplicates(self) -> int:
        """Workloads with more than one filter on a hook."""
        return sum(any(len(one) > 1 for one in hooks.values()) for hooks in self._hooks())

    def _hooks(self) -> list[Places]:
        return list(self.filters().values())

    def indices(self) -> set[int]:
        """The log filters in felix's map of the interfaces, of all that are there."""
        values = [_bytes(one["value"]) for one in json.loads(self._found["ifstate"])]
        return {index for value in values for index in struct.unpack("<2i", value[-8:])}

    def called(self) -> set[int]:
        """The log filters in the constants of all programs that use the node's state map."""
        state = json.loads(self._found["state"])["id"]
        programs = [one for one in _bpftool("prog", "show") if state in one.get("map_ids", ())]
        used = {number for one in programs for number in one["map_ids"]}
        maps = [_map(number) for number in used]
        found = set()
        for one in (one for one in maps if _constant(one)):
            for entry in _bpftool("map", "dump", "id", str(one["id"])):
                for at in _LOG_FILTER[one["bytes_value"]]:
                    found.add(struct.unpack_from("<I", _bytes(entry["value"]), at)[0])
        return found


def look(host: Host) -> Look:
    """The node as it was when it was first asked for in this run of the tests."""
    if name(host) not in _looks:
        _looks[name(host)] = Look(host)
    return _looks[name(host)]


def filters_are_as_planted(host: Host) -> None:
    """A stuck felix attaches again and again: in between there may be two filters on a hook."""
    wanted = tuple(planted(host).get(what, 0) for what in ("unequal", "duplicates"))

    def right() -> bool:
        _looks[name(host)] = Look(host)
        return (look(host).unequal(), look(host).duplicates()) == wanted

    until(right, f"filters with {wanted[0]} pair unequal and {wanted[1]} hook doubled")


def held(host: Host, array: str, slot: int) -> str:
    """What is in an element of a program array."""
    key = struct.pack("<I", slot).hex(" ")
    return str(host.run(f"bpftool map lookup pinned {GLOBALS}/{array} key hex {key}").stdout)


def _bpftool(*words: str) -> list[dict[str, Any]]:
    """bpftool of this machine, which lists what all nodes have; nothing where it is gone by now."""
    done = subprocess.run(["bpftool", "-j", *words], capture_output=True, text=True, check=False)
    shown = json.loads(done.stdout) if done.stdout else []
    return shown if isinstance(shown, list) else []


def _map(number: int) -> dict[str, Any]:
    command = ["bpftool", "-j", "map", "show", "id", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout or "{}"))


def _constant(one: dict[str, Any]) -> bool:
    return str(one.get("name")).endswith(".rodata") and one["bytes_value"] in _LOG_FILTER


def _bytes(digits: list[str]) -> bytes:
    return bytes(int(digit, 16) for digit in digits)


def remember(host: Host) -> None:
    """Keep the marks for later."""
    _STATES.mkdir(parents=True, exist_ok=True)
    (_STATES / name(host)).write_text(json.dumps(look(host).marks), "utf-8")


def remembered(host: Host) -> dict[str, str]:
    """The marks as they were: felix's pid; the time of its file, and pins with their inodes."""
    kept: dict[str, str] = json.loads((_STATES / name(host)).read_text("utf-8"))
    return kept


def complaints(host: Host) -> set[str]:
    """Interfaces of the node that the trace names; all nodes have one, listened to once."""
    if "heard" not in _heard:
        _heard["heard"] = listened(host)
    return _heard["heard"] & set(look(host).filters())


def listened(host: Host) -> set[str]:
    """Interfaces of all nodes that the trace names within two seconds."""
    said = str(host.run(_LISTEN).stdout)
    if "no such event" in said:
        pytest.skip("this kernel has no event of bpf_trace_printk, or no tracefs")
    return set(re.findall(r"cali[0-9a-f]{11}", said))


def traffic() -> dict[str, Any]:
    """What the pods' flows have seen so far."""
    own, subnet = os.environ["BPFOPS_LAB_NAME"], os.environ["BPFOPS_LAB_SUBNET"].split(".")
    lab = {"BPFOPS_LAB_NAME": f"{own}t"}
    lab["BPFOPS_LAB_SUBNET"] = ".".join([*subnet[:2], str(int(subnet[2]) + 7), "0/24"])
    done = subprocess.run(
        [sys.executable, "-m", "tests.lab", "traffic", "status"],
        cwd=PROJECT,
        env={**os.environ, **lab},
        capture_output=True,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    """Wait for a condition, however busy the machine is."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"no {what} within {seconds} s"
        time.sleep(0.2)


def traffic_is_clean() -> None:
    """Each flow goes on, no datagram was lost, and no denied one has come through.

    A datagram counts as lost 3 s after it was sent; on a busy machine its echo may be later still.
    """
    before = traffic()
    time.sleep(3.2)
    until(lambda: traffic()["total"]["udp"]["lost"] == 0, "echo of each datagram")
    after = traffic()
    assert (after["through"], after["dead"]) == ({}, [])
    assert after["total"]["denied"]["sent"] > before["total"]["denied"]["sent"]
    silent = [flow for flow, echoes in after["echoes"].items() if echoes <= before["echoes"][flow]]
    assert silent == []
    assert after["total"]["tcp"]["died"] == after["total"]["tcp"]["stalled"] == 0

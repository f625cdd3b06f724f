# SPDX-License-Identifier: GPL-3.0-or-later
"""A node under load while a playbook works on its conntrack maps, and what became of the load."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration import lab_release as seen
from tests.lab import inventory
from tests.lab.harness import agent, lab
from tests.lab.traffic import control

NODE = "node1"
RATE = 50_000
# Asked for in all, as the machine may be late at the end.
ASKED = 60_000
FILLED = 20_000
PLAYBOOK = "bpfops.calico.resize_conntrack"
OWN_PINS = "/sys/fs/bpf/bpfops"


@contextmanager
def node_of(release: str, families: str, size: int) -> Iterator[Path]:
    """A lab of one node; the path of its inventory."""
    both = ["--ipv6"] if "6" in families else []
    lab("up", "--nodes", "1", "--pods", "3", "--size", str(size), "--release", release, *both)
    try:
        yield seen.LAB.state / "inventory.yml"
    finally:
        lab("down")


def module(hosts: Path, state: str, **options: Any) -> list[str]:
    """The command that runs conntrack_map by itself."""
    arguments = json.dumps({"state": state, **options})
    ansible = inventory.ansible_playbook().replace("ansible-playbook", "ansible")
    return [ansible, NODE, "-i", str(hosts), "-m", "bpfops.calico.conntrack_map", "-a", arguments]


def play(hosts: Path, release: str, size: int, *words: str, fails: bool = False) -> str:
    """Run the playbook that resizes; its output."""
    variables = {
        "calico_conntrack_max_entries": size,
        "calico_version": f"v{release}",
        "calico_report_dir": str(hosts.parent / "report"),
    }
    command = [inventory.ansible_playbook(), PLAYBOOK, "-i", str(hosts)]
    return run([*command, "-e", json.dumps(variables), *words], fails)


def run(command: list[str], fails: bool = False) -> str:
    """Run a command of Ansible's, which has to succeed or to fail; its output."""
    environment = inventory.ansible_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert bool(done.returncode) == fails, output
    return output


def changed(output: str) -> int:
    """Tasks that changed something on the node, as the recap says."""
    found = re.search(rf"^{NODE}\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])


def pin(family: str) -> str:
    """Path of the conntrack map that the node's release uses."""
    (path,) = [path for path in seen.pins(NODE) if re.search(rf"/cali_v{family}_ct\d$", path)]
    return path


@dataclass
class Outcome:
    """What became of the load of one family."""

    writer: dict[str, Any]
    compared: list[dict[str, Any]]


class Load:
    """Made-up flows, a writer of each family unless ``rate`` is 0, and traffic between pods."""

    def __init__(self, families: str, directory: Path, rate: int = ASKED) -> None:
        self.families, self._directory, self._rate = families, directory, rate // len(families)
        for family in families:
            self._fill("--family", family)
            lab("dump", NODE, str(self._dump("before", family)), "--family", family)
        kind = "both" if len(families) > 1 else families
        flows = ["--tcp", "12", "--udp", "6", "--interval", "0.05"]
        lab("traffic", "start", *flows, "--family", kind)

    def _fill(self, *of: str) -> None:
        lab("fill", NODE, str(FILLED), *of)
        lab("fill", NODE, "2000", "--service", "--first", str(10 * FILLED), *of)
        if self._rate:
            lab("writer", "start", NODE, "--rate", str(self._rate), *of)

    def end(self) -> dict[str, Outcome]:
        """Stop the writers, then compare what they expect, and what was there, with what is."""
        return {family: self._end(family) for family in self.families}

    def _end(self, family: str) -> Outcome:
        writer = self._stop(family)
        before, after = (self._dump(when, family) for when in ("before", "after"))
        lab("dump", NODE, str(after), "--family", family)
        if not writer:
            return Outcome(writer, [_compare(before, after)])
        log = ["--deleted", writer["deleted_log"]]
        expected = Path(writer["expected"])
        return Outcome(writer, [_compare(before, after, *log), _compare(expected, after, *log)])

    def _stop(self, family: str) -> dict[str, Any]:
        if not self._rate:
            return {}
        report: dict[str, Any] = json.loads(lab("writer", "stop", NODE, "--family", family))
        return report

    def _dump(self, when: str, family: str) -> Path:
        return self._directory / f"{when}-v{family}"


def traffic_is_alive(seconds: float = 60) -> dict[str, Any]:
    """Every flow between pods goes on within ``seconds``; end them, and return TCP's figures."""
    assert control.without_progress(seen.LAB, seconds) == []
    report = json.loads(lab("traffic", "stop"))
    tcp: dict[str, Any] = report["total"]["tcp"]
    assert (tcp["alive"], tcp["died"], report["dead"]) == (tcp["flows"], 0, [])
    return tcp


def check_traffic(seconds: float = 10, *, cut: bool = False) -> None:
    """Every flow between pods is alive and goes on within ``seconds``.

    Unless their table was ``cut``, no packet has lacked its entry.
    """
    assert traffic_is_alive(seconds)["stalled"] == 0
    status = agent(NODE)
    dropped = {name: status[name] for name in status if name.startswith("dropped_")}
    assert bool(sum(dropped.values())) == cut, dropped


def check_rate(outcomes: dict[str, Outcome]) -> None:
    """The writers have kept up, and come along."""
    assert sum(one.writer["rate"] for one in outcomes.values()) >= RATE, outcomes
    for family, one in outcomes.items():
        map_id = seen.pins(NODE)[pin(family)]["id"]
        assert (one.writer["map_id"], one.writer["failed"]) == (map_id, 0), one.writer


def check_explained(outcomes: dict[str, Outcome]) -> None:
    """Each difference has a good reason."""
    for one in outcomes.values():
        for found in one.compared:
            assert found["equal"] >= FILLED // 2
            assert found["unexplained"] == 0, (one.writer, found)


def no_pins_of_ours() -> bool:
    """Whether no old map and no note is left."""
    return seen.in_node(NODE, "sh", "-c", f"ls {OWN_PINS} 2>/dev/null; true") == ""


def _compare(a: Path, b: Path, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab("compare", str(a), str(b), *more))
    return found

# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the workers in the pods, asks them, adds up what they say, ends them."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab import node, pods
from tests.lab.errors import LabError
from tests.lab.node import Node
from tests.lab.settings import Settings, pod_address, pod_address6
from tests.lab.shell import wait_for
from tests.lab.traffic import policy
from tests.lab.traffic.report import summary

WORKER = Path(__file__).with_name("worker.py")
DIRECTORY = "run/lab-traffic"
BACKGROUND = 'setsid "$@" </dev/null >>/var/log/lab-traffic.log 2>&1 &'


@dataclass(frozen=True)
class Flow:
    """One connection or stream: (node, pod) to (node, pod), over IPv4 or IPv6."""

    number: int
    source: tuple[int, int]
    target: tuple[int, int]
    family: int


@dataclass(frozen=True)
class Wish:
    """What `traffic start` is asked for; ``family``: 4, 6, or both in turn."""

    tcp: int
    udp: int
    interval: float
    family: str = "4"
    policy: bool = False

    def check(self) -> None:
        """Raise LabError for a value that cannot work."""
        if self.tcp < 0 or self.udp < 0 or not 0.001 <= self.interval <= 60:
            raise LabError(
                f"--tcp {self.tcp}, --udp {self.udp}, --interval {self.interval:g}: use 0 or"
                " more flows and 0.001 to 60 seconds."
            )


@dataclass(frozen=True)
class Plan:
    """All flows of a run."""

    tcp: list[Flow]
    udp: list[Flow]
    interval: float
    started: float
    # Flows that must not come through; the node that denies each, in the same order.
    denied: list[Flow]
    guards: list[int]

    def pairs(self) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
        """The policy: node, source and target."""
        return [
            (guard, flow.source, flow.target)
            for guard, flow in zip(self.guards, self.denied, strict=True)
        ]

    def endpoints(self) -> list[tuple[int, int]]:
        """Every (node, pod) that takes part."""
        flows = [*self.tcp, *self.udp, *self.denied]
        return sorted({flow.source for flow in flows} | {flow.target for flow in flows})


def start(settings: Settings, wish: Wish) -> None:
    """Start the traffic; returns when every flow has had its first echo."""
    wish.check()
    if _plan_file(settings).exists():
        raise LabError("Traffic runs already; use `traffic stop` first.")
    places = _places(settings)
    families = (4, 6) if wish.family == "both" else (int(wish.family),)
    pairs = list(policy.denied_pairs(places)) if wish.policy else []
    plan = Plan(
        [_flow(number, places, families) for number in range(wish.tcp)],
        [_flow(number, places, families) for number in range(wish.udp)],
        wish.interval,
        time.time(),
        [Flow(number, source, target, 4) for number, (_, source, target) in enumerate(pairs)],
        [guard for guard, _, _ in pairs],
    )
    _plan_file(settings).write_text(json.dumps(asdict(plan)))
    try:
        _start(settings, plan)
    except LabError:
        stop(settings)
        raise


def _start(settings: Settings, plan: Plan) -> None:
    for index in {index for index, _ in plan.endpoints()}:
        _bring_worker(settings, index)
    for endpoint in plan.endpoints():
        _launch(settings, plan, endpoint)
    for endpoint in plan.endpoints():
        wait_for(partial(_ask, settings, endpoint, "report"), 30, f"traffic in pod {endpoint}")
    for endpoint in plan.endpoints():
        _ask(settings, endpoint, "go")
    wait_for(lambda: _flowing(status(settings)), 20, "all flows to have had an echo", 0.1)
    if plan.denied:
        policy.enforce(settings, plan.pairs())
        for endpoint in plan.endpoints():
            _ask(settings, endpoint, "enforced")


def status(settings: Settings) -> dict[str, Any]:
    """What the flows have seen so far, per node of origin and in total."""
    return _collect(settings, _plan(settings), "report")


def stop(settings: Settings) -> dict[str, Any]:
    """Stop sending, wait for the last echoes, end the workers, return the final figures."""
    plan = _plan(settings)
    _collect(settings, plan, "halt")
    deadline = time.monotonic() + 3.5
    report = _collect(settings, plan, "report")
    while report["total"]["udp"]["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)
        report = _collect(settings, plan, "report")
    for endpoint in plan.endpoints():
        _ask(settings, endpoint, "exit")
    policy.lift(settings, plan.pairs())
    for one in node.existing(settings):
        if one.pid():
            shutil.rmtree(one.root() / DIRECTORY, ignore_errors=True)
    _plan_file(settings).unlink()
    return report


def without_progress(settings: Settings, seconds: float = 10) -> list[str]:
    """Flows that had no echo since this call, when all had one or ``seconds`` are over."""
    before = status(settings)["echoes"]
    deadline = time.monotonic() + seconds
    silent = list(before)
    while silent and time.monotonic() < deadline:
        time.sleep(0.05)
        now = status(settings)["echoes"]
        silent = [name for name, echoes in before.items() if now.get(name, 0) <= echoes]
    return silent


def _flowing(report: dict[str, Any]) -> bool:
    if report["dead"]:
        raise LabError(f"Traffic does not flow: {report['dead'][:3]}")
    tcp, udp, denied = (report["total"][kind] for kind in ("tcp", "udp", "denied"))
    every = (tcp, "talking"), (udp, "talking"), (denied, "probed")
    return all(figures[heard] == figures["flows"] for figures, heard in every)


def _places(settings: Settings) -> list[list[tuple[int, int]]]:
    """Pods per node that can be an end of a flow."""
    nodes = [one for one in node.existing(settings) if one.pid()]
    places = [[(one.index, pod) for pod in pods.existing(one)] for one in nodes]
    if not places or not all(places) or sum(map(len, places)) < 2:
        raise LabError("Traffic needs a running lab with pods on each node, two at least.")
    return places


def _flow(number: int, places: list[list[tuple[int, int]]], families: tuple[int, ...]) -> Flow:
    """Spread sources over nodes first, then pods; targets are pods of the other nodes.

    Of each place and its target, there is a flow of each family.
    """
    nodes = len(places)
    pair, family = divmod(number, len(families))
    turn, source = divmod(pair, nodes)
    target = (source + 1 + turn % max(1, nodes - 1)) % nodes
    return Flow(
        number,
        places[source][turn % len(places[source])],
        places[target][(turn + 1) % len(places[target])],
        families[family],
    )


def _bring_worker(settings: Settings, index: int) -> None:
    """Once for a node: a copy over the file would be empty for a worker that is just starting."""
    directory = Node(settings, index).root() / DIRECTORY
    directory.mkdir(exist_ok=True)
    shutil.copy(WORKER, directory / "worker.py")


def _launch(settings: Settings, plan: Plan, endpoint: tuple[int, int]) -> None:
    index, pod = endpoint
    one = Node(settings, index)
    directory = one.root() / DIRECTORY
    work = {
        "bind": [str(pod_address(index, pod)), str(pod_address6(index, pod))],
        "interval": plan.interval,
        "tcp": _assigned(plan.tcp, endpoint),
        "udp": _assigned(plan.udp, endpoint),
        "denied": _assigned(plan.denied, endpoint),
    }
    (directory / f"pod{pod}.json").write_text(json.dumps(work))
    files = [f"/{DIRECTORY}/{name}" for name in ("worker.py", f"pod{pod}.json", f"pod{pod}.sock")]
    inside = pods.command(pod, "/usr/bin/python3", *files)
    one.run("sh", "-c", BACKGROUND, "sh", *inside)


def _assigned(flows: list[Flow], endpoint: tuple[int, int]) -> list[dict[str, Any]]:
    return [
        {"number": flow.number, "address": _address(flow)}
        for flow in flows
        if flow.source == endpoint
    ]


def _address(flow: Flow) -> str:
    return str((pod_address if flow.family == 4 else pod_address6)(*flow.target))


def _collect(settings: Settings, plan: Plan, command: str) -> dict[str, Any]:
    answers = {endpoint: _ask(settings, endpoint, command) for endpoint in plan.endpoints()}
    planned = {"tcp": _sources(plan.tcp), "udp": _sources(plan.udp)}
    planned["denied"] = _sources(plan.denied)
    return summary(planned, answers, time.time() - plan.started)


def _sources(flows: list[Flow]) -> Iterator[tuple[int, tuple[int, int]]]:
    return ((flow.number, flow.source) for flow in flows)


def _ask(settings: Settings, endpoint: tuple[int, int], command: str) -> dict[str, Any] | None:
    """The worker's report, or None when there is no worker that answers."""
    index, pod = endpoint
    pid = Node(settings, index).pid()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        try:
            connection.connect(f"/proc/{pid}/root/{DIRECTORY}/pod{pod}.sock")
            connection.sendall(f"{command}\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return None
    report: dict[str, Any] | None = json.loads(answer) if answer else None
    return report


def _plan_file(settings: Settings) -> Path:
    return settings.state / "traffic.json"


def _plan(settings: Settings) -> Plan:
    if not _plan_file(settings).exists():
        raise LabError("No traffic runs; use `traffic start`.")
    text = json.loads(_plan_file(settings).read_text())
    flows = {
        kind: [
            Flow(one["number"], tuple(one["source"]), tuple(one["target"]), one["family"])
            for one in text[kind]
        ]
        for kind in ("tcp", "udp", "denied")
    }
    return Plan(**{**text, **flows})

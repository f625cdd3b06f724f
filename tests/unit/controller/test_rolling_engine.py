# SPDX-License-Identifier: GPL-3.0-or-later
"""A run over a fleet: order, what a run that was cut off leaves, failures, windows, bad input."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import subprocess
from pathlib import Path

import pytest

from tests.unit.controller.rolling import Fleet

UNFINISHED = {f"probe-unfinished.{suffix}" for suffix in ("html", "json", "md")}
GATES = ["gates node1", "gates node2", "gates node3"]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_a_run_that_was_cut_off_goes_on_where_it_was(fleet: Fleet) -> None:
    cut = fleet.run(calico_canary="node3", cut=["node1"])
    assert cut.status == -9
    assert (sorted(cut.did[:3]), cut.done) == (GATES, ["node3", "node1"])
    assert fleet.state(3)["outcome"] == "finished"
    state = fleet.state(1)
    assert (state["outcome"], state["ended"]) == ("running", "")
    assert [one["name"] for one in state["steps"]] == ["first"]
    assert state["command"].startswith("ansible-playbook -i hosts play.yml -e ")
    file = fleet.place / "state1/probe.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (fleet.place / "state2").exists()
    assert cut.files == UNFINISHED
    assert cut.results == {"node1": "unfinished", "node2": "not_started", "node3": "changed"}

    rest = fleet.run(calico_canary="node3")
    assert (rest.status, rest.done) == (0, ["node1", "node2"])
    assert rest.results == {"node1": "changed", "node2": "changed", "node3": "ok"}
    assert not rest.files & UNFINISHED
    says = rest.report["nodes"][2]["steps"][-1]["says"]
    assert says == (
        f"Finished at {fleet.state(3)['ended']} by an earlier run, and still as it should be."
    )
    assert all(fleet.state(number)["outcome"] == "finished" for number in (1, 2, 3))

    again = fleet.run(drifted=["node2"])
    assert again.done == ["node2"]
    assert again.results == {"node1": "ok", "node2": "changed", "node3": "ok"}
    before = fleet.state(1)["run"]
    assert fleet.run("--limit", "node1", size="2").done == ["node1"]
    assert fleet.state(1)["run"] != before
    forgotten = fleet.run("--limit", "node1", size="2", calico_run_restart=True)
    assert forgotten.done == ["node1"]


def test_a_node_that_is_out_of_reach_is_in_a_report(fleet: Fleet) -> None:
    run = fleet.run(lost=["node2"])
    assert (run.status, run.done) == (4, ["node1", "node2"])
    assert run.files == UNFINISHED
    assert run.results == {"node1": "changed", "node2": "unfinished", "node3": "not_started"}
    assert [step["name"] for step in run.report["nodes"][0]["steps"]] == ["first", "second"]


def test_nothing_begins_after_the_window(fleet: Fleet) -> None:
    fleet.more["ANSIBLE_CALLBACKS_ENABLED"] = "bpfops.calico.live"
    run = fleet.run(calico_window_end="2099-01-01T00:00:00Z", live=True)
    assert (run.status, run.done) == (0, ["node1"])
    assert re.search(r"0:\d\d node1 probe : Log it", run.said)
    assert re.search(r"0:\d\d node1 probe : Wait for nothing asked 1 of 3 times, 0:\d\d", run.said)
    assert run.results == {"node1": "changed", "node2": "not_started", "node3": "not_started"}
    assert "The window has ended: node2, node3 were not started. The same command" in run.said
    assert "before its turn" in run.report["nodes"][1]["steps"][-1]["says"]
    assert not (fleet.place / "state2").exists()
    del fleet.more["ANSIBLE_CALLBACKS_ENABLED"]
    rest = fleet.run()
    assert rest.done == ["node2", "node3"]
    assert not re.search(r"0:\d\d node2", rest.said)


def test_a_failure_stops_the_run_where_nobody_can_be_asked(fleet: Fleet) -> None:
    run = fleet.run(broken=["node1"], calico_on_failure="pause")
    assert (run.status != 0, run.done) == (True, ["node1"])
    assert run.results == {"node1": "failed", "node2": "not_started", "node3": "not_started"}
    assert fleet.state(1)["outcome"] == "failed"
    assert run.report["nodes"][0]["steps"][-1]["says"] == "node1 breaks."


def test_a_failure_asks_whether_to_go_on(fleet: Fleet) -> None:
    """The lease of the cluster is kept for as long."""
    fleet.pretend_cluster()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [
            "setsid",
            "--ctty",
            "--wait",
            *fleet.command(
                broken=["node1"], calico_on_failure="pause", calico_control="kubernetes"
            ),
            "--limit",
            "node1,node2",
        ],
        cwd=fleet.place,
        env=fleet.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.STDOUT,
    ) as process:
        os.close(theirs)
        said = _answer(ours, "Type go to go on", b"go\r")
    run = fleet.end(process.returncode, said)
    assert run.status != 0
    assert run.done == ["node1", "node2"], said
    assert run.results == {"node1": "failed", "node2": "changed"}
    assert "node1 has failed: node1 breaks." in run.said
    assert (run.did.count("lease_drop"), run.did[-1]) == (1, "lease_drop")


def _answer(terminal: int, prompt: str, answer: bytes) -> str:
    """Everything that is said on a terminal; the answer is typed while a prompt waits for it."""
    said = ""
    while True:
        readable, _, _ = select.select([terminal], [], [], 1)
        if not readable and prompt in said[-2000:]:
            os.write(terminal, answer)
        elif readable:
            try:
                said += os.read(terminal, 65536).decode(errors="replace")
            except OSError:
                return said


def test_a_refusal_on_one_host_keeps_all_others_as_they_are(fleet: Fleet) -> None:
    run = fleet.run(refuse=["node2"])
    assert (run.status != 0, sorted(run.did)) == (True, GATES)
    assert "node2 is refused." in run.said
    assert not list(fleet.place.glob("state*"))


def test_bad_input_is_refused_before_anything_is_asked(fleet: Fleet) -> None:
    run = fleet.run(calico_canary="node9", calico_serial="many", calico_window_end="soon")
    assert run.status != 0
    assert run.did == []
    assert "calico_canary: node9 is not among the hosts of this run" in run.said
    assert "calico_serial: 'many' is neither a number" in run.said
    assert "calico_window_end: 'soon' is no time" in run.said
    assert "Traceback" not in run.said


def test_check_mode_leaves_nothing_on_nodes(fleet: Fleet) -> None:
    run = fleet.run("--check", "--limit", "node1")
    assert run.status == 0
    assert run.results == {"node1": "changed"}
    assert not list(fleet.place.glob("state*"))

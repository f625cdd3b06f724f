# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook upgrade on one node of the lab: there, back by itself, nothing a second time, and
back because somebody wants it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import lab_release as seen
from tests.integration import resizing
from tests.integration.lab_release import GLOBALS
from tests.integration.node_info import bring_pyroute2
from tests.integration.resizing import NODE, Load
from tests.lab import inventory
from tests.lab.harness import agent
from tests.lab.traffic import control

pytestmark = pytest.mark.lab

SIZE = 60_000
CONFIG = "/etc/calico/lab-agent.cfg"
INSTALL = f"sed -i 's/^release = .*/release = {{{{ control_version[1:] }}}}/' {CONFIG}"
VARIABLES = {
    "calico_agent_upgrade_command": INSTALL,
    "calico_agent_version_command": f"sed -n 's/^release = /v/p' {CONFIG}",
}
PLAYBOOK = "bpfops.calico.upgrade"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Path]:
    with resizing.node_of("3.29.7", "46", SIZE) as path:
        bring_pyroute2(path)
        yield path


@pytest.fixture(scope="module")
def load(hosts: Path, tmp_path_factory: pytest.TempPathFactory) -> Load:
    return Load("46", tmp_path_factory.mktemp("load"), rate=0)


def play(hosts: Path, to: str, *words: str, fails: bool = False, **variables: Any) -> str:
    reports = {"calico_report_dir": str(hosts.parent / "report")}
    given = {**VARIABLES, **reports, "calico_version": to, **variables}
    command = [inventory.ansible_playbook(), PLAYBOOK, "-i", str(hosts)]
    return resizing.run([*command, "-e", json.dumps(given), *words], fails)


def release() -> str:
    return str(agent(NODE)["release"])


def tables() -> set[str]:
    """Names of the conntrack maps that are pinned, ours among them."""
    return {
        path.removeprefix(GLOBALS) for path in seen.pins(NODE) if re.search(r"cali_v\d_ct\d", path)
    }


def of_newer() -> set[str]:
    """Pins that releases up to 3.30 do not make."""
    names = {path.rpartition("/")[2] for path in seen.pins(NODE)}
    newer = r"cali_(progs|jump)_(ing|egr)2|cali_v\d_(ct4|ccq2|fr.*)|cali_counters5|cali\w+gress"
    return {name for name in names if re.fullmatch(newer, name)}


def test_a_dry_run_changes_nothing(hosts: Path, load: Load) -> None:
    play(hosts, "v3.30.7", "--check", "--diff")
    assert release() == "3.29.7"
    assert tables() == {"cali_v4_ct3", "cali_v6_ct3"}


def test_from_3_29_to_3_30(hosts: Path, load: Load) -> None:
    play(hosts, "v3.30.7")
    assert release() == "3.30.7"
    assert tables() == {"cali_v4_ct3", "cali_v6_ct3"}
    # From 3.30 on the time of the last RST; none was sent.
    held = seen.dump(NODE, "pinned", f"{GLOBALS}cali_v4_ct3").values()
    assert {value[:8] for value in held} == {bytes(8)}
    assert control.without_progress(seen.LAB, 10) == []


def test_a_release_that_does_not_become_healthy_is_taken_back(hosts: Path, load: Load) -> None:
    sick = f"sh -c '! grep -q 3.31 {CONFIG} && lab-agent ready'"
    said = play(
        hosts,
        "v3.31.7",
        fails=True,
        calico_agent_health_command=sick,
        control_health_retries=5,
    )
    assert "did not take Calico v3.31.7, so v3.30.7 runs again" in re.sub(r"\s+", " ", said)
    assert release() == "3.30.7"
    assert tables() == {"cali_v4_ct3", "cali_v6_ct3"}
    assert resizing.no_pins_of_ours()
    assert of_newer() == set()
    assert control.without_progress(seen.LAB, 10) == []


def test_from_3_30_to_3_31(hosts: Path, load: Load) -> None:
    play(hosts, "v3.31.7")
    assert release() == "3.31.7"
    assert tables() == {"cali_v4_ct4", "cali_v6_ct4"}
    assert resizing.no_pins_of_ours()
    assert of_newer()
    assert control.without_progress(seen.LAB, 10) == []
    resizing.check_explained(load.end())


def test_a_second_run_changes_nothing(hosts: Path, load: Load) -> None:
    before = seen.pins(NODE)
    said = play(hosts, "v3.31.7")
    assert re.search(rf"^{NODE}\s+: ok=\d+\s+changed=0 ", said, re.MULTILINE)
    assert seen.pins(NODE) == before


@pytest.mark.parametrize(
    ("to", "variables", "sentence"),
    [
        ("latest", {}, "calico_version: latest is not a release of Calico"),
        ("v3.32.1", {"calico_drain": True}, "calico_drain: true needs calico_control"),
        ("v3.32.1", {"calico_agent_upgrade_command": ""}, "the first is empty"),
        ("v3.32.1", {"calico_install_kind": "operator"}, "upgrade_allow_operator_roll: as soon as"),
        ("v3.30.7", {}, "set upgrade_allow_downgrade to true to agree"),
        ("v3.40.0", {}, "calico_version: '3.40.0' is not among the releases 3.26"),
    ],
)
def test_what_is_refused(hosts: Path, to: str, variables: dict[str, Any], sentence: str) -> None:
    before = seen.pins(NODE)
    said = play(hosts, to, fails=True, **variables)
    assert sentence in re.sub(r"\s+", " ", said)
    assert seen.pins(NODE) == before
    assert release() == "3.31.7"


def test_a_way_back_that_does_not_work_ends_where_it_began(hosts: Path, load: Load) -> None:
    sick = f"sh -c '! grep -q 3.30 {CONFIG} && lab-agent ready'"
    said = play(
        hosts,
        "v3.30.7",
        fails=True,
        upgrade_allow_downgrade=True,
        calico_agent_health_command=sick,
        control_health_retries=5,
    )
    assert "did not take Calico v3.30.7, so v3.31.7 runs again" in re.sub(r"\s+", " ", said)
    assert release() == "3.31.7"
    assert tables() == {"cali_v4_ct4", "cali_v6_ct4"}
    assert resizing.no_pins_of_ours()
    assert control.without_progress(seen.LAB, 10) == []


def test_back_to_3_30_when_somebody_agrees(hosts: Path, load: Load) -> None:
    play(hosts, "v3.30.7", upgrade_allow_downgrade=True)
    assert release() == "3.30.7"
    assert tables() == {"cali_v4_ct3", "cali_v6_ct3"}
    assert of_newer() == set()
    assert resizing.no_pins_of_ours()
    resizing.check_traffic()
    resizing.check_explained(load.end())
    again = play(hosts, "v3.30.7", upgrade_allow_downgrade=True)
    assert re.search(rf"^{NODE}\s+: ok=\d+\s+changed=0 ", again, re.MULTILINE)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal role _control: felix's configuration, restart and health on a host of its own."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import inventory
from tests.lab.harness import agent, in_node, lab

pytestmark = pytest.mark.lab

NODE = "node1"
CONFIG = "/etc/calico/felix.cfg"
SIZE = "bpfMapSizeConntrack"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab("up", "--nodes", "1", "--pods", "1")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def control(hosts: Path, *steps: tuple[str, dict[str, Any]], check: bool = False) -> str:
    """Include the role's steps in one play; what ansible-playbook prints."""
    tasks = [
        {
            "name": step,
            "ansible.builtin.include_role": {"name": "bpfops.calico._control", "tasks_from": step},
            "vars": words,
        }
        for step, words in steps
    ]
    show = {"ansible.builtin.debug": {"msg": "found {{ control_found | default({}) | to_json }}"}}
    play = hosts.with_name("play.yml")
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [*tasks, show]}]))
    command = [inventory.ansible_playbook(), str(play), "-i", str(hosts), *["--check"] * check]
    done = subprocess.run(
        command, env=inventory.ansible_environment(), capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def config() -> str:
    return in_node(NODE, "cat", CONFIG)


def write(text: str) -> None:
    in_node(NODE, "sh", "-c", f"printf %s {shlex.quote(text)} >{CONFIG}")


def test_settings_are_written_once_and_taken_back(hosts: Path) -> None:
    write("[global]\nLogSeverityScreen = Info\nbpfmapsizeconntrack=600000\n")
    before = config()
    first = control(
        hosts,
        ("check", {"control_fields": [SIZE, "bpfEnabled"]}),
        ("configure", {"control_settings": {SIZE: 700000, "bpfEnabled": True}}),
    )
    assert "changed=1" in first, first
    found = json.dumps({SIZE: "600000", "bpfEnabled": None})
    assert f"found {found}" in first.replace('\\"', '"')
    assert config().splitlines() == [
        "[global]",
        "BPFEnabled = True",
        "LogSeverityScreen = Info",
        "BPFMapSizeConntrack = 700000",
    ]
    again = ("configure", {"control_settings": {SIZE: 700000, "bpfEnabled": True}})
    assert "changed=0" in control(hosts, again)
    control(hosts, ("configure", {"control_settings": {SIZE: "600000", "bpfEnabled": None}}))
    assert config().lower().replace(" ", "") == before.lower().replace(" ", "")


def test_check_mode_writes_nothing(hosts: Path) -> None:
    write("[global]\n")
    said = control(hosts, ("configure", {"control_settings": {SIZE: 5}}), check=True)
    assert "changed=1" in said, said
    assert config() == "[global]\n"


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("[global]\n", {"calico_felix_config": "/none"}, "calico_felix_config: /none is not there"),
        ("BPFEnabled\n", {}, "has no section [global]"),
        ("[global]\nstray\n", {}, "the text is no felix.cfg"),
        ("[global]\n", {"calico_control": "pigeon"}, "pigeon"),
        (
            "[global]\n",
            {"calico_agent_kube_proxy_check_command": "true"},
            "some are empty; set all three",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(
    hosts: Path, text: str, words: dict[str, str], message: str
) -> None:
    write(text)
    said = control(hosts, ("check", {"control_fields": [SIZE], **words}))
    assert message in said, said
    assert "Traceback" not in said
    assert config() == text


def test_a_restart_is_another_process_and_healthy(hosts: Path) -> None:
    write("[global]\n")
    before = agent(NODE)["pid"]
    control(hosts, ("restart", {}), ("health", {"calico_agent_health_command": "lab-agent status"}))
    assert agent(NODE)["pid"] != before


def test_felix_stops_and_starts_again(hosts: Path) -> None:
    control(hosts, ("stop", {}))
    assert not agent(NODE)["running"]
    control(hosts, ("restart", {}))
    assert agent(NODE)["running"]


def test_kube_proxy_is_started_once_and_waited_for(hosts: Path) -> None:
    commands = {
        "calico_agent_kube_proxy_start_command": "touch /run/proxy",
        "calico_agent_kube_proxy_stop_command": "rm /run/proxy",
        "calico_agent_kube_proxy_check_command": "test -e /run/proxy",
    }
    start = ("kube_proxy", {**commands, "control_kube_proxy": "started"})
    stop = ("kube_proxy", {**commands, "control_kube_proxy": "stopped"})
    assert "changed=1" in control(hosts, start, start)
    in_node(NODE, "test", "-e", "/run/proxy")
    assert "changed=1" in control(hosts, stop, stop)
    deaf = {"calico_agent_kube_proxy_start_command": "true", "control_health_delay": 0}
    said = control(hosts, ("kube_proxy", {**start[1], **deaf, "control_health_retries": 2}))
    assert "kube-proxy is not started after 0 s of asking by test -e /run/proxy" in " ".join(
        said.split()
    )


def test_a_felix_that_stays_unhealthy_is_waited_for_and_named(hosts: Path) -> None:
    said = control(
        hosts,
        (
            "health",
            {
                "calico_agent_health_command": "ls /none",
                "control_health_retries": 2,
                "control_health_delay": 0,
            },
        ),
    )
    words = " ".join(said.split())
    assert "felix is not healthy after 0 s of asking by ls /none" in words, said
    assert "cannot access '/none'" in words

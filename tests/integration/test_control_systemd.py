# SPDX-License-Identifier: GPL-3.0-or-later
"""The internal role _control with felix as a unit of systemd, on a host of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import inventory
from tests.lab.harness import agent, call, in_node, lab

pytestmark = pytest.mark.lab

NODE = "node1"
LEVEL = "bpfLogLevel"
Step = tuple[str, dict[str, Any]]
PROXY = "[Service]\nExecStart=/bin/sleep infinity\n"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    shape = ("--nodes", "1", "--pods", "1", "--systemd")
    done = call("up", *shape)
    if done.returncode and "has no /lib/systemd/systemd" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


def control(hosts: Path, *steps: Step, check: bool = False, words: Any = None) -> str:
    """Include the role's steps in one play; what ansible-playbook prints, on one line."""
    role = "bpfops.calico._control"
    tasks = [
        {"ansible.builtin.include_role": {"name": role, "tasks_from": step}, "vars": given}
        for step, given in steps
    ]
    show = {"ansible.builtin.debug": {"msg": "found {{ control_found | default({}) | to_json }}"}}
    play = hosts.with_name("play.yml")
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [*tasks, show]}]))
    command = [inventory.ansible_playbook(), str(play), "-i", str(hosts), *["--check"] * check]
    command += ["-e", json.dumps({"calico_control": "systemd", **(words or {})})]
    done = subprocess.run(
        command, env=inventory.ansible_environment(), capture_output=True, text=True, check=False
    )
    return " ".join((done.stdout + done.stderr).replace('\\"', '"').split())


def started(unit: str) -> str:
    """When systemd started a unit; 0 when it does not run."""
    return in_node(
        NODE, "systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", unit
    ).strip()


def test_settings_and_a_restart(hosts: Path) -> None:
    before, pid = started("calico-felix"), agent(NODE)["pid"]
    wish: Step = ("configure", {"control_settings": {LEVEL: "Debug"}})
    steps: tuple[Step, ...] = (
        ("check", {"control_fields": [LEVEL]}),
        wish,
        ("restart", {}),
        ("health", {}),
    )
    dry = control(hosts, *steps, check=True)
    assert "changed=2" in dry, dry
    assert started("calico-felix") == before
    said = control(hosts, *steps)
    assert "failed=0" in said, said
    assert "BPFLogLevel = Debug" in in_node(NODE, "cat", "/etc/calico/felix.cfg")
    assert int(started("calico-felix")) > int(before)
    assert agent(NODE)["pid"] != pid
    assert agent(NODE)["running"]
    again = control(hosts, ("check", {"control_fields": [LEVEL]}), wish)
    assert "changed=0" in again
    assert f'found {{"{LEVEL}": "Debug"}}' in again


def test_felix_stops_and_is_missed(hosts: Path) -> None:
    assert "failed=0" in control(hosts, ("stop", {}))
    assert not agent(NODE)["running"]
    few = {"control_health_retries": 2, "control_health_delay": 0}
    said = control(hosts, ("health", few))
    assert "felix is not healthy after 0 s: the unit calico-felix.service is inactive" in said, said
    assert "failed=0" in control(hosts, ("restart", {}), ("health", {}))
    assert agent(NODE)["running"]
    url = "http://localhost:1/readiness"
    said = control(hosts, ("health", few), words={"calico_felix_health_url": url})
    assert f"is active, and {url} says:" in said, said


def test_interfaces_that_wait_are_seen_in_the_kernel(hosts: Path) -> None:
    """With 3.27, by the pins that felix keeps as long as its programs did not load."""
    jumps = "/sys/fs/bpf/tc/globals/old_jumps"
    place = "/etc/systemd/system/calico-felix.service.d"
    late = f"[Service]\nExecStartPost=/bin/mkdir -p {jumps}\n"
    in_node(NODE, "sh", "-c", f"mkdir -p {place} && printf '{late}' >{place}/late.conf")
    in_node(NODE, "systemctl", "daemon-reload")
    check: Step = ("check", {"control_fields": [LEVEL]})
    health: Step = ("health", {"control_health_retries": 2, "control_health_delay": 0})
    told = {"calico_agent_version_command": "echo v3.27.3"}
    said = control(hosts, check, ("restart", {}), health, words=told)
    assert f"interfaces without their programs after 0 s: {jumps} is still there" in said, said
    # What was so before is not this run's.
    assert "failed=0" in control(hosts, check, health, words=told)
    in_node(NODE, "rmdir", jumps)
    assert "failed=0" in control(hosts, check, ("restart", {}), health)
    in_node(NODE, "sh", "-c", f"rm -r {place}; rmdir {jumps}")
    in_node(NODE, "systemctl", "daemon-reload")
    assert "failed=0" in control(hosts, check, ("restart", {}), health, words=told)


def test_kube_proxy_is_a_unit_too(hosts: Path) -> None:
    in_node(NODE, "sh", "-c", f"printf '{PROXY}' >/etc/systemd/system/kube-proxy.service")
    in_node(NODE, "systemctl", "daemon-reload")
    start: Step = ("kube_proxy", {"control_kube_proxy": "started"})
    stop: Step = ("kube_proxy", {"control_kube_proxy": "stopped"})
    words = {"calico_kube_proxy_unit": "kube-proxy.service"}
    assert "changed=1" in control(hosts, start, start, words=words)
    assert in_node(NODE, "systemctl", "is-active", "kube-proxy").strip() == "active"
    assert "changed=1" in control(hosts, stop, stop, words=words)
    assert "inactive" in in_node(NODE, "sh", "-c", "systemctl is-active kube-proxy || true")
    assert "changed=0" in control(hosts, start)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"calico_felix_unit": "felix.service"}, "has no unit felix.service (not-found)"),
        ({"calico_kube_proxy_unit": "proxy.service"}, "has no unit proxy.service (not-found)"),
        ({"calico_felix_config": "/none"}, "calico_felix_config: /none is not there"),
    ],
)
def test_what_is_missing_is_named(hosts: Path, words: dict[str, str], message: str) -> None:
    said = control(hosts, ("check", {"control_fields": [LEVEL]}), words=words)
    assert message in said, said
    assert "Traceback" not in said

# SPDX-License-Identifier: GPL-3.0-or-later
"""The role _report, run by ansible-playbook on hosts that are never contacted.

ANSIBLE_PLAYBOOK names another ansible-playbook than that of this Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.controller.fleet import HOSTILE, everything

ROOT = Path(__file__).resolve().parents[3]
OURS = Path(sys.executable).with_name("ansible-playbook")
PLAYBOOK = os.environ.get("ANSIBLE_PLAYBOOK", str(OURS))
LEAVE = """
- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Leave a fact, as roles do
      ansible.builtin.set_fact:
        calico_report: "{{ lookup('ansible.builtin.file', facts_file) | from_json }}"
      when: inventory_hostname != 'node3'
      vars:
        facts_file: "{{ inventory_dir }}/{{ inventory_hostname }}.json"
    - name: Fail on one node
      ansible.builtin.fail:
        msg: This node fails.
      when: inventory_hostname == 'node1'
"""
REPORT = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: bpfops.calico._report
"""
ON_LOCALHOST = """
- hosts: localhost
  gather_facts: false
  roles:
    - role: bpfops.calico._report
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with the collection, an inventory and facts of nodes."""
    tree = tmp_path / "collections/ansible_collections/bpfops"
    tree.mkdir(parents=True)
    (tree / "calico").symlink_to(ROOT)
    facts = everything()
    facts["node2"]["snapshot"]["interfaces"][0]["name"] = HOSTILE
    for node, fact in facts.items():
        (tmp_path / f"{node}.json").write_text(json.dumps(fact))
    (tmp_path / "hosts").write_text("\n".join(facts) + "\n")
    return tmp_path


def play(place: Path, text: str, *options: str) -> str:
    """Run a playbook in ``place``; what it prints."""
    book = place / "play.yml"
    book.write_text("---" + text)
    environment = {
        **os.environ,
        "PWD": str(place),
        "ANSIBLE_COLLECTIONS_PATH": str(place / "collections"),
        "ANSIBLE_HOME": str(place / "home"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [PLAYBOOK, "-i", "hosts", str(book), *options],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def written(place: Path, name: str = "report") -> tuple[str, dict[str, Any]]:
    """The page and the data of the only report."""
    (page,) = (place / "calico-report").glob(f"{name}-*.html")
    (data,) = (place / "calico-report").glob(f"{name}-*.json")
    assert page.stem == data.stem
    return page.read_text(), json.loads(data.read_text())


def test_a_report_although_a_node_failed(place: Path) -> None:
    output = play(place, LEAVE + REPORT, "-e", "report_name=audit")
    page, data = written(place, "audit")
    results = {node["name"]: node["result"] for node in data["nodes"]}
    assert results == {
        "node1": "refused",
        "node2": "changed",
        "node3": "not_reached",
        "node10": "ok",
    }
    assert data["summary"]["nodes"] == 4
    assert str(place / "calico-report/audit-") in output
    assert data["generated"].replace("-", "").replace(":", "") in output
    # Writing a report is no change, and a name is neither a template nor an element.
    assert "changed=0" in output
    assert "changed=1" not in output
    (name,) = (one["name"] for one in data["nodes"][1]["snapshot"]["interfaces"][:1])
    assert name == HOSTILE
    assert "<script" not in page
    assert "{{ 6 * 7 }}" in page


def test_the_data_is_sorted_and_the_same_but_for_the_time(place: Path) -> None:
    play(place, LEAVE + REPORT)
    (file,) = (place / "calico-report").glob("*.json")
    text = file.read_text()
    data = json.loads(text)
    assert text == json.dumps(data, indent=1, sort_keys=True) + "\n"


def test_in_check_mode_and_on_the_controller(place: Path) -> None:
    output = play(place, LEAVE + ON_LOCALHOST, "--check")
    _, data = written(place)
    assert data["summary"]["nodes"] == 4
    assert output.count("Say where the report is") == 1


@pytest.mark.parametrize("options", [("-e", "calico_hosts=node2,node3"), ("-l", "node2,node3")])
def test_only_the_hosts_that_are_meant(place: Path, options: tuple[str, str]) -> None:
    play(place, LEAVE + REPORT, *options)
    _, data = written(place)
    assert [node["name"] for node in data["nodes"]] == ["node2", "node3"]


WAIT = """
- hosts: node10
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: bpfops.calico._report
        tasks_from: wait
      vars:
        report_wait: felix after {{ item }} s
        report_wait_began: "{{ now().timestamp() - item | float }}"
      loop: ["30", "-1000"]
"""


def test_what_was_waited_for_a_second_or_longer(place: Path) -> None:
    play(place, WAIT + REPORT, "-l", "node10")
    _, data = written(place)
    (wait,) = data["nodes"][0]["waits"]
    assert wait["for"] == "felix after 30 s"
    assert 30 <= wait["seconds"] < 900
    (text,) = (place / "calico-report").glob("*.md")
    assert "| node10 | felix after 30 s | " in text.read_text()

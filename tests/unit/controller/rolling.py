# SPDX-License-Identifier: GPL-3.0-or-later
"""The rolling engine over a made-up operation on hosts that are all this machine.

The operation leaves a line in ``log`` for each thing that it does, and is told by variables to
fail, or to kill ansible-playbook.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
OURS = Path(sys.executable).with_name("ansible-playbook")
PLAYBOOK = os.environ.get("ANSIBLE_PLAYBOOK", str(OURS))

STEP = """
- name: Note it for the report
  ansible.builtin.include_role: {name: bpfops.calico._report, tasks_from: step}
  vars: {report_step: %s, report_step_result: changed}
"""
TASKS = {
    "gates": """
- name: Log it
  ansible.builtin.shell: echo "gates {{ inventory_hostname }}" >>"$LOG"
  changed_when: false
  check_mode: false
- name: Refuse
  ansible.builtin.fail: {msg: "{{ inventory_hostname }} is refused."}
  when: inventory_hostname in refuse | default([])
- name: Leave a fact
  ansible.builtin.set_fact:
    calico_report: "{{ {'steps': []} | combine(calico_report | default({}, true)) }}"
""",
    "todo": """
- name: See whether it is done
  ansible.builtin.set_fact:
    calico_todo: "{{ inventory_hostname in drifted | default([]) }}"
""",
    "main": """
- name: Log it
  ansible.builtin.shell: echo "do {{ inventory_hostname }}" >>"$LOG"
"""
    + STEP % "first"
    + """
- name: Wait for nothing
  ansible.builtin.command: "false"
  register: waited
  until: waited.rc == 0
  retries: 2
  delay: 0
  failed_when: false
  changed_when: false
  when: live | default(false)
- name: Be cut off
  ansible.builtin.shell: kill -9 {{ lookup('file', lookup('env', 'LOG') ~ '.pid') }}
  when: inventory_hostname in cut | default([])
- name: Be out of reach
  ansible.builtin.command: "true"
  vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
  when: inventory_hostname in lost | default([])
- name: Let the window of the others end
  ansible.builtin.set_fact:
    calico_run: "{{ hostvars[item].calico_run | combine({'window_end': 1}) }}"
  delegate_to: "{{ item }}"
  delegate_facts: true
  loop: "{{ ansible_play_hosts_all | difference([inventory_hostname]) }}"
  when: calico_run.window_end | int > 0
- name: Fail
  ansible.builtin.fail: {msg: "{{ inventory_hostname }} breaks."}
  when: inventory_hostname in broken | default([])
"""
    + STEP % "second"
    + """
- name: Leave the result
  ansible.builtin.set_fact:
    calico_report: "{{ calico_report | combine({'result': 'changed'}) }}"
""",
}
# In place of the role that talks to a cluster. The log is written last, as a condition of whoever
# includes it holds for each task.
CONTROL = """---
- name: Note whether it is held
  ansible.builtin.set_fact: {control_lease_held: "{{ '%s' != 'lease_drop' }}"}
- name: Log it
  ansible.builtin.shell: echo "%s" >>"$LOG"
- name: Fail
  ansible.builtin.fail: {msg: "%s is out of order."}
  when: "'%s' in out_of_order | default([])"
"""
CONTROL_STEPS = ("conclude", "lease_take", "lease_renew", "lease_drop")
BOOK = """---
- name: Run it
  ansible.builtin.import_playbook: %s
  vars:
    rolling_operation: probe
    rolling_role: probe
    rolling_title: A made-up operation
    rolling_parameters: {size: "{{ size | default('1') }}"}
"""


@dataclass
class Run:
    """One run: how it ended, what it said, what it did, and the newest report."""

    status: int
    said: str
    did: list[str]
    report: dict[str, Any]
    files: set[str]

    @property
    def done(self) -> list[str]:
        """Hosts that were worked on, in their order."""
        return [line.removeprefix("do ") for line in self.did if line.startswith("do ")]

    @property
    def results(self) -> dict[str, str]:
        return {node["name"]: node["result"] for node in self.report["nodes"]}


class Fleet:
    """Hosts node1 to node3, each with a state directory of its own."""

    def __init__(self, place: Path) -> None:
        self.place, self.log = place, place / "log"
        self.more: dict[str, str] = {}
        tree = place / "collections/ansible_collections/bpfops"
        tree.mkdir(parents=True)
        (tree / "calico").symlink_to(ROOT)
        self.tree = tree / "calico"
        tasks = place / "roles/probe/tasks"
        tasks.mkdir(parents=True)
        for name, text in TASKS.items():
            (tasks / f"{name}.yml").write_text("---" + text)
        (place / "play.yml").write_text(BOOK % (ROOT / "playbooks/_rolling.yml"))
        hosts = [f"node{number} calico_state_dir={place}/state{number}" for number in range(1, 4)]
        variables = ["[all:vars]", "ansible_connection=local"]
        variables += [f"ansible_python_interpreter={sys.executable}"]
        (place / "hosts").write_text("\n".join([*hosts, *variables]) + "\n")

    def pretend_cluster(self) -> None:
        """Have the role _control log what it is asked for, and nothing else."""
        self.tree.unlink()
        for place, left_out in ((ROOT, "roles"), (ROOT / "roles", "_control")):
            copy = self.tree / place.relative_to(ROOT)
            copy.mkdir()
            for one in place.iterdir():
                if one.name != left_out:
                    (copy / one.name).symlink_to(one)
        tasks = self.tree / "roles/_control/tasks"
        tasks.mkdir(parents=True)
        for step in CONTROL_STEPS:
            (tasks / f"{step}.yml").write_text(CONTROL % (step, step, step, step))

    def command(self, **given: Any) -> list[str]:
        return [PLAYBOOK, "-i", "hosts", "play.yml", "-e", json.dumps(given)]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PWD": str(self.place),
            "LOG": str(self.log),
            "ANSIBLE_COLLECTIONS_PATH": str(self.place / "collections"),
            "ANSIBLE_ROLES_PATH": str(self.place / "roles"),
            "ANSIBLE_HOME": str(self.place / "home"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
            **self.more,
        }

    def run(self, *words: str, **given: Any) -> Run:
        """Run it with these variables."""
        with subprocess.Popen(
            [*self.command(**given), *words],
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            Path(f"{self.log}.pid").write_text(str(process.pid))
            said, _ = process.communicate()
        return self.end(process.returncode, said)

    def end(self, status: int, said: str) -> Run:
        """What a run has left; forget its log and its reports."""
        did = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        made = sorted((self.place / "calico-report").glob("*"))
        reports = [file for file in made if file.suffix == ".json"]
        report = json.loads(reports[-1].read_text()) if reports else {}
        for file in made:
            file.unlink()
        return Run(status, " ".join(said.split()), did, report, {file.name for file in made})

    def state(self, number: int) -> dict[str, Any]:
        """What the run has left on a host."""
        found: dict[str, Any] = json.loads((self.place / f"state{number}/probe.json").read_text())
        return found

# SPDX-License-Identifier: GPL-3.0-or-later
"""Photograph the report of a real audit: ``python3 -m tests.browser.screenshot DIRECTORY``.

Starts lab nodes of several releases, has their agents play defects, and runs the playbook audit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser.chrome import Chrome
from tests.integration import lab_release as agent
from tests.integration.node_info import bring_pyroute2
from tests.lab import inventory
from tests.lab.harness import SUBNET, lab

RELEASES = "3.27.3,3.29.7,3.30.7,3.31.7"
ENTRIES = {"node1": 180_000, "node2": 310_000, "node3": 90_000}
WIDTH, HEIGHT = 1240, 1330
UNREACHABLE = "        node5: {ansible_host: %s, ansible_ssh_timeout: 2}\n"


def main(directory: Path) -> None:
    """Leave ``audit-report.png`` and ``audit-report-dark.png`` in ``directory``."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        lab("up", "--nodes", "4", "--pods", "4", "--release", RELEASES)
        try:
            plant()
            report = audit(place)
        finally:
            lab("down")
        directory.mkdir(parents=True, exist_ok=True)
        with Chrome(place / "profile") as chrome:
            photograph(chrome, report, directory)


def plant() -> None:
    """A defect on each node but one, and entries in the conntrack tables."""
    agent.configure("node1", "3.27.3", "BPFMapSizeConntrack = 600000")
    agent.configure("node2", "3.29.7", defects="stale_log_filter, old_pin")
    agent.configure("node4", "3.31.7", defects="superseded_map")
    for node in ("node1", "node2", "node4"):
        agent.restart(node)
    for node, entries in ENTRIES.items():
        lab("fill", node, str(entries))


def audit(place: Path) -> Path:
    """Run the playbook on the nodes and on one that is not there; the page that it writes."""
    hosts = place / "inventory.yml"
    hosts.write_text(lab("inventory"))
    bring_pyroute2(hosts)
    network = SUBNET.rpartition(".")[0]
    hosts.write_text(hosts.read_text() + UNREACHABLE % f"{network}.99")
    command = [inventory.ansible_playbook(), "bpfops.calico.audit", "-i", str(hosts)]
    command += ["-e", "audit_conntrack=true", "-e", f"calico_report_dir={place}"]
    # Fails because of the node that is not there.
    subprocess.run(command, env=inventory.ansible_environment(), check=False)
    (page,) = place.glob("audit-*.html")
    return page


def photograph(chrome: Chrome, report: Path, directory: Path) -> None:
    """The top of the page in light, the nodes and details of one in dark."""
    chrome.window(WIDTH, HEIGHT)
    chrome.media("light")
    chrome.open(report)
    (directory / "audit-report.png").write_bytes(chrome.screenshot())
    chrome.media("dark")
    chrome.run("document.querySelectorAll('details.node')[2].open = true")
    # The first time, what comes into sight gets its height.
    for _ in range(2):
        chrome.run("document.querySelector('#fleet').scrollIntoView()")
        chrome.painted()
    (directory / "audit-report-dark.png").write_bytes(chrome.screenshot())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

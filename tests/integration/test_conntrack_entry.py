# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP flows that are stuck on a Service which was made anew, and conntrack_entry on that node.

One history: the flows reach their pods, the Service goes and comes back, they are stuck, and the
module takes exactly their entries out of tables of half a million entries.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import udp_flows
from tests.lab import inventory
from tests.lab.harness import call, lab
from tests.lab.settings import pod_address, pod_address6
from tests.lab.shell import wait_for

pytestmark = pytest.mark.lab

NODE = "node1"
CLUSTER, CLUSTER6 = "10.96.0.10", "fd00:10:96::10"
BALANCER, BALANCER6 = "203.0.113.7", "2001:db8:7::7"
OTHER, OTHER6 = "10.96.0.11", "fd00:10:96::11"
BACKENDS = [f"{pod_address(1, 2)}:5353", f"[{pod_address6(1, 2)}]:5353"]
DNS = {
    "protocol": "udp",
    "port": 53,
    "addresses": [CLUSTER, CLUSTER6, BALANCER, BALANCER6],
    "node_port": 30053,
    "backends": BACKENDS,
}
UNTOUCHED = {**DNS, "addresses": [OTHER, OTHER6], "node_port": 30054}
FILLED = 500_000
MADE_UP = (b"\xc6\x12", b"\xc6\x13", b"\x20\x01")  # 198.18.0.0/15, 2001:2::/48


def node_address(family: int) -> str:
    shown = json.loads(lab("exec", NODE, "--", "ip", "-json", f"-{family}", "addr", "show", "eth0"))
    scoped = [info for info in shown[0]["addr_info"] if info.get("scope") == "global"]
    return str(scoped[0]["local"])


def module(hosts: Path, options: str, *words: str) -> Any:
    """The module's answer through ansible, as users call it."""
    command = [inventory.ansible_playbook().replace("ansible-playbook", "ansible"), NODE]
    command += ["-i", str(hosts), "-m", "bpfops.calico.conntrack_entry", "-a", options, *words]
    environment = {
        **inventory.ansible_environment(),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    head, _, answer = done.stdout.partition("{")
    assert (done.returncode != 0) is ("FAILED!" in head), done.stdout + done.stderr
    return json.loads("{" + answer)


def table(place: Path, family: int) -> dict[bytes, bytes]:
    """All entries of the table, by the lab's own tool."""
    file = place / f"dump{family}-{time.monotonic_ns()}"
    lab("dump", NODE, str(file), "--family", str(family))
    size, record = (16, 104) if family == 4 else (40, 168)
    data = file.read_bytes()
    return {
        data[at : at + size]: data[at + size : at + record] for at in range(0, len(data), record)
    }


def made_up(entries: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Those that `fill` has added, which no packet touches."""
    return {key: value for key, value in entries.items() if key[4:6] in MADE_UP}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    shape = ("--nodes", "1", "--pods", "3", "--size", "600000")
    lab("up", *shape, "--release", "3.29.7", "--ipv6", "--services")
    path = tmp_path_factory.mktemp("inventory") / "hosts.yml"
    path.write_text(lab("inventory"))
    yield path
    lab("down")


@pytest.fixture(scope="module")
def stuck(hosts: Path) -> set[str]:
    """Names of the client's flows that are stuck; others of the same client are not."""
    udp_flows.declare(NODE, DNS, UNTOUCHED)
    lab("udp", "serve", NODE, "2", "5353")
    host, host6 = node_address(4), node_address(6)
    targets = {
        "cluster4": f"{CLUSTER}:53",
        "cluster6": f"[{CLUSTER6}]:53",
        "balancer4": f"{BALANCER}:53",
        "balancer6": f"[{BALANCER6}]:53",
        "nodeport4": f"{host}:30053",
        "nodeport6": f"[{host6}]:30053",
        "other4": f"{OTHER}:53",
        "other6": f"[{OTHER6}]:53",
        "otherport": f"{host}:30054",
        "pod4": BACKENDS[0],
        "pod6": BACKENDS[1],
    }
    numbered = enumerate(targets.items(), 40001)
    lab("udp", "send", NODE, "1", "old", *(f"{name}={n}@{to}" for n, (name, to) in numbered))
    udp_flows.echoing(NODE, "old", set(targets))
    names = {name for name in targets if not name.startswith(("other", "pod"))}
    udp_flows.declare(NODE, UNTOUCHED)
    udp_flows.silent(NODE, "old", names, 1)
    udp_flows.declare(NODE, DNS, UNTOUCHED)
    return names


def test_the_defect(hosts: Path, stuck: set[str]) -> None:
    """A client that comes later reaches the pod, the old one does not for all its packets."""
    lab("udp", "send", NODE, "3", "new", f"a=41001@{CLUSTER}:53", f"b=41002@[{CLUSTER6}]:53")
    udp_flows.echoing(NODE, "new", {"a", "b"})
    udp_flows.silent(NODE, "old", stuck, 3)
    udp_flows.echoing(NODE, "old", set(udp_flows.flows(NODE, "old")) - stuck)


def test_only_the_stuck_entries_go(hosts: Path, stuck: set[str], tmp_path: Path) -> None:
    for family in (4, 6):
        lab("fill", NODE, str(FILLED), "--service", "--family", str(family))
    before = {family: table(tmp_path, family) for family in (4, 6)}
    assert {len(made_up(entries)) for entries in before.values()} == {FILLED}
    options = "stale_udp=true calico_version=v3.29.7"
    others = set(udp_flows.flows(NODE, "old")) - stuck
    lost = {name: udp_flows.unanswered(NODE, "old", name) for name in others}
    planned = module(hosts, options, "--check")
    named = {(one["source"], one["destination"]) for one in planned["removed"]}
    assert len(named) == len(planned["removed"]) == len(stuck) == 6
    udp_flows.silent(NODE, "old", stuck, 3)

    refused = module(hosts, f"{options} max_deletions=5")
    assert "6 entries match" in refused["msg"]

    done = module(hosts, options)
    assert {(one["source"], one["destination"]) for one in done["removed"]} == named
    udp_flows.echoing(NODE, "old", set(udp_flows.flows(NODE, "old")))
    assert all(flow["strange"] == 0 for flow in udp_flows.flows(NODE, "old").values())
    # Nothing of the other flows got lost meanwhile; one datagram may be on its way.
    wait_for(
        lambda: all(udp_flows.unanswered(NODE, "old", name) <= lost[name] + 1 for name in others),
        *(30, "answers to flows that were not stuck", 0.1),
    )

    after = {family: table(tmp_path, family) for family in (4, 6)}
    # The repaired flows have entries of the same keys again, of another type, and their NAT_REV.
    for family in (4, 6):
        assert not set(before[family]) - set(after[family])
        assert len(set(after[family]) - set(before[family])) == 3
        assert made_up(after[family]) == made_up(before[family])
    assert not module(hosts, options)["changed"]


def test_tcp_reaches_a_service_of_the_lab(hosts: Path) -> None:
    backends = [one.replace(":5353", ":8080") for one in BACKENDS]
    addresses = [CLUSTER, CLUSTER6]
    udp_flows.declare(
        NODE, {"protocol": "tcp", "port": 80, "addresses": addresses, "backends": backends}
    )
    serve = "ip netns exec pod2 python3 -m http.server 8080 -b :: -d /etc/calico >/dev/null 2>&1 &"
    lab("exec", NODE, "--", "sh", "-c", serve)
    fetch = (
        "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())"
    )
    for address in (CLUSTER, f"[{CLUSTER6}]"):
        command = ("ip", "netns", "exec", "pod3", "python3", "-c", fetch)
        url = f"http://{address}/lab-agent.cfg"

        def answer(words: tuple[str, ...] = (*command, url)) -> str:
            done = call("exec", NODE, "--", *words)
            return str(done.stdout) if done.returncode == 0 else ""

        assert "services = yes" in wait_for(answer, 30, f"an answer of {url}", 0.2)

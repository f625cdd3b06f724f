# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd, API server, controller manager and scheduler, as processes of the lab.

They run in the lab's cgroup, so that `down` finds them, and listen on 127.0.0.1 alone.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from tests.lab import cgroup2
from tests.lab.cluster import layout
from tests.lab.cluster.api import Api, ApiError
from tests.lab.errors import LabError
from tests.lab.settings import REPOSITORY, Settings, environment
from tests.lab.shell import run, wait_for

# Below those that Linux gives away by itself: a server that was stopped finds its own again.
PORTS = range(20000, 30000)
USERS = {"admin": "system:masters", "nobody": "nobody"}
# The ones whose work the lab needs: nodes have no lease, and nobody mounts a service account.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
)
SPAWN = 'echo 0 >"$1/cgroup.procs" || exit 1; shift; exec "$@"'


def programs() -> Path:
    """Directory of the upstream programs, built if need be; LabError says why it cannot be."""
    command = str(REPOSITORY / "scripts" / "kube-binaries")
    done = subprocess.run([command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError((done.stderr.strip().splitlines() or ["scripts/kube-binaries failed."])[-1])
    return Path(done.stdout.strip())


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise LabError(f"No {count} ports of 127.0.0.1 are free in {PORTS[0]} to {PORTS[-1]}.")


class ControlPlane:
    """The four programs of one lab."""

    def __init__(self, settings: Settings, state: layout.State) -> None:
        self.settings = settings
        self.state = state
        self.directory = layout.directory(settings)

    def start(self) -> None:
        """Start everything with an empty etcd and wait until the API server is ready."""
        self._make_credentials()
        self.spawn("etcd", self._program("etcd"), *self._etcd_options())
        self.start_server()
        kubeconfig = f"--kubeconfig={layout.kubeconfig(self.settings)}"
        common = (kubeconfig, "--secure-port=0", "--leader-elect=false")
        controllers = f"--controllers={','.join(CONTROLLERS)}"
        manager, scheduler = "kube-controller-manager", "kube-scheduler"
        self.spawn(manager, self._program(manager), *common, controllers)
        self.spawn(scheduler, self._program(scheduler), *common)

    def start_server(self, seconds: float = 180) -> None:
        """Start the API server and wait until it is ready."""
        process = self.spawn(
            "kube-apiserver", self._program("kube-apiserver"), *self._server_options()
        )
        wait_for(
            lambda: process.poll() is not None or self.ready(),
            seconds,
            f"the API server (its log is {self.log('kube-apiserver')})",
            0.2,
        )
        if process.poll() is not None:
            end = " / ".join(self.log("kube-apiserver").read_text().splitlines()[-3:])
            raise LabError(f"The API server ended: {end}")

    def stop_server(self) -> None:
        """End the API server."""
        self.end("kube-apiserver")

    def ready(self) -> bool:
        """Whether the API server says that it is."""
        if not (self.directory / "pki" / "apiserver.crt").exists():
            return False
        try:
            return bool(self.api().get("readyz") == "ok")
        except (ApiError, OSError):
            return False

    def api(self, agent: str = "lab") -> Api:
        """The API as its administrator sees it."""
        return Api(layout.kubeconfig(self.settings), agent=agent)

    def log(self, name: str) -> Path:
        """What a program says."""
        return self.directory / f"{name}.log"

    def spawn(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program in a cgroup of its own, away from the caller."""
        cgroup = self._cgroup(name)
        cgroup.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                ["sh", "-c", SPAWN, "sh", str(cgroup), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=REPOSITORY,
                env={**os.environ, **environment(self.settings)},
            )

    def spawn_python(self, name: str, module: str) -> None:
        """Start one of the lab's own programs."""
        self.spawn(name, sys.executable, "-m", module)

    def end(self, name: str) -> None:
        """End what `spawn` started, as a crash would; everything else keeps running."""
        cgroup2.destroy(self._cgroup(name))

    def running(self) -> dict[str, bool]:
        """Each program by name, and whether it runs."""
        top = cgroup(self.settings)
        directories = sorted(top.iterdir()) if top.is_dir() else []
        return {one.name: bool(cgroup2.processes(one)) for one in directories if one.is_dir()}

    def _cgroup(self, name: str) -> Path:
        return cgroup(self.settings) / name

    def _program(self, name: str) -> str:
        return str(Path(self.state.programs) / name)

    def _make_credentials(self) -> None:
        self.directory.mkdir(parents=True)
        self.directory.chmod(0o700)
        layout.faults(self.settings).mkdir()
        key = str(self.directory / "sa.key")
        run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f", key)
        tokens = {user: secrets.token_hex(16) for user in USERS}
        rows = [f'{token},{user},{user},"{USERS[user]}"\n' for user, token in tokens.items()]
        (self.directory / "tokens.csv").write_text("".join(rows))
        self._write_kubeconfig(tokens)

    def _write_kubeconfig(self, tokens: dict[str, str]) -> None:
        # The server signs its own certificate; the file holds the authority as well.
        cluster = {
            "server": f"https://127.0.0.1:{self.state.server_port}",
            "certificate-authority": str(self.directory / "pki" / "apiserver.crt"),
        }
        contexts = [{"name": one, "context": {"cluster": "lab", "user": one}} for one in tokens]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": one, "user": {"token": token}} for one, token in tokens.items()],
            "contexts": contexts,
            "current-context": "admin",
        }
        path = layout.kubeconfig(self.settings)
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2) + "\n")

    def _etcd_options(self) -> list[str]:
        client = f"http://127.0.0.1:{self.state.etcd_port}"
        peer = f"http://127.0.0.1:{self.state.etcd_peer_port}"
        return [
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]

    def _server_options(self) -> list[str]:
        key = self.directory / "sa.key"
        return [
            f"--etcd-servers=http://127.0.0.1:{self.state.etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self.state.server_port}",
            f"--cert-dir={self.directory / 'pki'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--allow-privileged=true",
            # The lab's pods have no service account, and no controller would clear a node's taint.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
            "--enable-priority-and-fairness=false",
        ]


def cgroup(settings: Settings) -> Path:
    """Where the cluster's processes are."""
    return cgroup2.root(settings) / settings.cgroup / "cluster"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a lab's cluster keeps its files, and what it remembers between two commands."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.settings import Settings

KINDS = ("manifest", "operator", "kubespray")


def directory(settings: Settings) -> Path:
    """Data of etcd, keys, logs; `down` of the lab removes it as well."""
    return settings.state / "cluster"


def kubeconfig(settings: Settings) -> Path:
    """For kubectl and kubernetes.core: context `admin` may do all, `nobody` nothing."""
    return settings.state / "kubeconfig"


def faults(settings: Settings) -> Path:
    """One file per fault that is injected."""
    return directory(settings) / "faults"


@dataclass(frozen=True)
class State:
    """What `cluster up` was asked for and chose."""

    install: str
    release: str
    api: str
    server_port: int
    etcd_port: int
    etcd_peer_port: int
    programs: str

    @property
    def namespace(self) -> str:
        """Where calico-node runs."""
        return "calico-system" if self.install == "operator" else "kube-system"

    def write(self, settings: Settings) -> None:
        """Remember it."""
        (directory(settings) / "state.json").write_text(json.dumps(asdict(self)))


def read(settings: Settings) -> State:
    """What the last `cluster up` wrote; LabError when there is no cluster."""
    path = directory(settings) / "state.json"
    if not path.exists():
        raise LabError(f"Lab {settings.name!r} has no cluster; see `cluster up`.")
    known = json.loads(path.read_text())
    return State(**{field.name: known[field.name] for field in fields(State)})

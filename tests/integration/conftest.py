# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes API without nodes, shared by all tests that need no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import settings
from tests.lab.cluster import control_plane as programs
from tests.lab.cluster import layout, lifecycle
from tests.lab.errors import LabError
from tests.lab.harness import NAME


@pytest.fixture(scope="session")
def kube_programs() -> Path:
    """Directory of etcd and the control plane's programs; skips where they cannot be built."""
    try:
        return programs.programs()
    except LabError as error:
        pytest.skip(f"no Kubernetes control plane: {error}")


@pytest.fixture(scope="session")
def control_plane(kube_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Path of the kubeconfig of an API with Calico's definitions, as a manifest installs them.

    The cluster is a lab of its own without nodes, which a lab that a test brings up leaves alone.
    """
    base = tmp_path_factory.mktemp("control-plane")
    name = f"k{NAME[:9]}"
    own = dataclasses.replace(settings.from_environment(), name=name, base=base)
    lifecycle.up(own, lifecycle.Wish(nodes=False))
    yield layout.kubeconfig(own)
    lifecycle.down(own)

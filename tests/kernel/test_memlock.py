# SPDX-License-Identifier: GPL-3.0-or-later
"""Before Linux 5.11 BPF memory counts against RLIMIT_MEMLOCK, 64 KiB for services of old."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._kernel.maps import Map
from ansible_collections.bpfops.calico.plugins.module_utils._kernel.programs import (
    Program,
    ProgSpec,
)
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.bpf import ProgType
from ansible_collections.bpfops.calico.plugins.module_utils._uapi.maps import MapSpec
from tests.kernel.support import ARRAY, make
from tests.observe import rawbpf

KIB = 1024


def create() -> None:
    Map.create(MapSpec(ARRAY, 4, 8, 100_000))


def load() -> None:
    Program.load(ProgSpec(ProgType.SCHED_CLS, rawbpf.returning(0), "bpfops_t"))


@pytest.mark.parametrize("charged", [create, load])
def test_a_low_limit_is_no_hindrance(pins: Path, charged: Callable[[], None]) -> None:
    make(pins / "m", ARRAY, 10_000)  # what this user has already counts too
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 * KIB, 64 * KIB))
        try:
            charged()
        except BaseException as error:
            print(f"{error}", flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

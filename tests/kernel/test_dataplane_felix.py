# SPDX-License-Identifier: GPL-3.0-or-later
"""dataplane on a node where felix runs, in one mode or the other, or begins to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils import _errors as errors
from ansible_collections.bpfops.calico.plugins.module_utils._execute import removal
from tests.kernel.leftover_state import ONE, UPLINK, Scene
from tests.observe import rawbpf

FELIX = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(15, b"calico-node")
print("up", flush=True)
time.sleep(3600)
"""


@contextmanager
def felix(*arguments: str, holding: int | None = None) -> Iterator[int]:
    """A process that is called like felix; ``holding`` is a descriptor that it keeps."""
    kept = () if holding is None else (holding,)
    words = [sys.executable, "-c", FELIX, *arguments]
    with subprocess.Popen(words, stdout=subprocess.PIPE, pass_fds=kept) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_felix_in_ebpf_mode_is_known_by_the_maps_it_holds(scene: Scene) -> None:
    before = scene.inventory()
    with felix(holding=scene.node.fds["cali_v4_ct3"]) as pid:
        for check in (True, False):
            with pytest.raises(errors.RefusedError) as caught:
                scene.run(check=check)
            assert f"Process {pid}, " in str(caught.value)
            assert "holds 1 of Calico's maps (cali_v4_ct3)" in str(caught.value)
            assert "disrupt_running_felix=true" in str(caught.value)
        assert scene.inventory() == before
        found = scene.run(disrupt_running_felix=True)
        assert found.facts["felix"]
        assert found.warnings[0].startswith("felix runs in eBPF mode all the while: ")
        assert list(scene.node.globals.iterdir()) == []


def test_felix_is_known_by_what_it_has_loaded(scene: Scene) -> None:
    scene.clsact()
    with felix("-felix"), felix("-confd"):
        time.sleep(0.02)  # of the clock that processes are dated by
        assert scene.run(check=True).facts["felix"] == []
        scene.node.attach(ONE, "ingress")
        with pytest.raises(errors.RefusedError, match="started before 1 attached programs"):
            scene.run()
    with felix("-confd"):
        scene.node.attach(ONE, "egress")
        assert scene.run(check=True).facts["felix"] == []
    with felix("-felix"):  # in iptables mode, on a node with old programs
        assert scene.run().facts["felix"] == []
        assert "filters" in scene.inventory()


@pytest.mark.parametrize("held", ["foreign", "other network"])
def test_who_is_not_felix_in_ebpf_mode_here(scene: Scene, held: str) -> None:
    if held == "foreign":
        fd = rawbpf.create_map(1, 4, 8, 10)
        with felix("-felix", holding=fd):
            assert scene.run().actions
        os.close(fd)
        return
    kept = scene.node.fds["cali_v4_ct3"]
    words = ["unshare", "-n", sys.executable, "-c", FELIX, "-felix"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, pass_fds=(kept,)) as process:
        assert process.stdout
        process.stdout.readline()
        assert scene.run().actions
        process.kill()


def test_felix_begins_in_the_middle(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.clsact()
    scene.fill()
    begun: list[Any] = []
    delete = removal.tc.delete_clsact

    def late(index: int) -> None:
        delete(index)
        if not begun:
            begun.append(felix(holding=scene.node.fds["cali_v4_ct3"]))
            begun[0].__enter__()

    monkeypatch.setattr(removal.tc, "delete_clsact", late)
    try:
        with pytest.raises(errors.UnverifiedError, match="felix has begun to run in eBPF mode"):
            scene.run()
    finally:
        begun[0].__exit__(None, None, None)
    left = scene.inventory()
    assert left["filters"] == {}
    assert list(left["xdp"]) == [UPLINK]
    assert "tc/globals/cali_jump3" in left["pins"]
    scene.run()
    assert scene.inventory()["xdp"] == {}

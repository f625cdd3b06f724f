# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop and state of the agent's background process.

Like felix, it leaves its programs attached when it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NoReturn

from . import (
    cleanup,
    config,
    defects,
    felix,
    libbpf,
    pinned,
    plan,
    scanner,
    services,
    untracked,
    web,
)

HOOKS = (
    ("cali_tc_preamble_from_pod", libbpf.TC_INGRESS),
    ("cali_tc_preamble_to_pod", libbpf.TC_EGRESS),
)


class NotReadyError(Exception):
    """The readiness probe fails; the text says why."""


def start(*, new_pod: bool = True) -> None:
    """Load, attach, and return when the background process holds everything.

    ``new_pod``: calico-node's init container runs before, where the release has one.
    """
    with config.PID_FILE.open("a+") as pid_file:
        fcntl.flock(pid_file, fcntl.LOCK_EX)
        if running_pid() is not None:
            return
        wanted = plan.read()
        if wanted and wanted.bootstrap and new_pod:
            _bootstrap(wanted)
        config.SCAN_FILE.unlink(missing_ok=True)
        state, loaded = _load_and_attach() if wanted is None else _play(wanted)
        config.STATE_FILE.write_text(json.dumps(state))
        pid = os.fork()
        if pid == 0:
            pid_file.close()
            _serve(loaded)
        pid_file.truncate(0)
        pid_file.write(f"{pid}\n")


def stop(seconds: float = 5) -> None:
    """End the background process, if it runs; its programs stay attached."""
    deadline = time.monotonic() + seconds
    while (pid := running_pid()) is not None:
        late = time.monotonic() > deadline
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.02)


def sync_services() -> None:
    """Bring the NAT maps to the file of Services, as felix does when the API changes."""
    wanted = plan.read()
    if wanted is None or not wanted.services:
        raise config.ConfigError(f"services in {plan.CONFIG} is not yes.")
    services.sync(wanted.families)


def running_pid() -> int | None:
    """Pid of the background process, or None."""
    try:
        pid = int(config.PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"agent" in command.split(b"\0") else None


def status() -> dict[str, Any]:
    """What runs, what it attached, and what its programs have dropped."""
    pid = running_pid()
    attached: dict[str, Any] = {"conntrack_map_id": None, "max_entries": None, "interfaces": []}
    if config.STATE_FILE.exists():
        attached = json.loads(config.STATE_FILE.read_text())
    sums = libbpf.per_cpu_sums(config.COUNTERS_PIN, len(config.COUNTERS))
    counters = {name: sums[index] for index, name in enumerate(config.COUNTERS)}
    health = not_ready(attached) if pid else "The agent does not run."
    if config.SCAN_FILE.exists():
        attached.update(json.loads(config.SCAN_FILE.read_text()))
    state = {"running": pid is not None, "pid": pid, "ready": not health, "not_ready": health}
    return {**state, **attached, **counters}


def not_ready(attached: dict[str, Any]) -> str:
    """Why calico-node would not be ready, or an empty text; before 3.28 it does not notice."""
    minor = int((attached.get("release") or "3.29").split(".")[1])
    dirty = attached.get("dirty")
    if minor < 28 or not dirty:
        return ""
    return f"BPFEndpointManager: Failed to configure some interfaces: {' '.join(dirty)}."


def _load_and_attach() -> tuple[dict[str, Any], libbpf.BpfObject]:
    size = config.size_of(config.CONNTRACK)
    loaded = libbpf.BpfObject(config.OBJECT)
    loaded.set_map(config.CONNTRACK.name, config.CONNTRACK.pin, size)
    loaded.set_map(config.COUNTERS_PIN.name, config.COUNTERS_PIN)
    loaded.set_map(config.DENIED_PIN.name, config.DENIED_PIN)
    loaded.load()
    interfaces = [
        (ifindex, name)
        for ifindex, name in socket.if_nameindex()
        if fnmatch(name, config.INTERFACES)
    ]
    for ifindex, _ in interfaces:
        for program, point in HOOKS:
            loaded.attach(program, ifindex, point, config.PRIORITY, config.HANDLE)
    state = {
        "conntrack_map_id": libbpf.map_id(loaded.map_fd(config.CONNTRACK.name)),
        "max_entries": size,
        "interfaces": sorted(name for _, name in interfaces),
    }
    return state, loaded


def _bootstrap(wanted: plan.Plan) -> None:
    """The init container's own failures do not keep felix from starting (-best-effort)."""
    try:
        pinned.Maps(wanted).bootstrap()
    except (pinned.MapError, libbpf.LibbpfError) as error:
        print(f"lab-agent: init container: {error}", file=sys.stderr)


def _play(wanted: plan.Plan) -> tuple[dict[str, Any], felix.Felix | None]:
    if not wanted.enabled:
        if "no_cleanup" not in wanted.defects:
            cleanup.clean(wanted.release, felix.interfaces("*"))
        state: dict[str, Any] = {"release": wanted.release.version, "interfaces": [], "dirty": []}
        return {**state, "conntrack_map_id": None, "max_entries": None}, None
    process = felix.Felix(wanted)
    started = process.start()
    if wanted.services:
        services.sync(wanted.families)
    if wanted.untracked:
        untracked.attach(wanted)
    defects.plant(process)
    return started, process


def _serve(loaded: libbpf.BpfObject | felix.Felix | None) -> NoReturn:
    """Hold the maps until SIGTERM, away from the caller's session and files, named as felix."""
    os.setsid()
    Path("/proc/self/comm").write_text("calico-node", "ascii")
    config.LOG_FILE.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(config.LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir("/")
    try:
        web.serve(status)
    except (OSError, config.ConfigError) as error:
        print(f"lab-agent: no health endpoint or metrics: {error}", file=sys.stderr, flush=True)
    if isinstance(loaded, felix.Felix) and loaded.unequal:
        threading.Thread(target=_keep_trying, args=(loaded,), daemon=True).start()
    if isinstance(loaded, felix.Felix) and loaded.plan.scan:
        scanner.Scanner(loaded).run(loaded.plan.scan)
    while True:
        signal.pause()


def _keep_trying(process: felix.Felix) -> None:
    """Attach again and again until all filters are alike."""
    while process.unequal and process.plan.retry:
        time.sleep(process.plan.retry)
        process.retry()
        state = {**json.loads(config.STATE_FILE.read_text()), **process.trouble()}
        fresh = config.STATE_FILE.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(config.STATE_FILE)

# SPDX-License-Identifier: GPL-3.0-or-later
"""lab-agent start | stop | restart | status | ready | services."""

import json
import sys

from . import config, daemon, libbpf, pinned


def _restart() -> None:
    daemon.stop()
    daemon.start(new_pod=False)


def _status() -> None:
    print(json.dumps(daemon.status()))


def _ready() -> None:
    """As `calico-node -felix-ready`: status 1 and the reason when it is not ready."""
    reason = daemon.status()["not_ready"]
    if reason:
        raise daemon.NotReadyError(reason)


ERRORS = (config.ConfigError, libbpf.LibbpfError, pinned.MapError, daemon.NotReadyError, OSError)
COMMANDS = {
    "start": daemon.start,
    "stop": daemon.stop,
    "restart": _restart,
    "status": _status,
    "ready": _ready,
    "services": daemon.sync_services,
}


def main() -> int:
    """Run one command; a failure is one sentence after libbpf's own messages."""
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        print(f"usage: lab-agent {' | '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        COMMANDS[sys.argv[1]]()
    except ERRORS as error:
        print(f"lab-agent: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())

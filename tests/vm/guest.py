# SPDX-License-Identifier: GPL-3.0-or-later
"""The first process in a virtual machine: mounts, runs pytest, tells the result, powers off.

It is given its work in /guest.json and prints the result as JSON after RESULT, in a line.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import traceback
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

STARTED = "=== tests.vm: started"
RESULT = "=== tests.vm: result "

MOUNTS = {
    "/proc": "proc",
    "/sys": "sysfs",
    "/dev": "devtmpfs",
    "/sys/fs/bpf": "bpf",
    "/sys/fs/cgroup": "cgroup2",
}
_REPORT, _LEFT_OUT = Path("/run/report.xml"), Path("/run/left-out")
# Tests write entries of some minutes ago; the clock of a machine just started has none.
_DAY_LATER = ("unshare", "--fork", "--time", "--monotonic=86400", "--boottime=86400", "--")
_POWER_OFF = 0x4321FEDC  # LINUX_REBOOT_CMD_POWER_OFF


def prepare(modules: list[str]) -> None:
    for place, kind in MOUNTS.items():
        Path(place).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", kind, kind, place], check=True)
    for module in modules:
        subprocess.run(["insmod", module], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for place in ("/tmp", "/run"):  # nothing is mounted there: it might hide the checkout
        Path(place).mkdir(exist_ok=True)


def result(status: int) -> dict[str, Any]:
    """Counts of the report, and the reasons for which tests were skipped."""
    # Without a report when pytest did not get as far as to collect tests.
    suite = ET.parse(_REPORT).getroot()[0] if _REPORT.exists() else ET.Element("testsuite")
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    reasons = _LEFT_OUT.read_text("utf-8").splitlines() if _LEFT_OUT.exists() else []
    return {"release": os.uname().release, "status": status, "reasons": reasons, **counts}


def work() -> None:
    given = json.loads(Path("/guest.json").read_text("utf-8"))
    prepare(given["modules"])
    print(STARTED, flush=True)
    command = [*_DAY_LATER, *given["pytest"], f"--junit-xml={_REPORT}"]
    os.environ["LEFT_OUT_FILE"] = str(_LEFT_OUT)
    status = subprocess.run(command, cwd=given["directory"], check=False).returncode
    print(f"\n{RESULT}{json.dumps(result(status))}", flush=True)


if __name__ == "__main__":
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C.UTF-8", USER="root")
    os.environ.update(HOME="/root", PYTHONDONTWRITEBYTECODE="1", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    try:
        work()
    except BaseException:
        traceback.print_exc()
    finally:  # the kernel panics when its first process ends
        os.sync()
        ctypes.CDLL(None).reboot(_POWER_OFF)

# SPDX-License-Identifier: GPL-3.0-or-later
"""Other software on a node, in the same places as Calico: its programs count what they see.

Run in a node: ``python3 -m agent.neighbours``. It is all there once; a second time it fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
import sys
from pathlib import Path

from . import bpf, felix, libbpf
from .bpf import MapSpec
from .connect_time import CGROUP
from .filters import HOOKS, POINTS, TCX_TYPES, Interface
from .libbpf import LIB, BpfObject, LibbpfError
from .map_rows import HASH
from .objects import DIRECTORY

BPFFS = Path("/sys/fs/bpf")
GLOBALS = BPFFS / "tc" / "globals"
OWN = BPFFS / "neighbours"
# Preferences before all that Calico uses, and after.
BEFORE, AFTER, LAST = 10, 60000, 61000
MULTI = 2
XDP_GENERIC = 2
FIREWALL = {"sd_fw_ingress": 0, "sd_fw_egress": 1}
CONNECT = {
    "cil_sock4_connect": 10,
    "cil_sock6_connect": 11,
    "cil_sock4_sendmsg": 14,
    "cil_sock6_sendmsg": 15,
    "cil_sock4_recvmsg": 19,
    "cil_sock6_recvmsg": 20,
}
# Maps by their place: other software's, of Calico-like names, and of Calico's iptables mode.
MAPS = {
    "tc/globals/cilium_calls": (4, 8),
    "tc/globals/calibration": (4, 8),
    "tc/globals/cali_mine": (4, 8),
    "tc/globals/cali_v6_ct3": (40, 100),
    "tc/eth0_igr/theirs": (4, 8),
    "neighbours/cali_v4_ct3": (16, 88),
    "calico/calico_failsafe_ports_v1": (4, 1),
    "calico/xdp/eth0_ipv4_v1_blacklist": (8, 4),
    "calico/sockmap/calico_sk_endpoints_v1": (8, 4),
}


def plant() -> None:
    """All of it, at the node's first two pods, eth0 and cgroup root."""
    loaded = BpfObject(DIRECTORY / "neighbours.o")
    loaded.set_map("neighbour_seen", GLOBALS / "neighbour_seen")
    loaded.load()
    pods = sorted(felix.interfaces("cali*"), key=lambda one: one.name)
    (uplink,) = felix.interfaces("eth0")
    _filters(loaded, pods[0], uplink)
    _tcx(loaded, pods[0])
    program = loaded.program_fd("xdp_drop_bad")
    libbpf.checked("XDP", LIB.bpf_xdp_attach(pods[-1].number, program, XDP_GENERIC, None))
    _cgroup(loaded)
    bpf.pin(loaded.program_fd("prefilter"), BPFFS / "calico" / "xdp" / "prefilter_v1_eth0")
    for place, (key, value) in MAPS.items():
        _map(BPFFS / place, key, value)


def _filters(loaded: BpfObject, pod: Interface, uplink: Interface) -> None:
    for one, point in ((pod, POINTS[0]), (pod, POINTS[1]), (uplink, POINTS[0])):
        loaded.attach("cil_from_netdev", one.number, point, BEFORE, 7)
        loaded.attach("handle_ingress", one.number, point, AFTER, 7)
    for one in (pod, uplink):
        place = ["dev", one.name, "ingress", "pref", str(LAST)]
        match = ["u32", "match", "u32", "0", "0", "classid", "1:1"]
        subprocess.run(["tc", "filter", "add", *place, *match], check=True)


def _tcx(loaded: BpfObject, pod: Interface) -> None:
    """Kernels before 6.6 have no TCX."""
    with contextlib.suppress(LibbpfError):
        for at, hook in enumerate(HOOKS):
            link = bpf.link(loaded.program_fd("cil_to_netdev"), pod.number, TCX_TYPES[at])
            bpf.pin(link, OWN / f"tcx_{hook}")
            os.close(link)


def _cgroup(loaded: BpfObject) -> None:
    """As systemd does it, beside what others may have; not beside one attached with flags 0."""
    cgroup = os.open(CGROUP, os.O_RDONLY | os.O_DIRECTORY)
    for name, kind in {**FIREWALL, **CONNECT}.items():
        done = LIB.bpf_prog_attach(loaded.program_fd(name), cgroup, kind, MULTI)
        if done != -errno.EPERM:
            libbpf.checked(f"attaching {name}", done)
    os.close(cgroup)


def _map(path: Path, key: int, value: int) -> None:
    made = bpf.create(MapSpec(path.name[:15], HASH, key, value, 10, 0))
    bpf.write(made, [(bytes(key), struct.pack("<B", 42).ljust(value, b"\x2a"))])
    bpf.pin(made, path)
    os.close(made)


def main() -> int:
    """A failure is one sentence."""
    try:
        plant()
    except (LibbpfError, OSError, subprocess.CalledProcessError) as error:
        print(f"lab-neighbours: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

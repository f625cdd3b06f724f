# SPDX-License-Identifier: GPL-3.0-or-later
"""All that an operation could change on a node, to compare before with after."""

from __future__ import annotations

from testinfra.host import Host

_PINS = "find /sys/fs/bpf/tc /sys/fs/bpf/tcx /sys/fs/bpf/ctlb -type f 2>/dev/null | sort"
# One process of bpftool for all pins of a kind.
_BATCH = "bpftool -j batch file -"

COMMANDS = {
    # Inode, mode and times of every pin: another object at the same path is another inode.
    "pins": "find /sys/fs/bpf -printf '%p %y %i %m %U %T@ %C@\\n' | sort",
    "maps": f"{_PINS} | sed -n 's#^/sys/fs/bpf/tc/#map show pinned &#p' | {_BATCH}",
    "links": f"{_PINS} | sed -n '/^.sys.fs.bpf.tc./d; s/^/link show pinned /p' | {_BATCH}",
    "entries": f"{_PINS} | sed -n '/_ct[0-9]\\|_iface\\|_progs/s/^/map dump pinned /p'"
    f" | {_BATCH} | md5sum",
    "filters": "for i in /sys/class/net/*; do i=${i##*/}; echo $i; tc qdisc show dev $i;"
    " tc filter show dev $i ingress; tc filter show dev $i egress; done",
    "attached": "bpftool net show",
    "devices": "ip -details -oneline link",
    "cgroups": "bpftool cgroup tree /run/calico/cgroup",
    "files": "find /etc/calico /var/lib/calico /run/calico /run/lock"
    " -path /run/calico/cgroup -prune -o -printf '%p %s %i %m %T@ %C@\\n' 2>/dev/null | sort",
    "locks": "find /run -maxdepth 2 -name '*bpfops*'",
    # Not all of sysctl -a, which can take seconds.
    "settings": "cd /proc/sys; grep . kernel/unprivileged_bpf_disabled net/core/bpf_*"
    " net/ipv4/conf/*/rp_filter net/ipv4/conf/*/accept_local",
}
_MARK = "==== "


def state(host: Host) -> dict[str, str]:
    """What each command prints."""
    script = "\n".join(f"echo '{_MARK}{name}'; {command}" for name, command in COMMANDS.items())
    printed = str(host.check_output(f"{script}\ntrue"))
    sections = (part.partition("\n") for part in printed.split(_MARK)[1:])
    return {name: text for name, _, text in sections}

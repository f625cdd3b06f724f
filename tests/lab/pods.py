# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads of a node, connected as Calico's CNI plugin connects them.

A pod is a network namespace ``podN`` inside the node, with eth0 whose peer is
``cali`` and 11 hexadecimal digits, a /32 and a /128 address; its gateways are
169.254.1.1, for which the node answers by proxy ARP, and the node's link-local
address.
"""

from __future__ import annotations

import hashlib

from tests.lab.node import Node
from tests.lab.settings import pod_address, pod_address6, pod_cidr, pod_cidr6

GATEWAY = "169.254.1.1"
MAC = "ee:ee:ee:ee:ee:ee"
# What the kernel makes of the MAC.
GATEWAY6 = "fe80::ecee:eeff:feee:eeee"
CGROUPS = "/sys/fs/cgroup/kubepods.slice"


def interface(node: int, pod: int) -> str:
    """Name of the node's end of a pod's veth pair: 15 characters, as Calico's."""
    return "cali" + hashlib.sha1(f"lab.node{node}-pod{pod}".encode()).hexdigest()[:11]


def create(node: Node, pods: int, nodes: int) -> None:
    """Make ``pods`` pods, and routes to the pods of the ``nodes - 1`` other nodes."""
    # Without duplicate address detection, which takes a second.
    steps = [
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
        "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad",
    ]
    steps += [_pod(node.index, pod) for pod in range(1, pods + 1)]
    others = [other for other in range(1, nodes + 1) if other != node.index]
    for other in others:
        via = node.settings.node_address(other), node.settings.node_address6(other)
        steps.append(f"ip route add {pod_cidr(other)} via {via[0]}")
        steps.append(f"ip route add {pod_cidr6(other)} via {via[1]}")
    node.run("sh", "-es", stdin="\n".join(steps))


def existing(node: Node) -> list[int]:
    """Numbers of the pods that the node has."""
    names = node.root() / "run" / "netns"
    return sorted(int(path.name[3:]) for path in names.glob("pod*"))


def _pod(node: int, pod: int) -> str:
    cali, address, netns = interface(node, pod), pod_address(node, pod), f"pod{pod}"
    address6 = pod_address6(node, pod)
    return f"""
        ip netns add {netns}
        ip link add {cali} address {MAC} type veth peer name eth0 netns {netns}
        echo 1 >/proc/sys/net/ipv4/conf/{cali}/proxy_arp
        echo 0 >/proc/sys/net/ipv4/neigh/{cali}/proxy_delay
        ip link set {cali} up
        ip route add {address} dev {cali} scope link
        ip route add {address6} dev {cali}
        ip -n {netns} -batch - <<-END
link set lo up
addr add {address}/32 dev eth0
link set eth0 addrgenmode none up
addr add {address6}/128 dev eth0 nodad
route add {GATEWAY6} dev eth0
route add default via {GATEWAY6} dev eth0
route add {GATEWAY} dev eth0 scope link
route add default via {GATEWAY} dev eth0
END
        mkdir -p {CGROUPS}/{netns}
    """


def command(pod: int, *argv: str) -> list[str]:
    """Command line that runs, in the node, ``argv`` in the pod's namespace and cgroup."""
    script = f'echo 0 >{CGROUPS}/pod{pod}/cgroup.procs && exec "$@"'
    return ["sh", "-c", script, "sh", "nsenter", f"--net=/run/netns/pod{pod}", *argv]

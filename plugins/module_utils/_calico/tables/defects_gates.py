# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the gates before an operation name."""

from __future__ import annotations

from ..rows import since
from .defect_row import CRITICAL, OPERATION, WARNING, Defect

ROWS: tuple[Defect, ...] = (
    Defect(
        "CT_MISSING",
        CRITICAL,
        OPERATION,
        "There is no conntrack map of Calico for a family that is asked for.",
        "There is nothing to resize: eBPF mode is off, or has never been on for that family.",
        since(">=3.26"),
        (),
        ("node_info",),
        "Leave the node or the family out, or name the directory of felix's pins.",
        "maps 1.1, 6.1",
    ),
    Defect(
        "CT_PER_CPU",
        CRITICAL,
        OPERATION,
        "bpfMapSizePerCpuConntrack is set, so felix computes another size than the wanted one.",
        "felix resizes the map again at its next start, and bpfMapSizeConntrack has no effect.",
        since(">=3.30"),
        ("#9581",),
        ("conntrack_resize",),
        "Ask for the size that follows from it, or set bpfMapSizePerCpuConntrack to 0.",
        "maps 1.4; ops 1.5",
    ),
    Defect(
        "CT_MEMORY",
        CRITICAL,
        OPERATION,
        "The node has too little memory for the new conntrack map beside the old one.",
        "The map cannot be made, or the kernel takes the memory from pods.",
        since(">=3.26"),
        (),
        ("conntrack_resize", "preflight"),
        "Choose a smaller size, or drain the node first.",
        "maps 1.2; ops 1.5, 9.1",
    ),
    Defect(
        "DOWNGRADE",
        CRITICAL,
        OPERATION,
        "The wanted release is older than the running one.",
        "Calico documents no way back, and felix refuses one over a change of the conntrack map's "
        "version at every start.",
        since(">=3.26"),
        (),
        ("upgrade",),
        "Choose a release that is not older than the running one, or have the role upgrade take "
        "the node back, which it does with upgrade_allow_downgrade.",
        "maps 5.4; ops 0.8, 3.4",
    ),
    Defect(
        "TC_UNSEEN",
        WARNING,
        OPERATION,
        "The tc filters and XDP programs of the node could not be looked at.",
        "Nothing is known of the programs on interfaces, and none of them can be repaired.",
        since(">=3.26"),
        (),
        ("node_info",),
        "Install pyroute2 on the node, by the package python3-pyroute2 or by pip.",
        "kernel interface of tc",
    ),
    Defect(
        "API_UNREACHABLE",
        CRITICAL,
        OPERATION,
        "felix has no way to the API server that does without kube-proxy.",
        "Once kube-proxy is off felix learns nothing any more, and the node's Services break.",
        since(">=3.26"),
        ("#6168", "#7245"),
        ("dataplane_switch", "preflight"),
        "Give felix the API server's own address first, as by kubernetes-services-endpoint.",
        "ops 3.1, 5f",
    ),
    Defect(
        "VXLAN_PORT",
        CRITICAL,
        OPERATION,
        "Other software has the UDP port that felix needs for its VXLAN device.",
        "felix cannot make the device, and node ports do not reach pods on other nodes.",
        since(">=3.26"),
        (),
        ("dataplane_switch", "preflight"),
        "Choose another vxlanPort for the whole cluster, or have the other software use one.",
        "ops 3.1, 9.2",
    ),
    Defect(
        "PIN_FOREIGN",
        WARNING,
        OPERATION,
        "felix deletes pins of other software along with its own when eBPF mode goes off.",
        "Pins whose names begin as Calico's do, and from 3.31 on all in the directory of its TCX "
        "links, are lost.",
        since(">=3.26"),
        (),
        ("dataplane_switch",),
        "Have their owner pin them under other names first.",
        "programs 4.4; ops 3.3",
    ),
)

# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """One fragment for each group of options."""

    PINS = r"""
options:
  bpffs:
    description: Mount point of the bpffs that felix pins in.
    type: path
    default: /sys/fs/bpf
  pin_dir:
    description:
      - Directory of felix's pins.
      - By default C(tc/globals) in O(bpffs).
    type: path
"""

    TIMEOUTS = r"""
options:
  timeouts:
    description:
      - Timers in seconds, where C(bpfConntrackTimeouts) of the FelixConfiguration sets them (3.30
        and later). Those left out are the release's defaults.
    type: dict
    suboptions:
      creation_grace:
        description: C(creationGracePeriod).
        type: int
      tcp_syn_sent:
        description: C(tcpSynSent).
        type: int
      tcp_established:
        description: C(tcpEstablished).
        type: int
      tcp_fins_seen:
        description: C(tcpFinsSeen).
        type: int
      tcp_reset_seen:
        description: C(tcpResetSeen).
        type: int
      udp:
        description: C(udpTimeout).
        type: int
      generic:
        description: C(genericTimeout).
        type: int
      icmp:
        description: C(icmpTimeout).
        type: int
"""

    SELECTORS = r"""
options:
  families:
    description: Address families to look at.
    type: list
    elements: str
    choices: [ipv4, ipv6]
    default: [ipv4, ipv6]
  calico_version:
    description:
      - Release that runs on the node, such as V(v3.29.7) or V(3.29). It decides what ends the life
        of an entry, and the names of some flags.
      - By default it is told from the pinned maps.
    type: str
  protocol:
    description: Select entries of this protocol, by name (V(tcp), V(udp), V(icmp)...) or number.
    type: str
  address:
    description: Select entries with this address, or one of this prefix, on either side.
    type: str
  port:
    description:
      - Select entries with this port, or one of a range such as V(8000-8099), on either side; with
        O(address), on the same side.
    type: str
  source:
    description: Select flows that this address, or one of this prefix, has begun.
    type: str
  source_port:
    description: Select flows begun from this port, or one of a range.
    type: str
  destination:
    description:
      - Select entries that lead to this address, or one of this prefix. C(NAT_FWD) entries lead to
        a Service, the C(NAT_REV) entries beside them to its backend.
    type: str
  destination_port:
    description: Select entries that lead to this port, or one of a range.
    type: str
  services:
    description:
      - Select flows to one of these Services, by address and port, or by address alone, such as
        V(10.96.0.10:53), V([fd00::10]:53) or V(fd00::10).
    type: list
    elements: str
    default: []
  types:
    description: Select entries of these types; all when empty.
    type: list
    elements: str
    choices: [NORMAL, NAT_FWD, NAT_REV]
    default: []
  tcp_states:
    description:
      - Select TCP entries in one of these states. A C(NAT_FWD) entry is in that of the C(NAT_REV)
        entry that it points at.
    type: list
    elements: str
    choices: [NONE, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT, TIME_WAIT, RST]
    default: []
  flags:
    description:
      - Select entries that have all of these flags, by the names that Calico's own dump gives them,
        such as V(nat-out) or V(np-fwd).
    type: list
    elements: str
    default: []
  idle_longer_than:
    description:
      - Select entries that were last seen more than so many seconds ago. A C(NAT_FWD) entry is as
        old as the C(NAT_REV) entry that it points at.
    type: int
  expired:
    description: Select entries that have outlived the release's timers.
    type: bool
    default: false
  ifindex:
    description: Select flows that came in by the interface of this index, in either direction.
    type: int
"""

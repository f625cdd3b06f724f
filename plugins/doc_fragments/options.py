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

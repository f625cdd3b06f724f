# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation that modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What every module supports, and options that several have."""

    DOCUMENTATION = r"""
options: {}
requirements:
  - Linux on x86-64 or arm64, little-endian, kernel 5.6 or later recommended (4.15 at least)
  - root, or CAP_BPF with CAP_SYS_ADMIN for looking up object ids
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what would change without changing the node.
  diff_mode:
    description: Returns what has changed, or would in check mode, when in diff mode.
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: The module only reads.
  diff_mode:
    support: N/A
    details: The module only reads.
"""

    DECLARES = r"""
options:
  lock_timeout:
    description:
      - Seconds to wait for another run on this node that holds the lock C(/run/bpfops.lock).
      - A run in check mode takes no lock.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Program arrays: what the entry programs and the connect-time programs tail-call into."""

from __future__ import annotations

from ..._uapi.bpf import MapType
from ..rows import since
from .map_row import INTERFACE, CalicoMap

_SOURCE = "maps 1.2; programs 2.3, 7"
_SPLIT = "programs 2.3; #11430/#11457 (programs), #11443/#11488 (policy): kernels from 6.12 on "
_SPLIT += "refuse one array for both directions"
_CTLB = "programs 4.1; #11399/#11405/#11406/#11407"
_FIRST_CTLB = ">=3.28,<3.29.7 | >=3.30,<3.30.5 | >=3.31,<3.31.3"
_SPLIT_CTLB = ">=3.29.7,<3.30 | >=3.30.5,<3.31 | >=3.31.3"


def _programs(
    name: str, role: str, releases: str, entries: int, source: str = _SOURCE
) -> CalicoMap:
    return CalicoMap(name, role, 0, since(releases), MapType.PROG_ARRAY, 4, 4, entries, source)


ROWS: tuple[CalicoMap, ...] = (
    _programs("cali_jump3", "jump", "3.26", 32)._replace(place=INTERFACE),
    _programs("cali_jump2", "jump", "3.27", 10000),
    _programs("cali_jump3", "jump", ">=3.28,<3.31.3", 240000),
    _programs("cali_jump_ing2", "jump_ingress", ">=3.31.3", 240000, _SPLIT),
    _programs("cali_jump_egr2", "jump_egress", ">=3.31.3", 240000, _SPLIT),
    _programs("cali_progs2", "progs", "3.27", 200),
    _programs("cali_progs3", "progs", ">=3.28,<3.31.3", 400),
    _programs("cali_progs_ing2", "progs_ingress", ">=3.31.3", 400, _SPLIT),
    _programs("cali_progs_egr2", "progs_egress", ">=3.31.3", 400, _SPLIT),
    _programs("xdp_cali_jump2", "xdp_jump", "3.27", 100),
    _programs("xdp_cali_jump3", "xdp_jump", ">=3.28", 2400),
    _programs("xdp_cali_progs2", "xdp_progs", "3.27", 200),
    _programs("xdp_cali_progs3", "xdp_progs", ">=3.28", 400),
    _programs("cali_ctlb_progs", "ctlb", _FIRST_CTLB, 3, _CTLB),
    _programs("cali_ctlb_conn", "ctlb_connect", _SPLIT_CTLB, 1, _CTLB),
    _programs("cali_ctlb_send", "ctlb_sendmsg", _SPLIT_CTLB, 1, _CTLB),
    _programs("cali_ctlb_recv", "ctlb_recvmsg", _SPLIT_CTLB, 1, _CTLB),
    _programs("cali_j_nk_ing2", "netkit_jump_ingress", ">=3.33", 240000)._replace(certain=False),
    _programs("cali_j_nk_egr2", "netkit_jump_egress", ">=3.33", 240000)._replace(certain=False),
    _programs("cali_p_nk_ing2", "netkit_progs_ingress", ">=3.33", 400)._replace(certain=False),
    _programs("cali_p_nk_egr2", "netkit_progs_egress", ">=3.33", 400)._replace(certain=False),
)

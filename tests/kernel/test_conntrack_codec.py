# SPDX-License-Identifier: GPL-3.0-or-later
"""The conntrack codec against the C structures that the lab's programs write the map with."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_address
from pathlib import Path

import pytest

from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs import conntrack as ct
from ansible_collections.bpfops.calico.plugins.module_utils._calico.codecs.conntrack_layout import (
    V3_IPV4,
)

HEADERS = Path(__file__).resolve().parents[1] / "lab" / "bpf"
PROGRAM = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include "conntrack.h"

int main(void)
{
	struct ct_key key = {
		.protocol = 6, .addr_a = inet_addr("10.65.0.5"), .addr_b = inet_addr("10.96.0.10"),
		.port_a = 40000, .port_b = 443,
	};
	struct ct_value value = {
		.created = 1ULL << 40, .last_seen = (1ULL << 63) + 5, .type = CT_NAT_REV,
		.flags_low = 0x48, .flags_high = FLAG_HIGH_B_TO_A | 0x20,
		.a_to_b = { .bytes = 1ULL << 50, .packets = 77, .seqno = htonl(0xdeadbeef),
			.bits = LEG_SYN_SEEN | LEG_ACK_SEEN | LEG_OPENER, .ifindex = 300 },
		.b_to_a = { .bits = LEG_FIN_SEEN | LEG_RST_SEEN | LEG_APPROVED, .ifindex = 4 },
		.tunnel_addr = inet_addr("192.0.2.1"), .orig_addr = inet_addr("192.0.2.2"),
		.orig_port = 80, .orig_sport = 50000, .orig_saddr = inet_addr("192.0.2.3"),
	};

	return fwrite(&key, sizeof(key), 1, stdout) + fwrite(&value, sizeof(value), 1, stdout) != 2;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not on this machine")
def test_the_lab_writes_what_the_codec_reads(tmp_path: Path) -> None:
    source, tool = tmp_path / "entry.c", tmp_path / "entry"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", f"-I{HEADERS}", "-o", tool, source], check=True)
    written = subprocess.run([tool], check=True, capture_output=True).stdout
    key = ct.Key(
        6,
        ct.Endpoint(ip_address("10.65.0.5"), 40000),
        ct.Endpoint(ip_address("10.96.0.10"), 443),
    )
    body = ct.Tracking(
        ct.Leg(1 << 50, 77, 0xDEADBEEF, ct.SYN_SEEN | ct.ACK_SEEN | 0x20, 300),
        ct.Leg(bits=ct.FIN_SEEN | ct.RST_SEEN | 0x10, ifindex=4),
        tun_ip=ip_address("192.0.2.1"),
        orig_ip=ip_address("192.0.2.2"),
        orig_port=80,
        orig_sport=50000,
        orig_sip=ip_address("192.0.2.3"),
    )
    value = ct.Value(1 << 40, (1 << 63) + 5, ct.EntryType.NAT_REV, ct.B_TO_A | 0x2048, body)
    assert (ct.decode_key(written[:16]), ct.decode_value(written[16:], V3_IPV4)) == (key, value)
    assert ct.encode_key(key) + ct.encode_value(value, V3_IPV4) == written

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Programs of other software on a node: each counts what it sees, and changes nothing. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 8);
	__uint(max_entries, 16);
} neighbour_seen SEC(".maps");

static __always_inline void count(__u32 who)
{
	__u64 *seen = bpf_map_lookup_elem(&neighbour_seen, &who);

	if (seen)
		__sync_fetch_and_add(seen, 1);
}

#define PROGRAM(section, name, type, who, verdict) \
	SEC(section)                               \
	int name(type *context)                    \
	{                                          \
		count(who);                        \
		return verdict;                    \
	}

/* Filters that run before and after Calico's, and a TCX program. */
PROGRAM("tc", cil_from_netdev, struct __sk_buff, 0, TC_ACT_UNSPEC)
PROGRAM("tc", handle_ingress, struct __sk_buff, 1, TC_ACT_UNSPEC)
PROGRAM("tc", cil_to_netdev, struct __sk_buff, 2, TC_ACT_UNSPEC)
PROGRAM("xdp", xdp_drop_bad, struct xdp_md, 3, XDP_PASS)
PROGRAM("cgroup_skb/ingress", sd_fw_ingress, struct __sk_buff, 4, 1)
PROGRAM("cgroup_skb/egress", sd_fw_egress, struct __sk_buff, 5, 1)
PROGRAM("cgroup/connect4", cil_sock4_connect, struct bpf_sock_addr, 6, 1)
PROGRAM("cgroup/connect6", cil_sock6_connect, struct bpf_sock_addr, 7, 1)
PROGRAM("cgroup/sendmsg4", cil_sock4_sendmsg, struct bpf_sock_addr, 8, 1)
PROGRAM("cgroup/sendmsg6", cil_sock6_sendmsg, struct bpf_sock_addr, 9, 1)
PROGRAM("cgroup/recvmsg4", cil_sock4_recvmsg, struct bpf_sock_addr, 10, 1)
PROGRAM("cgroup/recvmsg6", cil_sock6_recvmsg, struct bpf_sock_addr, 11, 1)
/* Calico's own, of iptables mode. */
PROGRAM("xdp", prefilter, struct xdp_md, 12, XDP_PASS)

/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Stand-in for Calico's connect-time load balancer: looks at its maps, changes nothing. */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct connect_globals {
	__u32 udp_not_seen_timeo; /* seconds */
	bool exclude_udp;
};

const volatile struct connect_globals globals = {60, true};

_Static_assert(sizeof(globals) == 8, "Calico's globals have 8 bytes");

#define OTHER(map)                             \
	struct {                               \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(key_size, 64);          \
		__uint(value_size, 64);        \
		__uint(max_entries, 1);        \
	} map SEC(".maps")

/* Sizes, types and flags are the release's, set by the agent. */
OTHER(cali_nat_fe);
OTHER(cali_nat_be);
OTHER(cali_nat_aff);
OTHER(cali_routes);
OTHER(cali_ct_nats);
OTHER(cali_srmsg);

static __always_inline int destination(void)
{
	__u8 key[64] = {};

	if (globals.exclude_udp && globals.udp_not_seen_timeo == 0)
		return 1;
	bpf_map_lookup_elem(&cali_nat_fe, key);
	bpf_map_lookup_elem(&cali_nat_be, key);
	bpf_map_lookup_elem(&cali_nat_aff, key);
	bpf_map_lookup_elem(&cali_routes, key);
	bpf_map_lookup_elem(&cali_ct_nats, key);
	bpf_map_lookup_elem(&cali_srmsg, key);
	return 1;
}

static __always_inline int source(void)
{
	__u8 key[64] = {};

	if (globals.udp_not_seen_timeo)
		bpf_map_lookup_elem(&cali_srmsg, key);
	return 1;
}

#define HOOK(section, name, body)               \
	SEC("cgroup/" section)                  \
	int calico_##name(struct bpf_sock_addr *ctx) \
	{                                       \
		return body();                  \
	}

HOOK("connect4", connect_v4, destination)
HOOK("connect6", connect_v46, destination)
HOOK("sendmsg4", sendmsg_v4, destination)
HOOK("sendmsg6", sendmsg_v46, destination)
HOOK("recvmsg4", recvmsg_v4, source)
HOOK("recvmsg6", recvmsg_v46, source)

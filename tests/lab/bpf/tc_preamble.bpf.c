/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stand-in for Calico's program at an interface: globals of one interface in
 * frozen read-only data, and tail calls to the program that does the work.
 * SIZE, HALF, IFACE, LOG_FILTER, JUMPS (bytes), DEBUG, TEXT and ENTRY come from the table of
 * releases; JUMPS 0 is release 3.26, which has one jump map for each hook.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define NONE 0xffffffff
#define MAIN 0
#define ACCEPTED_26 3
#define ONE_HALF (HALF ? HALF : SIZE)

/* The agent fills it for each interface before it loads the program. */
const volatile __u8 globals[SIZE] __attribute__((aligned(8))) = {1};

#define PROGRAMS(map)                              \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(key_size, 4);               \
		__uint(value_size, 4);             \
		__uint(max_entries, 1);            \
	} map SEC(".maps")

/* Sizes, types and flags of all maps are the release's, set by the agent. */
PROGRAMS(cali_jump);
#if JUMPS
PROGRAMS(cali_progs);
#endif

#define OTHER(map)                             \
	struct {                               \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(key_size, 4);           \
		__uint(value_size, 512);       \
		__uint(max_entries, 2);        \
	} map SEC(".maps")

OTHER(cali_state);
OTHER(cali_ct);
OTHER(cali_nat_fe);
OTHER(cali_nat_be);
OTHER(cali_nat_aff);
OTHER(cali_arp);

static __always_inline __u32 word(__u32 offset)
{
	return *(const volatile __u32 *)(globals + offset);
}

static __always_inline void copy_globals(__u32 half)
{
	__u32 key = JUMPS ? 1 : 0;
	__u32 *state = bpf_map_lookup_elem(&cali_state, &key);

	if (!state)
		return;
#pragma unroll
	for (int at = 0; at < ONE_HALF / 4; at++)
		state[at] = word(half + at * 4);
}

#if JUMPS
static __always_inline int call_main(struct __sk_buff *skb, __u32 half)
{
	const char *name = (const char *)globals + half + IFACE;
	__u32 filter = word(half + LOG_FILTER);

	skb->cb[0] = word(half + JUMPS + MAIN * 4);
	skb->cb[1] = word(half + JUMPS + DEBUG * 4);
	if (filter != NONE) {
		bpf_tail_call(skb, &cali_jump, filter);
		bpf_trace_printk(TEXT " iface %s failed to call log filter %d",
				 sizeof(TEXT " iface %s failed to call log filter %d"), name,
				 filter);
	}
	bpf_tail_call(skb, &cali_progs, skb->cb[0]);
	bpf_trace_printk(TEXT " iface %s failed to call main", sizeof(TEXT " iface %s failed to call main"),
			 name);
	bpf_tail_call(skb, &cali_progs, skb->cb[1]);
	return TC_ACT_SHOT;
}
#else
static __always_inline int call_main(struct __sk_buff *skb, __u32 half)
{
	bpf_tail_call(skb, &cali_jump, ACCEPTED_26);
	return TC_ACT_SHOT;
}
#endif

SEC("tc")
int ENTRY(struct __sk_buff *skb)
{
	__u32 half = 0;

#if HALF
	/* Without globals of the packet's family those of the other one serve. */
	if (skb->protocol == bpf_htons(ETH_P_IPV6) && word(HALF + JUMPS) != NONE)
		half = HALF;
#endif
	copy_globals(half);
	return call_main(skb, half);
}

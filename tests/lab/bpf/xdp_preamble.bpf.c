/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stand-in for Calico's XDP program of eBPF mode: refers to its maps, lets everything pass.
 * SIZE (bytes of the globals, 0 for release 3.26) and ENTRY come from the table of releases.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#if SIZE
/* The agent fills it for the interface before it loads the program. */
const volatile __u8 globals[SIZE] __attribute__((aligned(8))) = {1};
#endif

/* Sizes are the release's, set by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__uint(max_entries, 1);
} cali_jump SEC(".maps");

SEC("xdp")
int ENTRY(struct xdp_md *context)
{
	__u32 slot = 0;

#if SIZE
	slot = globals[SIZE - 1];
#endif
	bpf_tail_call(context, &cali_jump, slot);
	return XDP_PASS;
}

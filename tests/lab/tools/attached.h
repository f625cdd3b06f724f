/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which conntrack map the programs at a pod's interface use; no other tool is asked. */
#pragma once

#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include "entries.h"

#ifndef TCA_BPF_ID
#define TCA_BPF_ID 11
#endif
#define TCX_INGRESS 46
#define ETH_P_ALL_BE 0x0300
/* Arrays of policies are larger, and no policy refers to the conntrack map. */
#define MAX_SLOTS 1000

static inline struct rtattr *attribute(struct rtattr *at, int length, unsigned short type)
{
	for (; RTA_OK(at, length); at = RTA_NEXT(at, length))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

/* Program of one filter in a dump, or 0: the head of a preference has no program. */
static inline __u32 filters_program(struct nlmsghdr *message)
{
	struct tcmsg *tc = NLMSG_DATA(message);
	struct rtattr *options, *id;

	options = attribute((struct rtattr *)(tc + 1),
			    message->nlmsg_len - NLMSG_LENGTH(sizeof(*tc)), TCA_OPTIONS);
	if (!options)
		return 0;
	id = attribute(RTA_DATA(options), RTA_PAYLOAD(options), TCA_BPF_ID);
	return id ? *(__u32 *)RTA_DATA(id) : 0;
}

/* Program of the ingress filter that runs first, or 0. */
static inline __u32 filter_program(int ifindex)
{
	struct {
		struct nlmsghdr head;
		struct tcmsg tc;
	} request = {
		.head = { sizeof(request), RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP, 1, 0 },
		.tc = { .tcm_ifindex = ifindex,
			.tcm_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) },
	};
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	static char answer[65536];
	__u32 found = 0;
	ssize_t length;
	int done = 0;

	if (netlink < 0 || send(netlink, &request, sizeof(request), 0) < 0)
		fail("asking for filters");
	while (!done && (length = recv(netlink, answer, sizeof(answer), 0)) > 0)
		for (struct nlmsghdr *at = (void *)answer; NLMSG_OK(at, length);
		     at = NLMSG_NEXT(at, length)) {
			done |= at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR;
			if (!done && !found)
				found = filters_program(at);
		}
	close(netlink);
	return found;
}

/* Id of the program that sees a pod's packets first, or 0. */
static inline __u32 attached_program(int ifindex)
{
	__u32 ids[16] = {}, count = 16;

	if (bpf_prog_query(ifindex, TCX_INGRESS, 0, NULL, ids, &count) == 0 && count)
		return ids[0];
	return filter_program(ifindex);
}

static inline int is_conntrack(const struct bpf_map_info *info, int family)
{
	const char *prefix = family == 6 ? "cali_v6_ct" : "cali_v4_ct";
	char next = info->name[strlen(prefix)];

	return !strncmp(info->name, prefix, strlen(prefix)) && next >= '0' && next <= '9';
}

static __u32 conntrack_of(__u32 program, int family, int depth);

static inline __u32 conntrack_behind(int array, const struct bpf_map_info *info, int family)
{
	__u32 found = 0, program;

	for (__u32 slot = 0; slot < info->max_entries && info->max_entries <= MAX_SLOTS; slot++) {
		if (bpf_map_lookup_elem(array, &slot, &program))
			continue;
		found = conntrack_of(program, family, 0);
		if (found)
			break;
	}
	return found;
}

/* Conntrack map to which a program refers, first through the programs that it calls; or 0. */
static __u32 conntrack_of(__u32 program, int family, int depth)
{
	__u32 maps[64], direct = 0, behind = 0, length = sizeof(struct bpf_prog_info);
	struct bpf_prog_info about = { .nr_map_ids = 64, .map_ids = (__u64)(unsigned long)maps };
	int fd = bpf_prog_get_fd_by_id(program);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &about, &length))
		about.nr_map_ids = 0;
	for (__u32 i = 0; i < about.nr_map_ids && i < 64 && !behind; i++) {
		struct bpf_map_info info = {};
		int map = bpf_map_get_fd_by_id(maps[i]);

		length = sizeof(info);
		if (map >= 0 && !bpf_obj_get_info_by_fd(map, &info, &length)) {
			if (is_conntrack(&info, family))
				direct = info.id;
			if (info.type == BPF_MAP_TYPE_PROG_ARRAY && depth)
				behind = conntrack_behind(map, &info, family);
		}
		if (map >= 0)
			close(map);
	}
	if (fd >= 0)
		close(fd);
	return behind ? behind : direct;
}

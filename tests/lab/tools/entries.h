/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Made-up conntrack entries in each of Calico's layouts, and maps by path or id. */
#pragma once

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND 1000000000ull
#define MAX_KEY 40
#define MAX_VALUE 128

enum ct_type { CT_NORMAL = 0, CT_NAT_FWD = 1, CT_NAT_REV = 2 };

#define LEG_SYN_SEEN (1u << 0)
#define LEG_ACK_SEEN (1u << 1)
#define LEG_APPROVED (1u << 4)
#define LEG_OPENER (1u << 5)
#define FLAG_HIGH_B_TO_A 1 /* of the byte with flag bits 8 to 15: side B opened */

/* Sizes and offsets in bytes; what follows the two legs differs. */
struct layout {
	__u32 key, value, addr;
	__u32 leg, leg_seqno, leg_bits;
	__u32 orig_addr, orig_port, orig_sport, orig_saddr;
};

static const struct layout LAYOUTS[] = {
	{ 16, 64, 4, 12, 0, 4, 48, 52, 54, 60 },	    /* ct2 */
	{ 16, 88, 4, 24, 12, 16, 76, 80, 82, 84 },	    /* ct3, ct4 */
	{ 40, 128, 16, 24, 12, 16, 88, 104, 106, 108 }, /* IPv6 ct3, ct4 */
};

enum { AT_FIRST = 0, AT_LAST_SEEN = 8, AT_TYPE = 16, AT_FLAGS_HIGH = 23, AT_LEGS = 24 };

struct flow {
	__u32 protocol;
	__u8 client[16], server[16];
	__u16 sport, dport;
	__u64 first, last_seen; /* CLOCK_MONOTONIC, ns */
	__u32 seqno;
};

static inline void fail(const char *what)
{
	fprintf(stderr, "ctmap: %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline __u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

/* 198.18.0.0/15 (RFC 2544) or 2001:2::/48 (RFC 5180), both for benchmarks. */
static inline void address(const struct layout *at, __u32 host, __u8 *to)
{
	__u32 word = htonl(at->addr == 4 ? 0xc6120000u + host : host);
	static const __u8 prefix[] = { 0x20, 0x01, 0x00, 0x02 };

	if (at->addr == 16)
		memcpy(to, prefix, sizeof(prefix));
	memcpy(to + at->addr - 4, &word, 4);
}

/* Client i opens to one of 256 servers; (client address, port) is unique. */
static inline void make_flow(const struct layout *at, __u32 i, struct flow *flow)
{
	int udp = i % 10 < 3;

	memset(flow, 0, sizeof(*flow));
	flow->protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
	address(at, 0x200 + i / 32768, flow->client);
	address(at, i % 256, flow->server);
	flow->sport = 32768 + i % 32768;
	flow->dport = udp ? 53 : 443;
	flow->seqno = i * 2654435761u;
}

/* Calico compares addresses as 32-bit words as the CPU loads them, then ports. */
static inline int client_is_a(const struct layout *at, const struct flow *flow)
{
	__u32 mine, other;

	for (__u32 word = 0; word < at->addr; word += 4) {
		memcpy(&mine, flow->client + word, 4);
		memcpy(&other, flow->server + word, 4);
		if (mine != other)
			return mine < other;
	}
	return flow->sport < flow->dport;
}

static inline void encode_key(const struct layout *at, const struct flow *flow, __u8 *key)
{
	int a = client_is_a(at, flow);
	__u8 *ports = key + 4 + 2 * at->addr;

	memcpy(key, &flow->protocol, 4);
	memcpy(key + 4, a ? flow->client : flow->server, at->addr);
	memcpy(key + 4 + at->addr, a ? flow->server : flow->client, at->addr);
	memcpy(ports, a ? &flow->sport : &flow->dport, 2);
	memcpy(ports + 2, a ? &flow->dport : &flow->sport, 2);
}

static inline void encode_leg(const struct layout *at, const struct flow *flow, int opens, __u8 *leg)
{
	__u32 bits = LEG_APPROVED | (opens ? LEG_OPENER : 0), seqno = htonl(flow->seqno + !opens);

	if (flow->protocol == IPPROTO_TCP) {
		bits |= LEG_SYN_SEEN | LEG_ACK_SEEN;
		memcpy(leg + at->leg_seqno, &seqno, 4);
	}
	memcpy(leg + at->leg_bits, &bits, 4);
}

/* An established connection or stream, or the half of a service's that has the timers. */
static inline void encode_value(const struct layout *at, const struct flow *flow, __u8 *value)
{
	int a = client_is_a(at, flow);

	memset(value, 0, at->value);
	memcpy(value + AT_FIRST, &flow->first, 8);
	memcpy(value + AT_LAST_SEEN, &flow->last_seen, 8);
	value[AT_FLAGS_HIGH] = a ? 0 : FLAG_HIGH_B_TO_A;
	encode_leg(at, flow, a, value + AT_LEGS);
	encode_leg(at, flow, !a, value + AT_LEGS + at->leg);
	memcpy(value + at->orig_addr, flow->server, at->addr);
	memcpy(value + at->orig_port, &flow->dport, 2);
	memcpy(value + at->orig_sport, &flow->sport, 2);
	memcpy(value + at->orig_saddr, flow->client, at->addr);
}

struct table {
	int fd;
	struct bpf_map_info info;
	const struct layout *at;
};

static inline const struct layout *layout_of(const struct bpf_map_info *info)
{
	for (__u32 i = 0; i < sizeof(LAYOUTS) / sizeof(*LAYOUTS); i++)
		if (info->key_size == LAYOUTS[i].key && info->value_size == LAYOUTS[i].value)
			return &LAYOUTS[i];
	return NULL;
}

/* ``place``: path of a pin, or id:NUMBER. */
static inline void open_table(const char *place, struct table *table)
{
	__u32 length = sizeof(table->info);
	int by_id = !strncmp(place, "id:", 3);

	table->fd = by_id ? bpf_map_get_fd_by_id(strtoul(place + 3, NULL, 10)) : bpf_obj_get(place);
	if (table->fd < 0)
		fail(place);
	memset(&table->info, 0, sizeof(table->info));
	if (bpf_obj_get_info_by_fd(table->fd, &table->info, &length))
		fail("reading the map's parameters");
	table->at = layout_of(&table->info);
	if (table->at)
		return;
	fprintf(stderr,
		"ctmap: %s has keys of %u and values of %u bytes; conntrack maps have 16 and 64,"
		" 16 and 88, or 40 and 128\n",
		place, table->info.key_size, table->info.value_size);
	exit(1);
}

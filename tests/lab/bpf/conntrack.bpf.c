/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Stand-in for Calico's workload programs: tracks IPv4 flows (with the macro
 * IPV6: IPv6 flows) through a pod's interface in a conntrack map of Calico's
 * shape and lets no TCP segment pass whose flow it does not know.  Needs
 * kernel 4.19.
 */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/if_ether.h>
#include <linux/icmpv6.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "conntrack.h"

char LICENSE[] SEC("license") = "GPL";

#ifdef IPV6
#define conntrack cali_v6_ct3
#else
#define conntrack cali_v4_ct3
#endif

/* Type, size and flags are those of release 3.29; the agent sets a release's before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct ct_key);
	__type(value, struct ct_value);
	__uint(max_entries, 512000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} conntrack SEC(".maps");

enum lab_counter {
	DROPPED_NO_ENTRY,
	DROPPED_TABLE_FULL,
	DROPPED_CREATE_FAILED,
	DENIED,
	LAB_COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, LAB_COUNTERS);
} lab_counters SEC(".maps");

enum direction { FROM_POD, TO_POD };

#ifndef IPV6
/* The policy of the node's pods: flows from one address to another that are denied. */
struct denied_flow {
	struct ct_addr saddr, daddr;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct denied_flow);
	__type(value, __u8);
	__uint(max_entries, 1024);
} lab_denied SEC(".maps");
#endif

struct packet {
	struct ct_key key;
	bool from_a;
	__u16 sport, dport;
	struct ct_addr saddr, daddr;
	__u32 seq, ack_seq; /* host byte order */
	bool syn, ack, fin, rst;
};

static __always_inline int drop(__u32 reason)
{
	__u64 *count = bpf_map_lookup_elem(&lab_counters, &reason);

	if (count)
		*count += 1;
	return TC_ACT_SHOT;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, int offset, struct packet *p)
{
	struct tcphdr tcp;

	if (bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)))
		return -1;
	p->sport = bpf_ntohs(tcp.source);
	p->dport = bpf_ntohs(tcp.dest);
	p->seq = bpf_ntohl(tcp.seq);
	p->ack_seq = bpf_ntohl(tcp.ack_seq);
	p->syn = tcp.syn;
	p->ack = tcp.ack;
	p->fin = tcp.fin;
	p->rst = tcp.rst;
	return 0;
}

static __always_inline int parse_udp(struct __sk_buff *skb, int offset, struct packet *p)
{
	struct udphdr udp;

	if (bpf_skb_load_bytes(skb, offset, &udp, sizeof(udp)))
		return -1;
	p->sport = bpf_ntohs(udp.source);
	p->dport = bpf_ntohs(udp.dest);
	return 0;
}

/* Addresses compare as words as the CPU loads them; equal ones: the smaller port is A. */
static __always_inline bool from_smaller_side(const struct packet *p)
{
#pragma unroll
	for (int i = 0; i < ADDR_WORDS; i++)
		if (p->saddr.word[i] != p->daddr.word[i])
			return p->saddr.word[i] < p->daddr.word[i];
	return p->sport < p->dport;
}

static __always_inline void order_sides(struct packet *p)
{
	p->from_a = from_smaller_side(p);
	p->key.addr_a = p->from_a ? p->saddr : p->daddr;
	p->key.addr_b = p->from_a ? p->daddr : p->saddr;
	p->key.port_a = p->from_a ? p->sport : p->dport;
	p->key.port_b = p->from_a ? p->dport : p->sport;
}

#ifdef IPV6
/* Offset of what follows the IPv6 header, or -1. */
static __always_inline int parse_ip(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	p->key.protocol = ip.nexthdr;
	__builtin_memcpy(&p->saddr, &ip.saddr, sizeof(p->saddr));
	__builtin_memcpy(&p->daddr, &ip.daddr, sizeof(p->daddr));
	return ETH_HLEN + sizeof(ip);
}

/* Neighbour discovery is no flow. */
static __always_inline int parse_icmp(struct __sk_buff *skb, int offset, struct packet *p)
{
	struct icmp6hdr icmp;

	if (p->key.protocol != IPPROTO_ICMPV6 ||
	    bpf_skb_load_bytes(skb, offset, &icmp, sizeof(icmp)))
		return -1;
	return icmp.icmp6_type == ICMPV6_ECHO_REQUEST || icmp.icmp6_type == ICMPV6_ECHO_REPLY ? 0 : -1;
}
#else
/* Offset of what follows the IPv4 header, or -1. */
static __always_inline int parse_ip(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;

	if (skb->protocol != bpf_htons(ETH_P_IP) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	/* A later fragment has no ports to look up. */
	if (ip.frag_off & bpf_htons(0x1fff))
		return -1;
	p->key.protocol = ip.protocol;
	p->saddr.word[0] = ip.saddr;
	p->daddr.word[0] = ip.daddr;
	return ETH_HLEN + ip.ihl * 4;
}

static __always_inline int parse_icmp(struct __sk_buff *skb, int offset, struct packet *p)
{
	return p->key.protocol == IPPROTO_ICMP ? 0 : -1;
}
#endif

/* 0 for a packet that is tracked; everything else passes untracked. */
static __always_inline int parse(struct __sk_buff *skb, struct packet *p)
{
	int offset = parse_ip(skb, p), failed;

	if (offset < 0)
		return -1;
	if (p->key.protocol == IPPROTO_TCP)
		failed = parse_tcp(skb, offset, p);
	else if (p->key.protocol == IPPROTO_UDP)
		failed = parse_udp(skb, offset, p);
	else
		failed = parse_icmp(skb, offset, p);
	order_sides(p);
	return failed;
}

static __always_inline void set_bits(struct ct_leg *leg, __u32 bits)
{
	/* Most packets change nothing: spare the other CPUs the cache line. */
	if ((leg->bits & bits) != bits)
		leg->bits |= bits;
}

static __always_inline void note_syn(struct ct_leg *leg, const struct packet *p)
{
	leg->seqno = bpf_htonl(p->seq);
	set_bits(leg, LEG_SYN_SEEN);
}

static __always_inline void note_tcp(struct ct_leg *sent, struct ct_leg *back,
				     const struct packet *p)
{
	if (p->syn && !(sent->bits & LEG_SYN_SEEN))
		note_syn(sent, p);
	/* This acknowledges the other side's SYN. */
	if (p->ack && (back->bits & (LEG_SYN_SEEN | LEG_ACK_SEEN)) == LEG_SYN_SEEN &&
	    bpf_ntohl(back->seqno) + 1 == p->ack_seq)
		set_bits(back, LEG_ACK_SEEN);
	if (p->fin)
		set_bits(sent, LEG_FIN_SEEN);
	if (p->rst)
		set_bits(sent, LEG_RST_SEEN);
}

/* From release 3.30 on, the first field is the time of the last RST. */
static __always_inline __u64 first_time(void)
{
#ifdef RST_SEEN
	return 0;
#else
	return bpf_ktime_get_ns();
#endif
}

/* What every packet of a flow does to the flow's entry. */
static __always_inline void note_packet(struct __sk_buff *skb, struct ct_value *value,
					const struct packet *p, enum direction direction)
{
	struct ct_leg *sent = p->from_a ? &value->a_to_b : &value->b_to_a;
	struct ct_leg *back = p->from_a ? &value->b_to_a : &value->a_to_b;

	value->last_seen = bpf_ktime_get_ns();
	if (p->key.protocol == IPPROTO_TCP)
		note_tcp(sent, back, p);
#ifdef RST_SEEN
	if (p->rst)
		value->created = value->last_seen;
	/* The release that changed the first field is the one that began to count. */
	sent->packets += 1;
	sent->bytes += skb->len;
#endif
	/* The pod's own policy has passed the direction that this hook guards. */
	if (direction == FROM_POD) {
		set_bits(sent, LEG_APPROVED);
		if (!sent->ifindex)
			sent->ifindex = skb->ifindex;
	} else {
		set_bits(back, LEG_APPROVED);
	}
}

static __always_inline void fill_new(struct ct_value *value, const struct packet *p)
{
	struct ct_leg *sent = p->from_a ? &value->a_to_b : &value->b_to_a;

	value->created = first_time();
	value->type = CT_NORMAL;
	if (!p->from_a)
		value->flags_high = FLAG_HIGH_B_TO_A;
	sent->bits = LEG_OPENER;
	value->orig_addr = p->daddr;
	value->orig_port = p->dport;
	value->orig_sport = p->sport;
	value->orig_saddr = p->saddr;
}

static __always_inline bool denied(const struct packet *p)
{
#ifdef IPV6
	return false;
#else
	struct denied_flow flow = { p->saddr, p->daddr };

	return bpf_map_lookup_elem(&lab_denied, &flow);
#endif
}

/* As in Calico, a flow that has an entry is not asked about again. */
static __always_inline int create(struct __sk_buff *skb, const struct packet *p,
				  enum direction direction, __u64 flags)
{
	struct ct_value value = {};
	struct ct_value *other;
	long error;

	if (denied(p))
		return drop(DENIED);
	fill_new(&value, p);
	note_packet(skb, &value, p, direction);
	error = bpf_map_update_elem(&conntrack, &p->key, &value, flags);
	if (!error)
		return TC_ACT_UNSPEC;
	if (error == -E2BIG)
		return drop(DROPPED_TABLE_FULL);
	/* Another CPU was first: its entry counts. */
	other = error == -EEXIST ? bpf_map_lookup_elem(&conntrack, &p->key) : NULL;
	if (!other)
		return drop(DROPPED_CREATE_FAILED);
	note_packet(skb, other, p, direction);
	return TC_ACT_UNSPEC;
}

/* The connection has ended, so that a SYN begins another one. */
static __always_inline bool closed(const struct ct_value *value)
{
	__u32 both = value->a_to_b.bits & value->b_to_a.bits;
	__u32 any = value->a_to_b.bits | value->b_to_a.bits;

	return (both & LEG_FIN_SEEN) || (any & LEG_RST_SEEN);
}

#ifdef SERVICES
#include "service.h"
#endif

static __always_inline int track(struct __sk_buff *skb, enum direction direction)
{
	struct packet p = {};
	struct ct_value *value;
	bool opens;
#ifdef SERVICES
	int done;
#endif

	if (parse(skb, &p))
		return TC_ACT_UNSPEC;
	opens = p.syn && !p.ack;
	value = bpf_map_lookup_elem(&conntrack, &p.key);
#ifdef SERVICES
	if (direction == FROM_POD && (p.key.protocol == IPPROTO_UDP || p.key.protocol == IPPROTO_TCP)) {
		done = NO_SERVICE;
		if (value && value->type == CT_NAT_FWD)
			done = along(skb, &p, value, opens);
		if (done == NO_SERVICE && (!value || value->type == CT_NAT_FWD) &&
		    (opens || p.key.protocol == IPPROTO_UDP))
			done = to_service(skb, &p);
		if (done != NO_SERVICE)
			return done;
		if (value && value->type == CT_NAT_FWD)
			return create(skb, &p, direction, BPF_ANY);
	}
#endif
	if (value && opens && closed(value))
		return create(skb, &p, direction, BPF_ANY);
	if (value) {
		note_packet(skb, value, &p, direction);
#ifdef SERVICES
		if (direction == TO_POD)
			return back(skb, &p, value);
#endif
		return TC_ACT_UNSPEC;
	}
	if (p.key.protocol == IPPROTO_TCP && !opens)
		return drop(DROPPED_NO_ENTRY);
	return create(skb, &p, direction, BPF_NOEXIST);
}

#ifdef MAIN
/* Behind a release's own program at the interface: MAIN is its name there. */
SEC("tc")
int MAIN(struct __sk_buff *skb)
{
	return track(skb, DIRECTION);
}
#else
/* The kernel keeps 15 characters of the name: cali_tc_preambl, as Calico's. */
SEC("tc")
int cali_tc_preamble_from_pod(struct __sk_buff *skb)
{
	return track(skb, FROM_POD);
}

SEC("tc")
int cali_tc_preamble_to_pod(struct __sk_buff *skb)
{
	return track(skb, TO_POD);
}
#endif

/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Services at pods' interfaces, for TCP and UDP: a new flow of a pod to a frontend goes to one of
 * its backends, and replies come from the frontend.  As in Calico, a packet whose flow has an entry
 * is not looked up among the Services; so a flow that began without the Service bypasses it later.
 * Without affinity, Maglev and fragments.  Part of conntrack.bpf.c.
 */
#pragma once

#define NAT_BLACKHOLE 0xffffffff
#define NAT_EXCLUDED 0x4
#define ROUTE_HOST 0x10
/* Bits of a frontend's key with a whole source address. */
#define FRONTEND_BITS (8 * (2 * sizeof(struct ct_addr) + 3))

struct nat_frontend_key {
	__u32 bits;
	struct ct_addr addr;
	__u16 port; /* host byte order */
	__u8 protocol;
	struct ct_addr saddr;
	__u8 pad;
} __attribute__((packed));

struct nat_frontend {
	__u32 id;
	__u32 count;
	__u32 local;
	__u32 affinity;
	__u32 flags;
};

struct nat_backend_key {
	__u32 id;
	__u32 ordinal;
};

struct nat_backend {
	struct ct_addr addr;
	__u16 port; /* host byte order */
	__u16 pad;
};

struct route_key {
	__u32 bits;
	struct ct_addr addr;
};

struct route {
	__u32 flags;
	struct ct_addr next_hop;
};

_Static_assert(sizeof(struct nat_frontend_key) == 8 + 2 * sizeof(struct ct_addr), "no padding");

/* Sizes and flags are the release's, set by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct nat_frontend_key);
	__type(value, struct nat_frontend);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cali_nat_fe SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct nat_backend_key);
	__type(value, struct nat_backend);
	__uint(max_entries, 1);
} cali_nat_be SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct route_key);
	__type(value, struct route);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} cali_routes SEC(".maps");

enum verdict { NO_SERVICE = -100 };

static __always_inline struct nat_frontend *frontend_at(const struct packet *p,
							const struct ct_addr *addr)
{
	struct nat_frontend_key key = {
		.bits = FRONTEND_BITS,
		.addr = *addr,
		.port = p->dport,
		.protocol = p->key.protocol,
		.saddr = p->saddr,
	};

	return bpf_map_lookup_elem(&cali_nat_fe, &key);
}

static __always_inline struct nat_frontend *frontend_of(const struct packet *p)
{
	struct nat_frontend *found = frontend_at(p, &p->daddr);
	struct route_key key = {.bits = 8 * sizeof(struct ct_addr), .addr = p->daddr};
	struct route *route;
	struct ct_addr any;

	if (found)
		return found;
	route = bpf_map_lookup_elem(&cali_routes, &key);
	if (!route || !(route->flags & ROUTE_HOST))
		return NULL;
	__builtin_memset(&any, 0xff, sizeof(any));
	return frontend_at(p, &any); /* a node port */
}

/* The end of the IP header. */
static __always_inline int payload(struct __sk_buff *skb)
{
#ifdef IPV6
	return ETH_HLEN + sizeof(struct ipv6hdr);
#else
	__u8 first = 0;

	bpf_skb_load_bytes(skb, ETH_HLEN, &first, 1);
	return ETH_HLEN + (first & 0xf) * 4;
#endif
}

/* Give the packet another source or destination. */
static __always_inline int rewrite(struct __sk_buff *skb, const struct packet *p, bool source,
				   struct ct_addr addr, __u16 port)
{
	bool tcp = p->key.protocol == IPPROTO_TCP;
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	int start = payload(skb), sum = start + (tcp ? 16 : 6);
	struct ct_addr before = source ? p->saddr : p->daddr;
	__be16 old = bpf_htons(source ? p->sport : p->dport), new = bpf_htons(port);
#ifdef IPV6
	int place = ETH_HLEN + (source ? 8 : 24);
	__s64 change = bpf_csum_diff(before.word, sizeof(before), addr.word, sizeof(addr), 0);

	bpf_l4_csum_replace(skb, sum, 0, change, flags | BPF_F_PSEUDO_HDR);
#else
	int place = ETH_HLEN + (source ? 12 : 16);

	bpf_l3_csum_replace(skb, ETH_HLEN + 10, before.word[0], addr.word[0], 4);
	bpf_l4_csum_replace(skb, sum, before.word[0], addr.word[0], flags | BPF_F_PSEUDO_HDR | 4);
#endif
	bpf_l4_csum_replace(skb, sum, old, new, flags | 2);
	if (bpf_skb_store_bytes(skb, place, &addr, sizeof(addr), 0) ||
	    bpf_skb_store_bytes(skb, start + (source ? 0 : 2), &new, sizeof(new), 0))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

/* What the packet is behind the frontend. */
static __always_inline void divert(struct packet *p, const struct ct_addr *addr, __u16 port)
{
	p->daddr = *addr;
	p->dport = port;
	order_sides(p);
}

/* A new flow of the pod: NO_SERVICE when it is to none. */
static __always_inline int to_service(struct __sk_buff *skb, const struct packet *p)
{
	struct nat_frontend *frontend = frontend_of(p);
	struct ct_value value = {};
	struct nat_backend_key key;
	struct nat_backend *backend;
	struct packet after = *p;

	if (!frontend || frontend->flags & NAT_EXCLUDED)
		return NO_SERVICE;
	if (frontend->count == 0 || frontend->count == NAT_BLACKHOLE)
		return TC_ACT_SHOT;
	key.id = frontend->id;
	key.ordinal = bpf_get_prandom_u32() % frontend->count;
	backend = bpf_map_lookup_elem(&cali_nat_be, &key);
	if (!backend)
		return TC_ACT_SHOT;
	divert(&after, &backend->addr, backend->port);
	/* The entry that tracks the flow is there before the one that points at it. */
	fill_new(&value, &after);
	value.type = CT_NAT_REV;
	value.orig_addr = p->daddr;
	value.orig_port = p->dport;
	note_packet(skb, &value, &after, FROM_POD);
	if (bpf_map_update_elem(&conntrack, &after.key, &value, BPF_ANY))
		return drop(DROPPED_CREATE_FAILED);
	__builtin_memset(&value, 0, sizeof(value));
	value.created = first_time();
	value.last_seen = bpf_ktime_get_ns();
	value.type = CT_NAT_FWD;
	__builtin_memcpy((char *)&value + 24, &after.key, sizeof(after.key));
	if (bpf_map_update_elem(&conntrack, &p->key, &value, BPF_ANY))
		return drop(DROPPED_CREATE_FAILED);
	return rewrite(skb, p, false, after.daddr, after.dport);
}

/* A packet to a frontend by its flow's entry: NO_SERVICE when that leads nowhere any more. */
static __always_inline int along(struct __sk_buff *skb, const struct packet *p,
				 struct ct_value *forward, bool opens)
{
	struct packet after = *p;
	struct ct_value *reverse;
	struct ct_key key;
	bool from_a;

	__builtin_memcpy(&key, (char *)forward + 24, sizeof(key));
	reverse = bpf_map_lookup_elem(&conntrack, &key);
	if (!reverse || reverse->type != CT_NAT_REV || (opens && closed(reverse)))
		return NO_SERVICE;
	from_a = !(reverse->flags_high & FLAG_HIGH_B_TO_A);
	divert(&after, from_a ? &key.addr_b : &key.addr_a, from_a ? key.port_b : key.port_a);
	forward->last_seen = bpf_ktime_get_ns();
	note_packet(skb, reverse, &after, FROM_POD);
	return rewrite(skb, p, false, after.daddr, after.dport);
}

/* A packet to the pod: a backend's reply comes from the frontend. */
static __always_inline int back(struct __sk_buff *skb, const struct packet *p,
				const struct ct_value *reverse)
{
	bool by_a = !(reverse->flags_high & FLAG_HIGH_B_TO_A);

	if (reverse->type != CT_NAT_REV || p->from_a == by_a)
		return TC_ACT_UNSPEC;
	return rewrite(skb, p, true, reverse->orig_addr, reverse->orig_port);
}

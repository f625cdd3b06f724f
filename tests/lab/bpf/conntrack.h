/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Calico's conntrack entry of IPv4, or of IPv6 with the macro IPV6. */
#pragma once

#include <linux/types.h>

#ifdef IPV6
#define ADDR_WORDS 4
#else
#define ADDR_WORDS 1
#endif

struct ct_addr {
	__u32 word[ADDR_WORDS]; /* network byte order */
};

struct ct_key {
	__u32 protocol;
	struct ct_addr addr_a;
	struct ct_addr addr_b;
	__u16 port_a; /* host byte order; 0 unless TCP or UDP */
	__u16 port_b;
};

enum ct_type { CT_NORMAL = 0, CT_NAT_FWD = 1, CT_NAT_REV = 2 };

/* Bits of ct_leg.bits. */
#define LEG_SYN_SEEN (1u << 0)
#define LEG_ACK_SEEN (1u << 1)
#define LEG_FIN_SEEN (1u << 2)
#define LEG_RST_SEEN (1u << 3)
#define LEG_APPROVED (1u << 4)
#define LEG_OPENER (1u << 5)

/* Bit of ct_value.flags_high: the originator is side B. */
#define FLAG_HIGH_B_TO_A (1u << 0)

struct ct_leg {
	__u64 bytes;   /* 0 before release 3.30 */
	__u32 packets; /* 0 before release 3.30 */
	__u32 seqno;   /* of the SYN, as on the wire */
	__u32 bits;
	__u32 ifindex; /* 0: not known */
};

struct ct_value {
	__u64 created;	 /* CLOCK_MONOTONIC, ns; from release 3.30 on the last RST, or 0 */
	__u64 last_seen; /* CLOCK_MONOTONIC, ns */
	__u8 type;
	__u8 flags_low; /* flag bits 0 to 7 */
	__u8 pad[5];
	__u8 flags_high; /* flag bits 8 to 15 */
	struct ct_leg a_to_b;
	struct ct_leg b_to_a;
	struct ct_addr tunnel_addr;
	struct ct_addr orig_addr; /* destination of the first packet */
	__u16 orig_port;	  /* its port, host byte order */
	__u16 orig_sport;
	struct ct_addr orig_saddr;
#ifdef IPV6
	__u32 pad_end;
#endif
};

#ifdef IPV6
_Static_assert(sizeof(struct ct_key) == 40, "Calico's key has 40 bytes");
_Static_assert(sizeof(struct ct_value) == 128, "Calico's value has 128 bytes");
_Static_assert(__builtin_offsetof(struct ct_value, orig_port) == 104, "original port at 104");
#else
_Static_assert(sizeof(struct ct_key) == 16, "Calico's key has 16 bytes");
_Static_assert(sizeof(struct ct_value) == 88, "Calico's value has 88 bytes");
_Static_assert(__builtin_offsetof(struct ct_value, orig_port) == 80, "original port at 80");
#endif
_Static_assert(__builtin_offsetof(struct ct_value, flags_high) == 23, "high flags at 23");
_Static_assert(__builtin_offsetof(struct ct_value, a_to_b) == 24, "first leg at 24");

/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fills and reads a pinned conntrack map through libbpf, so that the lab does
 * not look at maps through the code it tests.  Needs kernel 5.6 (batches).
 *
 *   ctmap fill PIN COUNT   add COUNT entries between addresses of 198.18.0.0/15
 *   ctmap dump PIN         write 16-byte key and 88-byte value of each entry
 *   ctmap count PIN        print the number of entries
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conntrack.h"

#define BATCH 4096
/* A batch holds whole hash buckets: grow when one is larger than the buffer. */
#define MAX_BATCH (1u << 20)
#define SECOND 1000000000ull
#define NET 0xc6120000u /* 198.18.0.0/15, for benchmarks (RFC 2544) */

static void fail(const char *what)
{
	fprintf(stderr, "ctmap: %s: %s\n", what, strerror(errno));
	exit(1);
}

static __u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

/* Client i opens to one of 256 servers; (client address, port) is unique. */
static void make_key(__u32 i, struct ct_key *key, struct ct_value *value)
{
	__u32 client = htonl(NET + 0x100 + i / 32768);
	__u32 server = htonl(NET + i % 256);
	__u16 sport = 32768 + i % 32768;
	int udp = i % 10 < 3;
	__u16 dport = udp ? 53 : 443;
	int client_is_a = client < server;

	key->protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
	key->addr_a = client_is_a ? client : server;
	key->addr_b = client_is_a ? server : client;
	key->port_a = client_is_a ? sport : dport;
	key->port_b = client_is_a ? dport : sport;
	if (!client_is_a)
		value->flags_high = FLAG_HIGH_B_TO_A;
	value->orig_addr = server;
	value->orig_port = dport;
	value->orig_sport = sport;
	value->orig_saddr = client;
}

/* Seen in the last 10 s (UDP) or 5 min (established TCP): far from expiry. */
static void make_entry(__u32 i, __u64 now, struct ct_key *key, struct ct_value *value)
{
	struct ct_leg *opener, *other;
	__u64 age;

	memset(value, 0, sizeof(*value));
	make_key(i, key, value);
	opener = value->flags_high ? &value->b_to_a : &value->a_to_b;
	other = value->flags_high ? &value->a_to_b : &value->b_to_a;
	opener->bits = LEG_OPENER | LEG_APPROVED;
	other->bits = LEG_APPROVED;
	age = i * 7919ull % (10 * SECOND);
	if (key->protocol == IPPROTO_TCP) {
		age = i * 7919ull * 997 % (300 * SECOND);
		opener->bits |= LEG_SYN_SEEN | LEG_ACK_SEEN;
		other->bits |= LEG_SYN_SEEN | LEG_ACK_SEEN;
		opener->seqno = htonl(i * 2654435761u);
		other->seqno = htonl(i * 2246822519u);
	}
	value->type = CT_NORMAL;
	value->last_seen = now > age ? now - age : now;
	value->created = value->last_seen > SECOND ? value->last_seen - SECOND : 1;
}

static void fill(int fd, __u32 count)
{
	struct ct_key *keys = calloc(BATCH, sizeof(*keys));
	struct ct_value *values = calloc(BATCH, sizeof(*values));
	__u64 now = monotonic_ns();
	__u32 i, n;

	for (i = 0; i < count; i += n) {
		__u32 wanted = count - i < BATCH ? count - i : BATCH;

		for (n = 0; n < wanted; n++)
			make_entry(i + n, now, &keys[n], &values[n]);
		if (bpf_map_update_batch(fd, keys, values, &n, NULL))
			fail(errno == E2BIG ? "the map is full" : "filling the map");
	}
	free(keys);
	free(values);
}

static void write_records(const struct ct_key *keys, const struct ct_value *values, __u32 count)
{
	for (__u32 i = 0; i < count; i++)
		if (fwrite(&keys[i], sizeof(*keys), 1, stdout) != 1 ||
		    fwrite(&values[i], sizeof(*values), 1, stdout) != 1)
			fail("writing the dump");
}

static __u64 read_all(int fd, int dump)
{
	__u32 size = BATCH, cursor[4], count;
	struct ct_value *values = NULL;
	struct ct_key *keys = NULL;
	__u64 total = 0;
	int first = 1, last = 0, error;

	do {
		keys = realloc(keys, size * sizeof(*keys));
		values = realloc(values, size * sizeof(*values));
		count = size;
		error = bpf_map_lookup_batch(fd, first ? NULL : cursor, cursor, keys, values,
					     &count, NULL);
		if (error && errno == ENOSPC && size < MAX_BATCH) {
			size *= 2;
			continue;
		}
		last = error && errno == ENOENT;
		if (error && !last)
			fail("reading the map");
		first = 0;
		total += count;
		if (dump)
			write_records(keys, values, count);
	} while (!last);
	free(keys);
	free(values);
	return total;
}

static int open_pin(const char *path)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		fail(path);
	if (bpf_obj_get_info_by_fd(fd, &info, &length))
		fail("reading the map's parameters");
	if (info.key_size != sizeof(struct ct_key) || info.value_size != sizeof(struct ct_value)) {
		fprintf(stderr, "ctmap: %s has keys of %u and values of %u bytes, not 16 and 88\n",
			path, info.key_size, info.value_size);
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "fill"))
		fill(open_pin(argv[2]), strtoul(argv[3], NULL, 10));
	else if (argc == 3 && !strcmp(argv[1], "dump"))
		read_all(open_pin(argv[2]), 1);
	else if (argc == 3 && !strcmp(argv[1], "count"))
		printf("%llu\n", (unsigned long long)read_all(open_pin(argv[2]), 0));
	else
		return fprintf(stderr, "usage: ctmap fill PIN COUNT | dump PIN | count PIN\n"), 2;
	return fflush(stdout) ? 1 : 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fills and reads a conntrack map through libbpf, so that the lab does not
 * look at maps through the code it tests.  Needs kernel 5.6 (batches).
 * MAP is the path of a pin or id:NUMBER.
 *
 *   ctmap fill MAP COUNT FIRST AGE created|rst plain|service
 *              add COUNT entries of made-up flows from number FIRST on, last seen
 *              AGE ns ago (-1: each at another time, none near its expiry)
 *   ctmap dump MAP    write key and value of each entry; the map's parameters to stderr
 *   ctmap count MAP   print the number of entries
 */
#include "entries.h"

#define BATCH 4096
/* A batch holds whole hash buckets: grow when one is larger than the buffer. */
#define MAX_BATCH (1u << 20)

struct wish {
	__u32 count, first;
	long long age;
	int created, service;
	__u64 now;
};

/* Seen in the last 10 s (UDP) or 5 min (established TCP): far from expiry. */
static void set_times(const struct wish *wish, __u32 i, struct flow *flow)
{
	__u64 age = wish->age;

	if (wish->age < 0)
		age = flow->protocol == IPPROTO_TCP ? i * 7919ull * 997 % (300 * SECOND)
						    : i * 7919ull % (10 * SECOND);
	flow->last_seen = wish->now > age ? wish->now - age : 1;
	if (wish->created)
		flow->first = flow->last_seen > SECOND ? flow->last_seen - SECOND : 1;
}

static void make_plain(const struct wish *wish, const struct layout *at, __u32 i, __u8 *key,
		       __u8 *value)
{
	struct flow flow;

	make_flow(at, i, &flow);
	set_times(wish, i, &flow);
	encode_key(at, &flow, key);
	encode_value(at, &flow, value);
}

/* Two entries of a client's flow to a service: odd ones point to the even ones before them. */
static void make_service(const struct wish *wish, const struct layout *at, __u32 i, __u8 *key,
			 __u8 *value)
{
	struct flow front, back;
	__u8 reverse_key[MAX_KEY];

	make_flow(at, i / 2, &front);
	set_times(wish, i / 2, &front);
	back = front;
	address(at, 0x100 + i / 2 % 256, back.server);
	back.dport = 8080;
	encode_key(at, &back, reverse_key);
	if (i % 2) {
		encode_key(at, &front, key);
		memset(value, 0, at->value);
		memcpy(value + AT_FIRST, &front.first, 8);
		memcpy(value + AT_LAST_SEEN, &front.last_seen, 8);
		value[AT_TYPE] = CT_NAT_FWD;
		memcpy(value + AT_LEGS, reverse_key, at->key);
		return;
	}
	memcpy(key, reverse_key, at->key);
	encode_value(at, &back, value);
	value[AT_TYPE] = CT_NAT_REV;
	memcpy(value + at->orig_addr, front.server, at->addr);
	memcpy(value + at->orig_port, &front.dport, 2);
}

static void fill(const struct table *table, const struct wish *wish)
{
	const struct layout *at = table->at;
	__u8 *keys = calloc(BATCH, at->key), *values = calloc(BATCH, at->value);
	__u32 i, n;

	for (i = 0; i < wish->count; i += n) {
		__u32 wanted = wish->count - i < BATCH ? wish->count - i : BATCH;

		for (n = 0; n < wanted; n++)
			(wish->service ? make_service : make_plain)(wish, at, wish->first + i + n,
								    keys + n * at->key,
								    values + n * at->value);
		if (bpf_map_update_batch(table->fd, keys, values, &n, NULL))
			fail(errno == E2BIG ? "the map is full" : "filling the map");
	}
	free(keys);
	free(values);
}

static void write_records(const struct layout *at, const __u8 *keys, const __u8 *values, __u32 count)
{
	for (__u32 i = 0; i < count; i++)
		if (fwrite(keys + i * at->key, at->key, 1, stdout) != 1 ||
		    fwrite(values + i * at->value, at->value, 1, stdout) != 1)
			fail("writing the dump");
}

static __u64 read_all(const struct table *table, int dump)
{
	__u32 size = BATCH, count;
	__u8 cursor[MAX_KEY], *keys = NULL, *values = NULL;
	__u64 total = 0;
	int first = 1, last = 0, error;

	do {
		keys = realloc(keys, size * table->at->key);
		values = realloc(values, size * table->at->value);
		count = size;
		error = bpf_map_lookup_batch(table->fd, first ? NULL : cursor, cursor, keys, values,
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
			write_records(table->at, keys, values, count);
	} while (!last);
	free(keys);
	free(values);
	return total;
}

static void dump(const struct table *table)
{
	const struct bpf_map_info *info = &table->info;
	__u64 began = monotonic_ns(), total = read_all(table, 1);

	fprintf(stderr,
		"{\"map_id\": %u, \"name\": \"%s\", \"key_size\": %u, \"value_size\": %u,"
		" \"max_entries\": %u, \"entries\": %llu, \"began_ns\": %llu, \"ended_ns\": %llu}\n",
		info->id, info->name, info->key_size, info->value_size, info->max_entries,
		(unsigned long long)total, (unsigned long long)began,
		(unsigned long long)monotonic_ns());
}

int main(int argc, char **argv)
{
	struct table table;

	if (argc < 3)
		return fprintf(stderr, "usage: ctmap fill MAP ... | dump MAP | count MAP\n"), 2;
	open_table(argv[2], &table);
	if (argc == 8 && !strcmp(argv[1], "fill"))
		fill(&table, &(struct wish){
				     .count = strtoul(argv[3], NULL, 10),
				     .first = strtoul(argv[4], NULL, 10),
				     .age = strtoll(argv[5], NULL, 10),
				     .created = !strcmp(argv[6], "created"),
				     .service = !strcmp(argv[7], "service"),
				     .now = monotonic_ns(),
			     });
	else if (!strcmp(argv[1], "dump"))
		dump(&table);
	else if (!strcmp(argv[1], "count"))
		printf("%llu\n", (unsigned long long)read_all(&table, 0));
	else
		return fprintf(stderr, "ctmap: wrong arguments\n"), 2;
	return fflush(stdout) ? 1 : 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plays the programs of a node whose conntrack map is replaced, and counts the
 * flows that they miss.
 *
 *   switch PIN RATE SHARDS FLOWS
 *
 * The map at PIN holds flows 0 to FLOWS - 1 of `ctmap fill`.  They are dealt
 * out to SHARDS, each of which has a program of its own that refers to the map.
 * RATE changes a second: one deletion, one new flow and two packets of flows
 * that have an entry, in turn.  On a line "switch" it opens the map that is at
 * PIN by then and waits until somebody carries new flows over to it, FOLLOWED
 * times.  Then the shards move to that map, one every PACE ns as felix moves
 * interfaces; right after its program was replaced, the flows of a shard that
 * the new map does not have are counted, and later on packets of flows without
 * an entry there, which make one as the first packet of a flow does.  On a line "end" all flows are looked up once more, and
 * the result is printed as JSON.
 */
#include <poll.h>
#include <unistd.h>

#include "entries.h"

#define TICK 1000000ull
#define PACE 20000000ull
#define FOLLOWED 3
#define AHEAD 0.005 /* seconds: the rate is never less than asked for */
#define MAX_DELETED (1u << 24)

struct slot {
	__u64 last_seen; /* 0: as the map was filled */
	__u32 flow;
	__u8 alive, missed;
};

struct shard {
	struct table *table;
	int program;
};

static struct table old_table, new_table;
static struct slot *slots, *newest;
static struct shard *shards;
static __u32 *deleted, deletions, flows, next_flow, shard_count, moved;
static __u64 changes, began, moving_since, moved_at, missing_at_switch, lost;
static double rate;

static __u32 chance(void)
{
	static __u64 state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 32) % flows;
}

static void encode(const struct slot *slot, __u64 last_seen, __u8 *key, __u8 *value)
{
	struct flow flow;

	make_flow(old_table.at, slot->flow, &flow);
	flow.first = flow.last_seen = last_seen;
	encode_key(old_table.at, &flow, key);
	encode_value(old_table.at, &flow, value);
}

/* What the map holds for a flow; 0 when it has no entry. */
static int look_up(const struct table *table, const struct slot *slot, __u64 *last_seen)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];

	encode(slot, 0, key, value);
	if (bpf_map_lookup_elem(table->fd, key, value))
		return 0;
	memcpy(last_seen, value + AT_LAST_SEEN, sizeof(*last_seen));
	return 1;
}

static void delete(struct slot *slot, int fd)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];

	encode(slot, 0, key, value);
	bpf_map_delete_elem(fd, key);
	slot->alive = 0;
	if (deletions < MAX_DELETED)
		deleted[deletions++] = slot->flow;
}

/* False when BPF_EXIST finds no entry. */
static int write_entry(struct slot *slot, int fd, __u64 flag)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];
	__u64 now = monotonic_ns();

	encode(slot, now, key, value);
	if (bpf_map_update_elem(fd, key, value, flag)) {
		if (errno != ENOENT)
			fail("writing an entry");
		return 0;
	}
	slot->last_seen = now;
	return 1;
}

static void packet(struct slot *slot, int fd)
{
	if (write_entry(slot, fd, BPF_EXIST))
		return;
	lost++;
	if (fd != new_table.fd) {
		fprintf(stderr, "a flow has no entry in the old map\n");
		exit(1);
	}
	write_entry(slot, fd, BPF_ANY); /* a pass may just have made one */
}

static void change(void)
{
	static struct slot *freed;
	__u32 place = chance();
	int step = changes++ % 4;

	if (step == 1 && freed) {
		freed->flow = next_flow++;
		freed->alive = 1;
		freed->missed = 0;
		write_entry(freed, shards[(freed - slots) % shard_count].table->fd, BPF_NOEXIST);
		newest = freed;
		freed = NULL;
		return;
	}
	while (!slots[place].alive)
		place = chance();
	if (step == 0) {
		delete(&slots[place], shards[place % shard_count].table->fd);
		freed = &slots[place];
	} else {
		packet(&slots[place], shards[place % shard_count].table->fd);
	}
}

static int refer_to(int map)
{
	struct bpf_insn code[] = {
		{ .code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{},
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "bench_switch", "GPL", code,
			       sizeof(code) / sizeof(*code), NULL);

	if (fd < 0)
		fail("loading a program");
	return fd;
}

static void move(__u32 shard)
{
	__u64 last_seen;
	int before = shards[shard].program;

	shards[shard].program = refer_to(new_table.fd);
	shards[shard].table = &new_table;
	close(before);
	for (__u32 place = shard; place < flows; place += shard_count) {
		slots[place].missed = slots[place].alive &&
				      !look_up(&new_table, &slots[place], &last_seen);
		missing_at_switch += slots[place].missed;
	}
}

/* Whether the new map has got flows that began after others had been found there. */
static int followed(void)
{
	static struct slot probe, *place;
	static int times;
	__u64 last_seen;

	if (place && look_up(&new_table, &probe, &last_seen)) {
		place = NULL;
		times++;
	}
	/* One that was deleted meanwhile will never be found. */
	if (!place || !place->alive || place->flow != probe.flow)
		place = newest;
	if (place)
		probe = *place;
	return times == FOLLOWED;
}

/* One at most, so that changes go on in between. */
static void move_if_due(void)
{
	if (moved < shard_count && monotonic_ns() >= moving_since + moved * PACE) {
		move(moved++);
		moved_at = monotonic_ns();
	}
}

/* The first letter of a line on standard input, or 0. */
static int told(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	char line[64];

	if (poll(&in, 1, 0) <= 0)
		return 0;
	return read(0, line, sizeof(line)) > 0 ? line[0] : 'e';
}

static void play(const char *pin)
{
	struct timespec pause = { 0, TICK };
	int order;

	began = monotonic_ns();
	while ((order = told()) != 'e') {
		if (order == 's')
			open_table(pin, &new_table);
		if (new_table.fd && !moving_since && followed())
			moving_since = monotonic_ns();
		if (moving_since)
			move_if_due();
		while (changes < ((monotonic_ns() - began) / 1e9 + AHEAD) * rate)
			change();
		nanosleep(&pause, NULL);
	}
}

static int report(void)
{
	double seconds = (monotonic_ns() - began) / 1e9;
	__u64 missing = 0, still = 0, stale = 0, revived = 0, last_seen;

	for (__u32 place = 0; place < flows; place++) {
		struct slot *slot = &slots[place];

		if (!slot->alive)
			continue;
		if (!look_up(&new_table, slot, &last_seen)) {
			missing++;
			still += slot->missed;
		} else if (last_seen < slot->last_seen) {
			stale++;
		}
	}
	for (__u32 i = 0; i < deletions; i++)
		revived += look_up(&new_table, &(struct slot){ .flow = deleted[i] }, &last_seen);
	printf("{\"rate\": %.0f, \"switch_seconds\": %.3f, \"missing_at_switch\": %llu,"
	       " \"lost\": %llu, \"still_missing\": %llu, \"missing\": %llu, \"stale\": %llu, \"revived\": %llu}\n",
	       changes / seconds, (moved_at - moving_since) / 1e9, missing_at_switch, lost,
	       still, missing, stale, revived);
	return fflush(stdout) ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return fprintf(stderr, "usage: switch PIN RATE SHARDS FLOWS\n"), 2;
	rate = strtod(argv[2], NULL);
	shard_count = strtoul(argv[3], NULL, 10);
	flows = next_flow = strtoul(argv[4], NULL, 10);
	slots = calloc(flows, sizeof(*slots));
	shards = calloc(shard_count, sizeof(*shards));
	deleted = calloc(MAX_DELETED, sizeof(*deleted));
	if (!slots || !shards || !deleted)
		fail("memory");
	open_table(argv[1], &old_table);
	for (__u32 i = 0; i < flows; i++)
		slots[i] = (struct slot){ .flow = i, .alive = 1 };
	for (__u32 i = 0; i < shard_count; i++)
		shards[i] = (struct shard){ &old_table, refer_to(old_table.fd) };
	puts("ready");
	fflush(stdout);
	play(argv[1]);
	if (moved < shard_count)
		return fprintf(stderr, "ended before all shards had moved\n"), 1;
	return report();
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plays flows of its own on a conntrack map at a given rate until SIGTERM:
 * eight refreshes, a deletion and a new flow in turn.  A refresh needs the
 * entry, as a packet does.  Runs in the node's network namespace.
 *
 *   writer MAP|INTERFACE RATE FLOWS FAMILY created|rst FIRST DIRECTORY
 *
 * FIRST is the number of the first flow.  INTERFACE (interface:NAME): the map to which its programs refer, looked up
 * again when they are replaced.  DIRECTORY gets status.json, deleted
 * (u64 time and key of each deletion) and, at the end, expected (key and
 * value of each entry that must be there).
 */
#include <signal.h>
#include <sys/stat.h>

#include "attached.h"

#define PAUSE 1000000ull
#define AHEAD 0.01 /* seconds: the rate is never less than asked for */
#define REPORT_EVERY (SECOND / 4)

struct slot {
	__u32 flow;
	__u32 alive;
	__u64 first, last_seen;
};

struct counts {
	__u64 refreshed, created, deleted, missed, delete_missed, failed, switches;
};

static struct {
	struct table table;
	const char *directory, *interface;
	__u32 rate, flows, next_flow, program;
	int family, created;
	struct slot *slots;
	struct counts counts;
	__u64 started, operations;
	FILE *deleted;
} me;

static volatile sig_atomic_t ended;

static void end(int number)
{
	ended = 1;
}

static __u32 chance(__u32 below)
{
	static __u64 state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 32) % below;
}

static void encode(const struct slot *slot, __u64 last_seen, __u8 *key, __u8 *value)
{
	struct flow flow;

	make_flow(me.table.at, slot->flow, &flow);
	flow.first = slot->first;
	flow.last_seen = last_seen;
	encode_key(me.table.at, &flow, key);
	encode_value(me.table.at, &flow, value);
}

static void create(struct slot *slot)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];
	__u64 now = monotonic_ns();

	slot->flow = me.next_flow++;
	slot->first = me.created ? now : 0;
	slot->last_seen = now;
	encode(slot, now, key, value);
	slot->alive = !bpf_map_update_elem(me.table.fd, key, value, BPF_NOEXIST);
	if (slot->alive)
		me.counts.created++;
	else
		me.counts.failed++;
}

static void refresh(struct slot *slot)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];
	__u64 now = monotonic_ns();

	encode(slot, now, key, value);
	if (!bpf_map_update_elem(me.table.fd, key, value, BPF_EXIST)) {
		slot->last_seen = now;
		me.counts.refreshed++;
	} else if (errno == ENOENT) {
		me.counts.missed++;
	} else {
		me.counts.failed++;
	}
}

static void delete(struct slot *slot)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];
	__u64 when;

	encode(slot, 0, key, value);
	if (bpf_map_delete_elem(me.table.fd, key))
		me.counts.delete_missed++;
	else
		me.counts.deleted++;
	slot->alive = 0;
	when = monotonic_ns();
	if (fwrite(&when, sizeof(when), 1, me.deleted) != 1 ||
	    fwrite(key, me.table.at->key, 1, me.deleted) != 1)
		fail("writing the log of deletions");
}

static void operate(void)
{
	static struct slot *freed;
	struct slot *slot = &me.slots[chance(me.flows)];
	int step = me.operations++ % 10;

	if (step == 8 && slot->alive) {
		delete(slot);
		freed = slot;
	} else if (step == 9 && freed) {
		create(freed);
		freed = NULL;
	} else if (slot->alive) {
		refresh(slot);
	} else {
		create(slot);
	}
}

static void use_map(__u32 id)
{
	struct table next;
	char place[32];

	snprintf(place, sizeof(place), "id:%u", id);
	open_table(place, &next);
	if (me.table.fd > 0)
		close(me.table.fd);
	me.table = next;
}

/* Programs whose map cannot be found (they are just being replaced) change nothing. */
static void follow(void)
{
	__u32 program = attached_program(if_nametoindex(me.interface)), map;

	if (!program || program == me.program)
		return;
	map = conntrack_of(program, me.family, 1);
	if (!map)
		return;
	me.program = program;
	if (map == me.table.info.id)
		return;
	me.counts.switches += me.table.fd > 0;
	use_map(map);
}

static void path(const char *name, char *to, size_t size)
{
	snprintf(to, size, "%s/%s", me.directory, name);
}

static FILE *opened(const char *name)
{
	char file[4096];
	FILE *stream;

	path(name, file, sizeof(file));
	stream = fopen(file, "w");
	if (!stream)
		fail(file);
	return stream;
}

static void report(void)
{
	double seconds = (monotonic_ns() - me.started) / 1e9;
	const struct counts *n = &me.counts;
	__u64 updates = n->refreshed + n->created + n->deleted;
	char from[4096], to[4096];
	FILE *stream = opened("status.tmp");

	fprintf(stream,
		"{\"pid\": %d, \"map_id\": %u, \"switches\": %llu, \"seconds\": %.3f,"
		" \"updates\": %llu, \"rate\": %.0f, \"refreshed\": %llu, \"created\": %llu,"
		" \"deleted\": %llu, \"missed\": %llu, \"delete_missed\": %llu, \"failed\": %llu,"
		" \"next_flow\": %u}\n",
		getpid(), me.table.info.id, n->switches, seconds, updates,
		seconds > 0 ? updates / seconds : 0, n->refreshed, n->created, n->deleted,
		n->missed, n->delete_missed, n->failed, me.next_flow);
	path("status.tmp", from, sizeof(from));
	path("status.json", to, sizeof(to));
	if (fclose(stream) || fflush(me.deleted) || rename(from, to))
		fail("writing the status");
}

static void run(void)
{
	__u64 reported = 0, asked = 0, now;
	struct timespec pause = { 0, PAUSE };

	while (!ended) {
		now = monotonic_ns();
		if (me.interface && now - asked > 10 * PAUSE) {
			follow();
			asked = now;
		}
		/* What could not be done in time is made up for. */
		while (!ended && me.operations < ((now - me.started) / 1e9 + AHEAD) * me.rate)
			operate();
		if (now - reported > REPORT_EVERY) {
			report();
			reported = now;
		}
		nanosleep(&pause, NULL);
	}
}

static void write_expected(void)
{
	__u8 key[MAX_KEY], value[MAX_VALUE];
	FILE *stream = opened("expected");

	for (__u32 i = 0; i < me.flows; i++) {
		if (!me.slots[i].alive)
			continue;
		encode(&me.slots[i], me.slots[i].last_seen, key, value);
		if (fwrite(key, me.table.at->key, 1, stream) != 1 ||
		    fwrite(value, me.table.at->value, 1, stream) != 1)
			fail("writing what is expected");
	}
	if (fclose(stream))
		fail("writing what is expected");
}

int main(int argc, char **argv)
{
	if (argc != 8)
		return fprintf(stderr, "usage: writer MAP|interface:NAME RATE FLOWS FAMILY"
				       " created|rst FIRST DIRECTORY\n"), 2;
	me.rate = strtoul(argv[2], NULL, 10);
	me.flows = strtoul(argv[3], NULL, 10);
	me.family = atoi(argv[4]);
	me.created = !strcmp(argv[5], "created");
	me.next_flow = strtoul(argv[6], NULL, 10);
	me.directory = argv[7];
	me.slots = calloc(me.flows, sizeof(*me.slots));
	me.deleted = opened("deleted");
	if (!strncmp(argv[1], "interface:", 10)) {
		me.interface = argv[1] + 10;
		follow();
		if (!me.table.fd)
			return fprintf(stderr, "no program of %s refers to a conntrack map\n",
				       me.interface), 1;
	} else {
		open_table(argv[1], &me.table);
	}
	signal(SIGTERM, end);
	for (__u32 i = 0; i < me.flows; i++)
		create(&me.slots[i]);
	me.counts = (struct counts){};
	me.started = monotonic_ns();
	run();
	write_expected();
	report();
	return 0;
}

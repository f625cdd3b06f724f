/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plays flows of its own on a conntrack map at a given rate until SIGTERM:
 * eight refreshes, a deletion and a new flow in turn.  A refresh needs the
 * entry, as a packet does.  Runs in the node's network namespace.
 *
 *   writer MAP|INTERFACE RATE FLOWS FAMILY created|rst FIRST DIRECTORY
 *
 * FIRST is the number of the first flow.  INTERFACE (interface:NAME): the map
 * to which its programs refer, looked up again when they are replaced.
 * DIRECTORY gets status.json, deleted (u64 time and key of each deletion) and,
 * at the end, expected (key and value of each entry that must be there).
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "attached.h"

#define PAUSE 1000000ull
#define AHEAD 0.01 /* seconds: the rate is never less than asked for */
#define REPORT_EVERY (SECOND / 4)
#define BURST 500 /* operations between two looks at the programs, however late it is */

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
	__u32 rate, flows, next_flow, program, old_map;
	int family, created;
	struct slot *slots;
	struct counts counts;
	__u64 started, operations, loaded, switched, ended;
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

/* By how much the clock of programs' load times is ahead of the other one. */
static __u64 asleep_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * SECOND + now.tv_nsec - monotonic_ns();
}

/* When the first program that refers to the map was loaded, or 0. */
static __u64 first_loaded(__u32 map)
{
	__u64 ahead = asleep_ns(), first = 0;
	__u32 id = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		__u32 maps[64], length = sizeof(struct bpf_prog_info);
		struct bpf_prog_info about = { .nr_map_ids = 64,
					       .map_ids = (__u64)(unsigned long)maps };
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &about, &length))
			about.nr_map_ids = 0;
		close(fd);
		for (__u32 i = 0; i < about.nr_map_ids && i < 64; i++)
			if (maps[i] == map && (!first || about.load_time - ahead < first))
				first = about.load_time - ahead;
	}
	return first;
}

/* Remember when nobody has the old map any more. */
static void look_for_old_map(void)
{
	int fd;

	if (!me.old_map || me.ended)
		return;
	fd = bpf_map_get_fd_by_id(me.old_map);
	if (fd < 0)
		me.ended = monotonic_ns();
	else
		close(fd);
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
	if (me.table.fd > 0) {
		me.counts.switches++;
		me.switched = monotonic_ns();
		me.loaded = first_loaded(map);
		me.old_map = me.table.info.id;
		me.ended = 0;
	}
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
		" \"next_flow\": %u, \"loaded_ns\": %llu, \"switched_ns\": %llu,"
		" \"ended_ns\": %llu}\n",
		getpid(), me.table.info.id, n->switches, seconds, updates,
		seconds > 0 ? updates / seconds : 0, n->refreshed, n->created, n->deleted,
		n->missed, n->delete_missed, n->failed, me.next_flow, me.loaded, me.switched,
		me.ended);
	path("status.tmp", from, sizeof(from));
	path("status.json", to, sizeof(to));
	if (fclose(stream) || fflush(me.deleted) || rename(from, to))
		fail("writing the status");
}

static int behind(__u64 now)
{
	return me.operations < ((now - me.started) / 1e9 + AHEAD) * me.rate;
}

static void run(void)
{
	__u64 reported = 0, asked = 0, now;
	struct timespec pause = { 0, PAUSE };

	while (!ended) {
		now = monotonic_ns();
		if (me.interface && now - asked > 10 * PAUSE) {
			follow();
			look_for_old_map();
			asked = now;
		}
		/* What could not be done in time is made up for. */
		for (int done = 0; !ended && done < BURST && behind(now); done++)
			operate();
		if (now - reported > REPORT_EVERY) {
			report();
			reported = now;
		}
		if (!behind(now))
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
	/* Packets do not wait for processes. */
	setpriority(PRIO_PROCESS, 0, -15);
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

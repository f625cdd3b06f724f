/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ways to copy a map that the collection is compared with, on one thread
 * through libbpf, and what the benchmark needs to change entries.  Keys of 16
 * and values of 88 bytes (Calico's IPv4 conntrack).  Needs kernel 5.6.
 *
 *   copymap batch OLD NEW      batch reads and batch updates of 4096 entries
 *   copymap felix OLD NEW      as felix migrates a map since it reads by batch:
 *                              1024 entries a read, a table of the keys seen,
 *                              one update for each entry
 *   copymap felix-keys OLD NEW the same with next-key and look-up for each entry
 *   copymap touch MAP EVERY    set last_seen of every EVERY-th entry to now
 *
 * Prints seconds, entries and the process's peak resident memory as JSON.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conntrack.h"
#include "measure.h"

#define COPY_BATCH 4096
#define FELIX_BATCH 1024

typedef struct {
	struct ct_key *keys;
	struct ct_value *values;
	__u32 size;
	__u32 count;
	__u32 cursor[4];
	int begun;
	int ended;
} reader_t;

static void fail(const char *what)
{
	fprintf(stderr, "copymap: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *resized(void *old, size_t bytes)
{
	void *new = realloc(old, bytes);

	if (!new)
		fail("memory");
	return new;
}

static void resize_reader(reader_t *reader, __u32 size)
{
	reader->size = size;
	reader->keys = resized(reader->keys, size * sizeof(*reader->keys));
	reader->values = resized(reader->values, size * sizeof(*reader->values));
}

/* Fills the buffers; 0 at the end of the map. */
static __u32 read_batch(reader_t *reader, int fd)
{
	while (!reader->ended) {
		reader->count = reader->size;
		if (bpf_map_lookup_batch(fd, reader->begun ? reader->cursor : NULL, reader->cursor,
					 reader->keys, reader->values, &reader->count, NULL)) {
			if (errno == ENOSPC) { /* a bucket larger than the buffers */
				resize_reader(reader, reader->size * 2);
				continue;
			}
			if (errno != ENOENT)
				fail("reading a batch");
			reader->ended = 1;
		}
		reader->begun = 1;
		if (reader->count)
			return reader->count;
	}
	return 0;
}

static __u64 copy_batch(int old, int new)
{
	reader_t reader = {};
	__u64 total = 0;
	__u32 count;

	resize_reader(&reader, COPY_BATCH);
	for (; (count = read_batch(&reader, old)); total += count)
		if (bpf_map_update_batch(new, reader.keys, reader.values, &count, NULL))
			fail("writing a batch");
	return total;
}

/* Keys seen so far: open addressing, doubled when it is three quarters full. */
typedef struct {
	struct ct_key *keys;
	__u8 *used;
	__u64 room;
	__u64 held;
} seen_t;

static __u64 hash_key(const struct ct_key *key)
{
	__u64 words[2], hash;

	memcpy(words, key, sizeof(words));
	hash = (words[0] ^ (words[1] << 29 | words[1] >> 35)) * 0x9e3779b97f4a7c15ull;
	return (hash ^ hash >> 32) * 0xd6e8feb86659fd93ull;
}

static void grow(seen_t *seen);

/* Adds a key; 0 when it was there. */
static int remember(seen_t *seen, const struct ct_key *key)
{
	__u64 place;

	if (seen->held * 4 >= seen->room * 3)
		grow(seen);
	place = hash_key(key) & (seen->room - 1);
	for (; seen->used[place]; place = (place + 1) & (seen->room - 1))
		if (!memcmp(&seen->keys[place], key, sizeof(*key)))
			return 0;
	seen->keys[place] = *key;
	seen->used[place] = 1;
	seen->held++;
	return 1;
}

static void grow(seen_t *seen)
{
	seen_t larger = { .room = seen->room ? seen->room * 2 : 1024 };

	larger.keys = resized(NULL, larger.room * sizeof(*larger.keys));
	larger.used = calloc(larger.room, 1);
	if (!larger.used)
		fail("memory");
	for (__u64 i = 0; i < seen->room; i++)
		if (seen->used[i])
			remember(&larger, &seen->keys[i]);
	free(seen->keys);
	free(seen->used);
	*seen = larger;
}

static void update_unseen(seen_t *seen, int new, const struct ct_key *key,
			  const struct ct_value *value)
{
	if (remember(seen, key) && bpf_map_update_elem(new, key, value, BPF_ANY))
		fail("writing an entry");
}

static __u64 copy_felix(int old, int new)
{
	reader_t reader = {};
	seen_t seen = {};
	__u32 count;

	resize_reader(&reader, FELIX_BATCH);
	while ((count = read_batch(&reader, old)))
		for (__u32 i = 0; i < count; i++)
			update_unseen(&seen, new, &reader.keys[i], &reader.values[i]);
	return seen.held;
}

static __u64 copy_felix_keys(int old, int new)
{
	struct ct_key key, next;
	struct ct_value value;
	seen_t seen = {};
	void *previous = NULL;

	while (!bpf_map_get_next_key(old, previous, &next)) {
		key = next;
		previous = &key;
		if (!bpf_map_lookup_elem(old, &key, &value))
			update_unseen(&seen, new, &key, &value);
	}
	return seen.held;
}

static __u64 touch(int fd, __u32 every)
{
	reader_t reader = {};
	__u64 place = 0, touched = 0;
	__u32 count;

	resize_reader(&reader, COPY_BATCH);
	while ((count = read_batch(&reader, fd)))
		for (__u32 i = 0; i < count; i++) {
			if (place++ % every)
				continue;
			reader.values[i].last_seen = monotonic_ns();
			if (bpf_map_update_elem(fd, &reader.keys[i], &reader.values[i], BPF_EXIST))
				fail("changing an entry");
			touched++;
		}
	return touched;
}

static int open_pin(const char *path)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length))
		fail(path);
	if (info.key_size != sizeof(struct ct_key) || info.value_size != sizeof(struct ct_value)) {
		fprintf(stderr, "copymap: %s does not have keys of 16 and values of 88 bytes\n", path);
		exit(1);
	}
	return fd;
}

static const struct {
	const char *name;
	__u64 (*copy)(int old, int new);
} WAYS[] = {
	{ "batch", copy_batch },
	{ "felix", copy_felix },
	{ "felix-keys", copy_felix_keys },
};

int main(int argc, char **argv)
{
	__u64 began, entries;
	int old, new;

	if (argc != 4)
		return fprintf(stderr, "usage: copymap WAY OLD NEW | touch MAP EVERY\n"), 2;
	old = open_pin(argv[2]);
	if (!strcmp(argv[1], "touch")) {
		began = monotonic_ns();
		entries = touch(old, strtoul(argv[3], NULL, 10));
		return report(began, entries);
	}
	new = open_pin(argv[3]);
	for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]); i++) {
		if (strcmp(argv[1], WAYS[i].name))
			continue;
		began = monotonic_ns();
		entries = WAYS[i].copy(old, new);
		return report(began, entries);
	}
	fprintf(stderr, "copymap: there is no way %s\n", argv[1]);
	return 2;
}

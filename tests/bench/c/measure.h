/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the benchmark's programs share: the clock, and one line of JSON as result. */
#pragma once

#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline __u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* Peak resident memory of this program in KiB. Not ru_maxrss, which also
 * counts what the parent had in memory when it forked. */
static inline long peak_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[128];
	long kib = 0;

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib;
}

/* Prints the result of a run that ends now; the program's exit status. */
static inline int report(__u64 began, __u64 entries)
{
	double seconds = (monotonic_ns() - began) / 1e9;

	printf("{\"seconds\": %.6f, \"entries\": %llu, \"peak_kib\": %ld}\n", seconds,
	       (unsigned long long)entries, peak_kib());
	return fflush(stdout) ? 1 : 0;
}

static inline int by_size(const void *a, const void *b)
{
	__u64 left = *(const __u64 *)a, right = *(const __u64 *)b;

	return left < right ? -1 : left > right;
}

/* Prints p50, p99 and the greatest of the durations in ns. */
static inline int report_durations(__u64 *ns, size_t count, int realtime)
{
	if (!count)
		return fprintf(stderr, "no sample\n"), 1;
	qsort(ns, count, sizeof(*ns), by_size);
	printf("{\"samples\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, \"worst_us\": %.1f, "
	       "\"realtime\": %s}\n", count, ns[count / 2] / 1e3, ns[count * 99 / 100] / 1e3,
	       ns[count - 1] / 1e3, realtime ? "true" : "false");
	return fflush(stdout) ? 1 : 0;
}

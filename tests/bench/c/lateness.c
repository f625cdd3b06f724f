/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * lateness CPU: sleeps until the next half millisecond on that CPU, again and
 * again, and records by how much it wakes up late.  Ends when standard input
 * does, and prints the distribution as JSON.
 */
#include "probe.h"
#include "measure.h"

static __u64 late[MAX_SAMPLES];

static void sleep_until(__u64 ns)
{
	struct timespec then = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL))
		;
}

int main(int argc, char **argv)
{
	size_t count = 0;
	__u64 due, now;
	int realtime;

	if (argc != 2)
		return fprintf(stderr, "usage: lateness CPU\n"), 2;
	realtime = settle_on(atoi(argv[1]));
	begin();
	due = monotonic_ns();
	while (count < MAX_SAMPLES && (count % 16 || !told_to_stop())) {
		due += PERIOD_NS;
		sleep_until(due);
		now = monotonic_ns();
		late[count++] = now - due;
		if (now - due > PERIOD_NS) /* one delay counts once */
			due = now;
	}
	return report_durations(late, count, realtime);
}

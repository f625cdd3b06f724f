/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A thread that shall notice at once what keeps a CPU from it. */
#pragma once

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PERIOD_NS 500000
#define MAX_SAMPLES 1000000 /* 500 s */

/* Pins this process to a CPU and gives it real-time priority; 0 when that is refused. */
static inline int settle_on(int cpu)
{
	struct sched_param priority = { .sched_priority = 50 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("sched_setaffinity");
		exit(1);
	}
	mlockall(MCL_CURRENT | MCL_FUTURE); /* a page fault would count as lateness */
	return !sched_setscheduler(0, SCHED_FIFO, &priority);
}

/* Tells whoever waits that samples are being taken from now on. */
static inline void begin(void)
{
	puts("ready");
	fflush(stdout);
}

/* Whether standard input has something to read, or is closed. */
static inline int told_to_stop(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };

	return poll(&in, 1, 0) > 0;
}

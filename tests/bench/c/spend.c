/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * spend COMMAND...: runs a command with its standard output going to standard
 * error, and prints the seconds that it took and the peak resident memory of
 * the largest process in it as JSON.
 *
 * A small parent is the point: the peak that the kernel keeps of a process
 * begins with what its parent had in memory when it forked.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

int main(int argc, char **argv)
{
	struct rusage used;
	__u64 began = monotonic_ns();
	double seconds;
	int status;
	pid_t child;

	if (argc < 2)
		return fprintf(stderr, "usage: spend COMMAND...\n"), 2;
	child = fork();
	if (!child) {
		dup2(2, 1);
		execvp(argv[1], argv + 1);
		fprintf(stderr, "spend: %s: %s\n", argv[1], strerror(errno));
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return perror("spend"), 1;
	seconds = (monotonic_ns() - began) / 1e9;
	getrusage(RUSAGE_CHILDREN, &used); /* that of grandchildren too, once waited for */
	printf("{\"seconds\": %.6f, \"peak_kib\": %ld}\n", seconds, used.ru_maxrss);
	fflush(stdout);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

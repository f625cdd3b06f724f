/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * udprtt CPU: sends itself a UDP packet over loopback each half millisecond
 * from that CPU and records how long it takes to arrive.  Where the receive
 * packet steering of lo names another CPU, that is what its softirq takes.
 * Ends when standard input does, and prints the distribution as JSON.
 */
#include "probe.h"
#include "measure.h"
#include <arpa/inet.h>
#include <sys/socket.h>

static __u64 took[MAX_SAMPLES];

/* A socket connected to itself. */
static int own_socket(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 5 };
	socklen_t length = sizeof(here);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (void *)&here, length) ||
	    getsockname(fd, (void *)&here, &length) || connect(fd, (void *)&here, length) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		perror("udprtt: socket");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	int fd = own_socket(), realtime;
	size_t count = 0;
	__u64 sent;

	if (argc != 2)
		return fprintf(stderr, "usage: udprtt CPU\n"), 2;
	realtime = settle_on(atoi(argv[1]));
	begin();
	for (; count < MAX_SAMPLES && (count % 16 || !told_to_stop()); usleep(PERIOD_NS / 1000)) {
		sent = monotonic_ns();
		if (send(fd, &sent, sizeof(sent), 0) < 0 || recv(fd, &sent, sizeof(sent), 0) < 0) {
			perror("udprtt: a packet is lost");
			return 1;
		}
		took[count++] = monotonic_ns() - sent;
	}
	return report_durations(took, count, realtime);
}

/* SPDX-License-Identifier: MIT */
#ifndef CORE_LEASE_H
#define CORE_LEASE_H

#include <pthread.h>
#include <stdbool.h>

/* The assurance that nobody cuts a file short during a call that would make it grow again.
 *
 * write(2), pwrite(2) and copy_file_range(2) put the end of a file where they end: a file that was
 * truncated after the look at its size grows again, with a hole in it. Nothing in the kernel takes
 * a write "only inside the file". But a write lease (F_SETLEASE) is granted only while nobody
 * else has the file open, and then open(2) and truncate(2) of others wait until it is given back.
 * So it is held for the time of such a call; where it is refused, the caller must write in a way
 * that cannot grow the file (through the mapping).
 *
 * Setting and dropping one takes 0.5 us. It is refused for files that others have open, of other
 * owners (without CAP_LEASE), and on file systems that have none. What it costs others: an open(2)
 * in that moment waits for the call, or fails with EWOULDBLOCK if it is O_NONBLOCK.
 *
 * The process must ignore SIGIO.
 */
struct lease {
	int fd;
	bool fixed;   /* the file cannot grow, so no lease is needed: a block device */
	bool refused; /* guarded by lock: no use in trying again */
	int users;    /* guarded by lock */
	bool closed;  /* guarded by lock: our own truncation is under way */
	pthread_mutex_t lock;
	pthread_cond_t idle;
};

/* fd is borrowed. grows: false for a block device. */
void lease_init(struct lease *lease, int fd, bool grows);
void lease_destroy(struct lease *lease);

/* Whether nobody but lease_close() cuts the file until lease_leave(), which is due then. Any
 * thread, many at a time; never waits.
 */
bool lease_enter(struct lease *lease);
void lease_leave(struct lease *lease);

/* Keep everybody out, as before a truncation of our own; waits for those inside. */
void lease_close(struct lease *lease);
void lease_reopen(struct lease *lease);

#endif

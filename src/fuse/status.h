/* SPDX-License-Identifier: MIT */
#ifndef FUSE_STATUS_H
#define FUSE_STATUS_H

#include <sys/types.h>

/* How a mount ended, told to whoever unmounted it.
 *
 * Whoever waits is no child of the daemon, and the mount is gone by the time there is something
 * to tell. So the daemon listens on an abstract socket (it leaves no file behind) named after the
 * mount's device number; waiters connect while the mount is alive and stay in the backlog; at its
 * end the daemon answers them all. End of file without an answer means that it died.
 *
 * The kernel may give the number to the next mount while a daemon that has lost its own still
 * flushes, so the name ends with the time of the mount, and the youngest one is the mount's.
 */

/* For the daemon: a listening descriptor, or negative errno. */
int status_listen(dev_t device);

/* Tell everybody who waits at the descriptor, and close it. result: 0 or negative errno. */
void status_tell(int listener, int result);

/* For who unmounts. */
struct status_connection {
	int socket;
	int process; /* pidfd of the daemon */
};

/* The peer must run as owner, or as root. 0 or negative errno; *ret is for status_wait to close. */
int status_connect(dev_t device, uid_t owner, struct status_connection *ret);

/* Wait for the daemon's answer and for its end: 0, the negative errno that it told, or
 * -EOWNERDEAD when it died without one. -ETIMEDOUT when there is no answer yet after timeout_ms
 * (-1: wait for ever); only then the connection stays open, to be waited on again.
 */
int status_wait(struct status_connection *connection, int timeout_ms);

#endif

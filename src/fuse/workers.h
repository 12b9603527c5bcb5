/* SPDX-License-Identifier: MIT */
#ifndef FUSE_WORKERS_H
#define FUSE_WORKERS_H

#include <fuse_lowlevel.h>

/* The threads that take requests from /dev/fuse and answer them. Any of them takes any request. */
struct workers;

/* -ENOMEM. *ret is the caller's (workers_free). */
int workers_new(struct fuse_session *session, struct workers **ret);

/* Serve until the session is told to exit or the connection ends; the calling thread watches over
 * the workers, and a signal that interrupts it makes it look at the session. All of them have left
 * when this returns: 0, or negative errno when the connection failed.
 */
int workers_run(struct workers *workers);

/* Once workers_run() has returned. Takes NULL. */
void workers_free(struct workers *workers);

/* The calling worker is about to wait, for the disk or for other requests: let another one take
 * its place. Until its request is done; of no effect in other threads.
 */
void worker_will_wait(void);

#endif

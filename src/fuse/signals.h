/* SPDX-License-Identifier: MIT */
#ifndef FUSE_SIGNALS_H
#define FUSE_SIGNALS_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

/* Ends a session on SIGTERM, SIGINT or SIGHUP, from a thread of its own.
 *
 * First, while the workers still serve: sync what clients have dirtied in the kernel's page cache,
 * so that it arrives here, and detach the mount. If no file is open that has ended the session
 * already; if one is, the session is told to exit. A signal a second later, or more, skips the
 * first part; one right behind comes from senders that signal a process and its group.
 */
struct stopper {
	struct fuse_session *session;
	const char *mountpoint;
	dev_t device; /* of the mount; 0: not known, detach nothing */
	/* In a child; sync all that clients may dirty. False: something could not be reached. */
	bool (*sync)(void *context, int mount_fd);
	void (*quiesce)(void *context); /* called while the workers still serve */
	void *context;
	pthread_t loop;
	pthread_t thread;
	atomic_bool finished;
	bool unsynced; /* the sync was not, or not all, done; for whoever has called stopper_finish */
};

/* Whether the session's mount still exists, attached or not. Once it does not, its device number
 * can be another mount's.
 */
bool connection_alive(struct fuse_session *session);

/* Does nothing but interrupt a wait; stopper_start() installs that. */
#define SIGNAL_WAKE SIGUSR1

/* The signals that end a mount: SIGTERM, SIGINT, SIGHUP. */
void signals_ending(sigset_t *ret);

/* Block these signals in this thread and those that it starts from now on. */
void signals_block(void);

/* Start the thread; the caller is the one that will run the session's loop. */
int stopper_start(struct stopper *stopper);

/* The loop has returned: end the thread. */
void stopper_finish(struct stopper *stopper);

#endif

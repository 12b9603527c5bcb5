/* SPDX-License-Identifier: MIT */
#ifndef LAYOUT_SANDBOX_H
#define LAYOUT_SANDBOX_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* A process that may do nothing but compute and write to a pipe: for code that reads bytes from
 * strangers.
 *
 * It has no descriptors besides that pipe, cannot get any but memory of its own, cannot start
 * programs or processes, gain rights, send signals, or be traced; memory and processor time are
 * limited, and it dies with its parent. What is left to it is in the list of sandbox.c.
 */
struct sandbox_job {
	/* In the new process, with everything that the old one has: trusted. */
	int (*prepare)(void *context);
	/* Without all of that. result is what prepare() returned. */
	void (*work)(void *context, int result, FILE *out);
	void *context;
	uint64_t memory; /* bytes of private memory, beyond what there is already */
	unsigned cpu_seconds;
};

struct sandbox {
	pid_t pid;
	FILE *in; /* what work() writes; the reader's */
};

enum sandbox_end {
	SANDBOX_DONE,
	SANDBOX_CRASHED,
	SANDBOX_UNREADABLE, /* SIGBUS: what was mapped has shrunk, or cannot be read */
	SANDBOX_TIMED_OUT,
	SANDBOX_REFUSED, /* nothing has run: its rights cannot be taken from it */
};

/* Starts a process: no other thread may be running. 0 or negative errno. */
int sandbox_start(const struct sandbox_job *job, struct sandbox *ret);

/* Ends it, if it has not ended yet, and says how it did; *ret_signal is what killed it, or 0. */
enum sandbox_end sandbox_stop(struct sandbox *sandbox, int *ret_signal);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What the parts of a client share; client.c says what it is.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "soak.h"

/* --- client.c
 * -----------------------------------------------------------------------------------
 */

extern int self;
extern struct client *me;
extern struct slice *own[SLICES]; /* written by this client */
extern int own_count;

/* --- hands.c: open files
 * ------------------------------------------------------------------------
 */

struct hand {
	const struct slice *slice; /* NULL: free */
	int flags;
	int fd;
	uint8_t *map;    /* shared, of all of the slice, or NULL */
	uint64_t moment; /* when it was opened */
};

void path_of(const struct slice *slice, char *ret, size_t size);

/* One that was open, or a new one in place of another. */
struct hand *hand_get(const struct slice *slice, int flags);
void hand_drop(struct hand *hand);
void hands_drop(void);

/* false where the kernel has no shared mapping: while a direct writer of the slice is open, or was
 * a moment ago.
 */
bool hand_map(struct hand *hand);

/* memcpy; false after a SIGBUS. */
bool copy_guarded(uint8_t *target, const uint8_t *source, size_t length);

/* --- judge.c: choosing and judging
 * --------------------------------------------------------------
 */

/* Some slices are met more often, so that clients meet there. */
struct slice *some_own(void);
struct slice *some_slice(void);
size_t some_length(void);
uint64_t some_offset(uint64_t size);
size_t clip(const struct slice *slice, uint64_t offset, size_t length);

void count(enum kind kind, size_t length);

/* Whether a call that changes bytes may fail so, or be cut short (error 0). */
bool may_fail(const struct slice *slice, uint64_t offset, size_t length, uint64_t from, int error);

/* fsync fails as long as an image has lost any byte of the slice. */
bool may_fail_sync(const struct slice *slice, uint64_t from, int error);

/* A full disk is no reason to fail where the image has no hole. */
void check_hole(const struct slice *slice, uint64_t offset, size_t length, uint64_t from);

/* What is lost must not be read, and not be written, or the image would grow again. */
void refute_lost(const struct slice *slice, uint64_t offset, size_t length, uint64_t from);

/* The operation under way has failed, or was another client's who is dead: each of its bytes is old
 * or new, in the image and in the kernel's pages of the slice. When the trouble is over it is done
 * again, by a plain write.
 *
 * Whoever is unsettled leaves the model alone, so that who mends an image need not wait for it.
 */
void redo(void);

/* --- write.c: operations that change bytes
 * ------------------------------------------------------
 */

void op_write(void);
void op_write_only(void);
void op_write_direct(void);
void op_write_sync(void);
void op_store(void);
void op_allocate(void);
void op_copy(void);

#endif

/* SPDX-License-Identifier: MIT */
/* Pages that the kernel caches of slices that are meant to be uncached.
 *
 * A direct handle reads and writes past the page cache. But sendfile(2), splice(2) and private
 * mappings go through it even so, and leave their pages there, which no write through another alias
 * renews. So the nodes that such reads come for are noted, and a write to an alias is answered when
 * the pages of those that share an image with it are gone:
 *
 *     READ for the page cache    noted, before a byte is read
 *     WRITE                      bytes into the image; what was noted dropped; answer
 *
 * A READ that has begun before the write was noted by then: its page is locked in the kernel until
 * it is answered, and is dropped then. One that is noted later reads the new bytes.
 *
 *     none -> noted -> dropping -> none
 *                          |
 *                       noted again: may be of a page that the dropping has passed -> noted
 *
 * Pages are dropped by a thread, and the write waits for it. What the thread waits for is reads,
 * which wait for no other request.
 */
#include "fs.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

int stray_note(struct fs *fs, uint32_t node)
{
	struct node_state *state = &fs->states[node];
	int result = 0;

	pthread_mutex_lock(&fs->states_lock);
	if (state->stray == STRAY_NONE)
		result = vec_push(&fs->strays, node);
	if (result == 0 && (state->stray == STRAY_NONE || state->stray == STRAY_DROPPING)) {
		state->stray = state->stray == STRAY_NONE ? STRAY_NOTED : STRAY_NOTED_AGAIN;
		state->stray_number = ++fs->stray_notes;
		atomic_store(&fs->has_strays, true);
	}
	pthread_mutex_unlock(&fs->states_lock);
	return result;
}

/* What one thread drops. */
struct batch {
	struct fs *fs;
	VEC(uint32_t) nodes;
};

static void *drop(void *context)
{
	const struct batch *batch = context;

	for (size_t i = 0; i < batch->nodes.count; i++)
		(void)fuse_lowlevel_notify_inval_inode(batch->fs->session, batch->nodes.data[i], 0,
						       0);
	return NULL;
}

/* What was noted up to number and shares an image with the slice. *ret_others: somebody else is at
 * it. 0 or -ENOMEM.
 */
static int collect_locked(struct fs *fs, const struct slice *slice, uint64_t number,
			  struct batch *batch, bool *ret_others)
{
	batch->nodes.count = 0;
	*ret_others = false;
	if (vec_reserve(&batch->nodes, fs->strays.count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < fs->strays.count; i++) {
		uint32_t node = fs->strays.data[i];
		struct node_state *state = &fs->states[node];

		if (!slice_shares_image(slice, tree_slice(fs->tree, node)))
			continue;
		if (state->stray != STRAY_NOTED) {
			*ret_others = true;
		} else if (state->stray_number <= number) {
			state->stray = STRAY_DROPPING;
			batch->nodes.data[batch->nodes.count++] = node;
		}
	}
	return 0;
}

static void finish_locked(struct fs *fs, const struct batch *batch, bool dropped)
{
	size_t kept = 0;

	for (size_t i = 0; i < batch->nodes.count; i++) {
		struct node_state *state = &fs->states[batch->nodes.data[i]];

		state->stray = dropped && state->stray == STRAY_DROPPING ? STRAY_NONE : STRAY_NOTED;
	}
	for (size_t i = 0; i < fs->strays.count; i++)
		if (fs->states[fs->strays.data[i]].stray != STRAY_NONE)
			fs->strays.data[kept++] = fs->strays.data[i];
	fs->strays.count = kept;
	atomic_store(&fs->has_strays, kept > 0);
	fs->drops--;
	pthread_cond_broadcast(&fs->drops_done);
}

/* Without the lock for as long as it takes. 0 or -EAGAIN. */
static int drop_batch_locked(struct batch *batch)
{
	struct fs *fs = batch->fs;
	pthread_t thread;
	int result;

	fs->drops++;
	pthread_mutex_unlock(&fs->states_lock);
	result = pthread_create(&thread, NULL, drop, batch);
	if (result == 0)
		pthread_join(thread, NULL);
	else
		log_message(LOG_ERR, "no thread to drop cached pages: %s", strerror(result));
	pthread_mutex_lock(&fs->states_lock);
	finish_locked(fs, batch, result == 0);
	return -result;
}

void stray_drop(struct fs *fs, const struct slice *slice)
{
	struct batch batch = { .fs = fs };
	uint64_t number;
	bool others;

	if (!slice || !slice->alias)
		return;
	/* The bytes are in the image before the look at what was noted. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&fs->has_strays))
		return;
	pthread_mutex_lock(&fs->states_lock);
	number = fs->stray_notes;
	/* When stopping, no pages are worth a wait for a worker that may be gone. */
	while (!fs->stopping && collect_locked(fs, slice, number, &batch, &others) == 0) {
		if (batch.nodes.count == 0 && !others)
			break;
		if (batch.nodes.count == 0)
			pthread_cond_wait(&fs->drops_done, &fs->states_lock);
		else if (drop_batch_locked(&batch) < 0)
			break;
	}
	pthread_mutex_unlock(&fs->states_lock);
	free(batch.nodes.data);
}

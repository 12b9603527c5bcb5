/* SPDX-License-Identifier: MIT */
/* Pages that the kernel caches of slices that are meant to be uncached.
 *
 * A direct handle reads and writes past the page cache. But sendfile(2), splice(2) and private
 * mappings go through it even so, and leave their pages there, which no direct write renews:
 * neither one to the same slice (Linux before 6.6 leaves such pages alone, later ones drop them
 * only before the write) nor one through another alias. So the nodes that such reads come for are
 * noted, and a direct write is answered when those pages are gone that it may have made old:
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

static int note_locked(struct fs *fs, uint32_t node)
{
	struct node_state *state = &fs->states[node];
	int result = state->stray == STRAY_NONE ? vec_push(&fs->strays, node) : 0;

	if (result == 0 && (state->stray == STRAY_NONE || state->stray == STRAY_DROPPING)) {
		state->stray = state->stray == STRAY_NONE ? STRAY_NOTED : STRAY_NOTED_AGAIN;
		state->stray_number = ++fs->stray_notes;
		atomic_store(&fs->has_strays, true);
	}
	return result;
}

int stray_note(struct fs *fs, uint32_t node)
{
	struct node_state *state = &fs->states[node];
	bool uncached = slice_uncached(tree_slice(fs->tree, node));
	int result = 0;

	pthread_mutex_lock(&fs->states_lock);
	/* Else nobody writes past them: then only the next cached open must drop them. */
	if (uncached || state->direct > 0)
		result = note_locked(fs, node);
	if (!uncached) {
		state->filled = true;
		state->generation = 0;
	}
	pthread_mutex_unlock(&fs->states_lock);
	return result;
}

/* Whether a direct write to one node can make the other's pages old. Never those of a file with
 * cached handles, which must not be dropped: while a file has a direct writer it has none, and
 * aliases never do.
 */
static bool concerns(const struct fs *fs, uint32_t written, uint32_t noted)
{
	const struct slice *slice = tree_slice(fs->tree, written);
	const struct slice *other = tree_slice(fs->tree, noted);

	return written == noted ||
	       (slice->alias && other->alias && slice_shares_image(slice, other));
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

/* What was noted up to number and concerns a write to the node. *ret_others: somebody else is at
 * it. 0 or -ENOMEM.
 */
static int collect_locked(struct fs *fs, uint32_t written, uint64_t number, struct batch *batch,
			  bool *ret_others)
{
	batch->nodes.count = 0;
	*ret_others = false;
	if (vec_reserve(&batch->nodes, fs->strays.count) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < fs->strays.count; i++) {
		uint32_t node = fs->strays.data[i];
		struct node_state *state = &fs->states[node];

		if (!concerns(fs, written, node))
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

void stray_drop(struct fs *fs, uint32_t node)
{
	struct batch batch = { .fs = fs };
	uint64_t number;
	bool others;

	/* The bytes are in the image before the look at what was noted. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load(&fs->has_strays))
		return;
	pthread_mutex_lock(&fs->states_lock);
	number = fs->stray_notes;
	/* When stopping, no pages are worth a wait for a worker that may be gone. */
	worker_will_wait();
	while (!fs->stopping && collect_locked(fs, node, number, &batch, &others) == 0) {
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

/* SPDX-License-Identifier: MIT */
/* Pushing pages to those who read at random.
 *
 * The kernel asks for each page of a random read by itself, and reads ahead for nobody but
 * sequential readers. A request costs as much as to copy some ten pages. So whoever has asked for
 * enough small pieces of a slice gets with the next ones their neighbours put into the kernel's page
 * cache, where all of these are in memory. It costs at most about what the requests do; and what it
 * may waste of the page cache is a share of the memory that is left.
 *
 * The kernel takes a push for the truth, whatever its pages hold. So there is none while anybody can
 * change them through the mount, or has them dropped:
 *
 *     push_begin     none while a writer is open, pages are being dropped, or an open waits
 *     open           to write, or with old pages: waits for the push (open.c)
 *     push_around    lets the opens that wait go on, and only then the next push
 *
 * Changes by other programs show at the next open, whose drop comes after any push.
 *
 * A push waits for reads that are under way for its pages, which other workers serve: so few push at
 * the same time. Mostly it does not wait, and saying worker_will_wait() each time costs more than
 * to be found by the watch.
 */
#include "fs.h"

#include "available.h"
#include "cleanup.h"
#include "overflow.h"
#include "stats.h"

#include <fcntl.h>
#include <stdlib.h>

#define PUSH_SIZE (256UL << 10)

/* The kernel asks for more than this where it reads ahead. */
#define SMALL_READ (16UL << 10)

/* Push after as many small reads as there are pushes in the slice. After PUSHED_SHARES times that
 * many pushes its pages do not stay, or are not in memory: leave off for PAUSED_SHARES times that
 * many reads.
 */
#define READS_MIN 16
#define PUSHED_SHARES 2
#define PAUSED_SHARES 16

/* At the same time, of all slices. */
#define PUSHES_MAX 16

/* The memory that is left is so many times the slice. */
#define MEMORY_SHARE 4

/* Counts a small read. Returns the number of them from which on pages are pushed, or 0 when there have
 * not been that many.
 */
static int64_t many_reads(const struct slice *slice, struct node_state *state)
{
	int64_t reads = atomic_fetch_add_explicit(&state->scattered, 1, memory_order_relaxed) + 1;
	uint64_t size;
	int64_t enough;

	if (reads < READS_MIN || slice_size(slice, &size) < 0)
		return 0;
	enough = max_u64(size / PUSH_SIZE, READS_MIN);
	if (reads == enough && size > available_memory().left / MEMORY_SHARE) {
		atomic_store_explicit(&state->scattered, 0, memory_order_relaxed);
		return 0;
	}
	return reads >= enough ? enough : 0;
}

/* For a cached handle: while one is open, there is no direct one that writes. */
static bool begin_locked(struct fs *fs, struct node_state *state, int64_t enough)
{
	if (fs->pushes == PUSHES_MAX || state->pushing || state->opening || state->dropping ||
	    state->writers > 0)
		return false;
	state->pushing = true;
	fs->pushes++;
	if (++state->pushed == enough * PUSHED_SHARES) {
		state->pushed = 0;
		atomic_store_explicit(&state->scattered, -enough * PAUSED_SHARES,
				      memory_order_relaxed);
	}
	return true;
}

bool push_begin(struct fs *fs, const struct slice *slice, const struct handle *handle, size_t size,
		int flags)
{
	struct node_state *state = &fs->states[handle->node];
	int64_t enough;
	bool begun;

	if (size > SMALL_READ || handle->direct || (flags & O_DIRECT) || slice->tail ||
	    (slice->effects & POLICY_RANDOM) || fs->options->cache == CACHE_NONE)
		return false;
	enough = many_reads(slice, state);
	if (enough == 0)
		return false;
	pthread_mutex_lock(&fs->states_lock);
	begun = begin_locked(fs, state, enough);
	pthread_mutex_unlock(&fs->states_lock);
	return begun;
}

/* Returns the bytes that were pushed. */
static size_t push(struct fs *fs, const struct slice *slice, uint32_t node, uint64_t offset)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(0);
	/* Not on the stack, which RLIMIT_STACK may keep small. */
	_cleanup_(cleanup_free) char *bytes = malloc(PUSH_SIZE);

	if (!bytes || slice_read_cached(slice, offset, bytes, PUSH_SIZE, &pages.buf[0].size) < 0 ||
	    pages.buf[0].size == 0)
		return 0;
	pages.buf[0].mem = bytes;
	if (fuse_lowlevel_notify_store(fs->session, node, offset, &pages, 0) < 0)
		return 0;
	return pages.buf[0].size;
}

void push_around(struct fs *fs, const struct slice *slice, uint32_t node, uint64_t offset)
{
	struct node_state *state = &fs->states[node];
	struct waiting_open *waiting = NULL;
	size_t pushed = push(fs, slice, node, offset - offset % PUSH_SIZE);

	pthread_mutex_lock(&fs->states_lock);
	state->pushing = false;
	fs->pushes--;
	if (state->opening)
		waiting = waiting_take_locked(fs, node);
	pthread_mutex_unlock(&fs->states_lock);
	/* The next push may begin when these are counted. */
	if (waiting) {
		waiting_go_on(waiting);
		pthread_mutex_lock(&fs->states_lock);
		state->opening = false;
		pthread_mutex_unlock(&fs->states_lock);
	}
	stats_add(pushes, pushed > 0);
	stats_add(push_bytes, pushed);
}

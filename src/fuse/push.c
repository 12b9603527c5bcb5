/* SPDX-License-Identifier: MIT */
/* Pushing pages to those who read at random.
 *
 * The kernel asks for each page of a random read by itself, and reads ahead for nobody but
 * sequential readers. A request costs as much as to copy some ten pages. So whoever has asked for
 * enough small pieces of a slice gets with the next ones their neighbours, as far as the image has
 * them in memory, put into the kernel's page cache. It costs at most about what the requests do; and
 * what it may waste of the page cache is a share of the memory that is left.
 *
 * The kernel takes a push for the truth, whatever its pages hold. So there is none while anybody can
 * change them through the mount, or has them dropped:
 *
 *     push_begin     none while a writer is open, pages are being dropped, or an open waits
 *     open           to write, or with old pages: waits for the push (open.c)
 *     push_around    lets the opens that wait go on
 *
 * Changes by other programs show at the next open, whose drop comes after any push.
 */
#include "fs.h"

#include "available.h"
#include "overflow.h"
#include "stats.h"

#include <fcntl.h>

#define PUSH_SIZE (256UL << 10)

/* The kernel asks for more than this where it reads ahead. */
#define SMALL_READ (16UL << 10)

/* Push after as many small reads as there are pushes in the slice. After so many times that number
 * the pages do not stay, or do not come from memory: leave off for so many times.
 */
#define READS_MIN 16
#define SHARES_PUSHED 8
#define SHARES_PAUSED 64

/* The memory that is left is so many times the slice. */
#define MEMORY_SHARE 4

/* Counts the read. */
static bool is_one_of_many(const struct slice *slice, struct node_state *state)
{
	int64_t reads = atomic_fetch_add_explicit(&state->scattered, 1, memory_order_relaxed) + 1;
	uint64_t size;
	int64_t enough;

	if (reads < READS_MIN || slice_size(slice, &size) < 0)
		return false;
	enough = max_u64(size / PUSH_SIZE, READS_MIN);
	if (reads == enough && size > available_memory().left / MEMORY_SHARE)
		reads = 0;
	else if (reads >= enough * SHARES_PUSHED)
		reads = -enough * SHARES_PAUSED;
	else
		return reads >= enough;
	atomic_store_explicit(&state->scattered, reads, memory_order_relaxed);
	return false;
}

bool push_begin(struct fs *fs, const struct slice *slice, uint32_t node, size_t size,
		const struct fuse_file_info *info)
{
	struct node_state *state = &fs->states[node];
	bool may;

	if (size > SMALL_READ || (info->flags & O_DIRECT) || slice->tail || slice_uncached(slice) ||
	    (slice->effects & POLICY_RANDOM) || fs->options->cache == CACHE_NONE ||
	    !is_one_of_many(slice, state))
		return false;
	pthread_mutex_lock(&fs->states_lock);
	may = !state->pushing && !state->opening && !state->dropping && state->cached > 0 &&
	      state->writers == 0 && state->direct == 0;
	state->pushing |= may;
	pthread_mutex_unlock(&fs->states_lock);
	return may;
}

static void push(struct fs *fs, const struct slice *slice, uint32_t node, uint64_t offset)
{
	struct fuse_bufvec pages = FUSE_BUFVEC_INIT(0);
	char bytes[PUSH_SIZE];

	if (slice_read_cached(slice, offset, bytes, sizeof(bytes), &pages.buf[0].size) < 0 ||
	    pages.buf[0].size == 0)
		return;
	pages.buf[0].mem = bytes;
	if (fuse_lowlevel_notify_store(fs->session, node, offset, &pages, 0) < 0)
		return;
	stats_add(pushes, 1);
	stats_add(push_bytes, pages.buf[0].size);
}

void push_around(struct fs *fs, const struct slice *slice, uint32_t node, uint64_t offset)
{
	struct node_state *state = &fs->states[node];
	struct waiting_open *waiting = NULL;

	push(fs, slice, node, offset - offset % PUSH_SIZE);
	pthread_mutex_lock(&fs->states_lock);
	state->pushing = false;
	if (state->opening)
		waiting = waiting_take_locked(fs, node);
	state->opening = false;
	pthread_mutex_unlock(&fs->states_lock);
	waiting_go_on(waiting);
}

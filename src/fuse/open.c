/* SPDX-License-Identifier: MIT */
/* Opening and releasing files, and which handles go through the kernel's page cache.
 *
 * Two ways to the same bytes must never be mixed on one file: pages cached for one handle are not
 * updated by writes that another sends past the cache. (Linux before 6.6 leaves such pages alone;
 * later ones drop them before the write, so that a concurrent read can still bring them back.)
 *
 *     alias, or with drop-behind         direct, always
 *     while a direct writer is open      direct
 *     while no cached handle is open, and without writeback:
 *       write-only                       direct: one copy less, and writes as large as the caller's
 *       append to a slice with resize    direct: the kernel's idea of the end may be old
 *     else                               cached
 *
 * Pages that may be old are dropped before a cached open is answered (drop.c), but not while a
 * cached writer is open. They are old when the images' generation has moved since they were read,
 * or when a direct writer has been at work.
 */
#include "fs.h"

#include "overflow.h"
#include "stats.h"

#include <fcntl.h>

/* The pages that the kernel holds may differ from what the images hold now. */
static bool is_stale(const struct fs *fs, const struct node_state *state,
		     const struct handle *handle)
{
	if (!state->filled)
		return false;
	switch (fs->options->cache) {
	case CACHE_NONE:
		return true;
	case CACHE_ALWAYS:
		return state->generation == 0;
	default:
		return state->generation != handle->generation;
	}
}

/* Take the open to be answered later. NULL when out of memory. */
static struct waiting_open *make_waiting(fuse_req_t request, uint64_t index,
					 const struct handle *handle,
					 const struct fuse_file_info *info)
{
	struct waiting_open *waiting = malloc(sizeof(*waiting));

	if (waiting)
		*waiting = (struct waiting_open){
			.fs = request_fs(request),
			.request = request,
			.node = handle->node,
			.index = index,
			.info = *info,
		};
	return waiting;
}

static void count_direct_locked(struct node_state *state, struct handle *handle, int access)
{
	handle->direct = true;
	if (access == O_RDONLY)
		return;
	handle->counted_direct = true;
	state->direct++;
	state->generation = 0;
}

static void count_cached_locked(struct node_state *state, struct handle *handle, int access)
{
	handle->counted_cached = true;
	state->cached++;
	handle->counted_writer = access != O_RDONLY;
	state->writers += handle->counted_writer;
}

/* Decide how the handle goes about the page cache; see the top. 0 decided, 1 when the answer is
 * given later, or negative errno.
 */
static int choose_caching_locked(fuse_req_t request, const struct slice *slice, uint64_t index,
				 struct handle *handle, const struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	struct node_state *state = &fs->states[handle->node];
	int access = info->flags & O_ACCMODE;
	bool past = access == O_WRONLY || (slice->resize && (info->flags & O_APPEND));
	bool stale = is_stale(fs, state, handle);
	/* Nobody writes while pages are pushed, and what is pushed must not come after a drop. */
	bool waits = state->dropping || (state->pushing && (stale || access != O_RDONLY));
	struct waiting_open *waiting;
	int result;

	handle->losses = state->losses;
	if (slice_uncached(slice) || state->direct > 0 ||
	    (past && !fs->writeback && state->cached == 0 && !waits)) {
		count_direct_locked(state, handle, access);
		return 0;
	}
	if (!waits && (!stale || state->writers > 0)) {
		count_cached_locked(state, handle, access);
		if (!state->filled)
			state->generation = handle->generation;
		state->filled = true;
		return 0;
	}
	waiting = make_waiting(request, index, handle, info);
	if (!waiting)
		return -ENOMEM;
	if (waits) {
		state->opening |= state->pushing;
		waiting->next = fs->waiting;
		fs->waiting = waiting;
		return 1;
	}
	result = drop_start_locked(waiting);
	if (result < 0) {
		free(waiting);
		return result;
	}
	state->dropping = true;
	count_cached_locked(state, handle, access);
	return 1;
}

/* Answer an open whose handle is complete. */
static void reply_open(fuse_req_t request, uint64_t index, struct fuse_file_info *info)
{
	struct handle *handle = handle_get(&request_fs(request)->handles, index);

	info->fh = index;
	info->direct_io = handle->direct;
	info->keep_cache = !handle->direct; /* old pages are dropped by then, see drop.c */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 16)
	info->parallel_direct_writes = handle->direct && !handle->resize;
#endif
	atomic_store(&handle->opener, fuse_req_ctx(request)->pid + 1);
	count_reply(fuse_reply_open(request, info));
}

static void fail_open(fuse_req_t request, uint64_t index, int result)
{
	handle_close(&request_fs(request)->handles, index);
	reply_status(request, result);
}

/* Open node through the handle at index, and answer, now or later. */
static void open_slice(fuse_req_t request, uint32_t node, uint64_t index,
		       struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	const struct slice *slice = tree_slice(fs->tree, node);
	struct handle *handle = handle_get(&fs->handles, index);
	int result;

	if (!slice || ((info->flags & O_ACCMODE) != O_RDONLY && !slice->writable)) {
		fail_open(request, index, slice ? -EROFS : -EISDIR);
		return;
	}
	handle->node = node;
	handle->sync = info->flags & O_DSYNC;
	handle->resize = slice->resize;
	handle->generation = slice_generation(slice);
	handle->cursor = slice_error_sample(slice);
	fetch_start(fs, node);
	pthread_mutex_lock(&fs->states_lock);
	result = choose_caching_locked(request, slice, index, handle, info);
	pthread_mutex_unlock(&fs->states_lock);
	if (result < 0)
		fail_open(request, index, result);
	else if (result == 0)
		reply_open(request, index, info);
}

void open_again(struct waiting_open *waiting)
{
	open_slice(waiting->request, waiting->node, waiting->index, &waiting->info);
	free(waiting);
}

void open_done(struct waiting_open *waiting)
{
	reply_open(waiting->request, waiting->index, &waiting->info);
	free(waiting);
}

void on_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	uint64_t index;
	int result = handle_open(&fs->handles, &index);

	stats_add(opens, 1);
	if (result < 0) {
		reply_status(request, result);
		return;
	}
	if (!is_control(inode)) {
		open_slice(request, inode, index, info);
		return;
	}
	result = control_open(fs, request, inode, handle_get(&fs->handles, index));
	if (result < 0) {
		fail_open(request, index, result);
		return;
	}
	handle_get(&fs->handles, index)->direct = true;
	reply_open(request, index, info);
}

/* What slice_passed() leaves at the end of a stream. */
static void drop_rest(const struct slice *slice, uint64_t passed)
{
	uint64_t length = min_u64(passed, SLICE_BEHIND_MAX);

	slice_drop(slice, passed - length, length);
}

void on_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	struct handle *handle = request_handle(request, info);
	const struct slice *slice = request_slice(request, inode);
	uint64_t passed = atomic_load(&handle->passed);

	if (!is_control(inode)) {
		struct node_state *state = &fs->states[inode];

		pthread_mutex_lock(&fs->states_lock);
		state->cached -= handle->counted_cached;
		state->writers -= handle->counted_writer;
		state->direct -= handle->counted_direct;
		if (state->cached == 0) {
			state->pushed = 0;
			atomic_store_explicit(&state->scattered, 0, memory_order_relaxed);
		}
		pthread_mutex_unlock(&fs->states_lock);
	}
	handle_close(&fs->handles, info->fh);
	reply_status(request, 0);
	if (slice && (slice->effects & POLICY_DROP_BEHIND)) {
		drop_rest(slice, passed);
		/* What sendfile(2) and private mappings have left in the mount's page cache. */
		stray_drop(fs, inode);
	}
}

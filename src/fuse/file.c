/* SPDX-License-Identifier: MIT */
/* Calls on open files, and which of them go through the kernel's page cache.
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

#include "cleanup.h"
#include "overflow.h"
#include "stats.h"
#include "trim.h"

#include <fcntl.h>

static const struct slice *slice_of(fuse_req_t request, fuse_ino_t inode)
{
	return is_control(inode) ? NULL : tree_slice(request_fs(request)->tree, inode);
}

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
	struct waiting_open *waiting;
	int result;

	handle->losses = state->losses;
	if (slice_uncached(slice) || state->direct > 0 ||
	    (past && !fs->writeback && state->cached == 0 && !state->dropping)) {
		count_direct_locked(state, handle, access);
		return 0;
	}
	if (!state->dropping && (!is_stale(fs, state, handle) || state->writers > 0)) {
		count_cached_locked(state, handle, access);
		if (!state->filled)
			state->generation = handle->generation;
		state->filled = true;
		return 0;
	}
	waiting = make_waiting(request, index, handle, info);
	if (!waiting)
		return -ENOMEM;
	if (state->dropping) {
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

/* Every request through a handle comes by here: from the first one on it is in use. */
static struct handle *handle_of(fuse_req_t request, const struct fuse_file_info *info)
{
	return handle_use(&request_fs(request)->handles, info->fh);
}

/* Before the answer to a request: with it the handle may be somebody else's. */
static void note_passed(const struct slice *slice, struct handle *handle, uint64_t end)
{
	if (slice->effects & POLICY_DROP_BEHIND)
		atomic_store(&handle->passed, end);
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
	struct handle *handle = handle_of(request, info);
	const struct slice *slice = slice_of(request, inode);
	uint64_t passed = atomic_load(&handle->passed);

	if (!is_control(inode)) {
		pthread_mutex_lock(&fs->states_lock);
		fs->states[inode].cached -= handle->counted_cached;
		fs->states[inode].writers -= handle->counted_writer;
		fs->states[inode].direct -= handle->counted_direct;
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

/* What is too much for struct slice_ranges: through a buffer. */
static void read_by_copy(fuse_req_t request, const struct slice *slice, size_t size, off_t offset,
			 bool partial)
{
	_cleanup_(cleanup_free) char *buf = malloc(size);
	size_t got = 0;
	int result = buf ? slice_read(slice, offset, buf, size, partial, &got) : -ENOMEM;

	if (result < 0) {
		reply_status(request, result);
		return;
	}
	stats_add(read_bytes, got);
	count_reply(fuse_reply_buf(request, buf, got));
}

void on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
	     struct fuse_file_info *info)
{
	struct handle *handle = handle_of(request, info);
	const struct slice *slice = slice_of(request, inode);
	struct slice_ranges ranges;
	bool partial = handle->direct && info->lock_owner != 0;
	int result;

	if (!slice) {
		control_read(request, handle, size, offset);
		return;
	}
	stats_add(reads, 1);
	if (handle->direct && !partial) {
		result = stray_note(request_fs(request), inode);
		if (result < 0) {
			reply_status(request, result);
			return;
		}
	}
	/* The kernel takes a short answer to a read of its page cache for the end of the file; it
	 * asks again page by page after an error. A direct reader gets what there is, and the error
	 * next. Pages of a private mapping are read through direct handles, too: those reads have
	 * no owner.
	 */
	slice_advise(slice, offset, size);
	result = slice_read_map(slice, offset, size, partial, &ranges);
	if (result == -E2BIG) {
		note_passed(slice, handle, offset + size);
		read_by_copy(request, slice, size, offset, partial);
		slice_passed(slice, offset, size);
		return;
	}
	if (result < 0) {
		reply_status(request, result);
		return;
	}
	stats_add(read_bytes, ranges.size);
	note_passed(slice, handle, offset + ranges.size);
	/* The kernel copies out of the mapping. A page that has gone meanwhile fails the reply with
	 * EFAULT, and the request with EIO.
	 */
	if (ranges.count == 1)
		result = fuse_reply_buf(request, ranges.ranges[0].iov_base, ranges.size);
	else
		result = fuse_reply_iov(request, ranges.ranges, ranges.count);
	if (result == -EFAULT)
		stats_add_error(-EIO);
	count_reply(result);
	slice_ranges_taken(&ranges);
	slice_passed(slice, offset, ranges.size);
	trim_run();
}

/* Flush a range and take the errors that this handle has not seen. */
static int flush_for(struct fs *fs, const struct slice *slice, struct handle *handle,
		     uint64_t offset, uint64_t length)
{
	int result;
	int seen;

	worker_will_wait();
	result = slice_flush(slice, offset, length);
	pthread_mutex_lock(&fs->handles.lock);
	seen = slice_error_check(slice, &handle->cursor);
	pthread_mutex_unlock(&fs->handles.lock);
	return result ?: seen;
}

/* As flush_for() after a write of that range, which must still be there. */
static int sync_written(struct fs *fs, const struct slice *slice, struct handle *handle,
			uint64_t offset, uint64_t length)
{
	return flush_for(fs, slice, handle, offset, length)
		       ?: slice_check_held(slice, offset, length);
}

void on_write(fuse_req_t request, fuse_ino_t inode, const char *buf, size_t size, off_t offset,
	      struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	const struct slice *slice = slice_of(request, inode);
	/* The kernel's own writes come through any handle, which is not in use for that. */
	struct handle *handle = info->writepage ? handle_get(&fs->handles, info->fh)
						: handle_of(request, info);
	size_t written = 0;
	bool append;
	bool lost;
	int result = -EBADF;

	/* The flag as it is now, which may not be how the file was opened. */
	append = slice && slice->resize && handle->direct && (info->flags & O_APPEND);
	if (append)
		result = slice_append(slice, buf, size, &written);
	else if (slice && info->writepage)
		result = slice_write_pages(slice, offset, buf, size, &written);
	else if (slice)
		result = slice_write(slice, offset, buf, size, &written);
	stats_add(writes, 1);
	stats_add(write_bytes, written);
	if (written > 0) {
		note_passed(slice, handle, offset + written);
		/* With writeback the kernel says the times itself. */
		if (!info->writepage || !fs->writeback)
			attributes_touch(fs, inode);
		if (handle->direct && !info->writepage)
			stray_drop(fs, inode);
	}
	/* Past the page cache the kernel sends no FSYNC for these flags. */
	if (result == 0 && handle->direct && handle->sync)
		result = append ? flush_for(fs, slice, handle, 0, UINT64_MAX)
				: sync_written(fs, slice, handle, offset, written);
	lost = result < 0 && slice && info->writepage;
	if (lost)
		writeback_failed(fs, inode, offset + size, result);
	if (result < 0)
		reply_status(request, result);
	else
		count_reply(fuse_reply_write(request, written));
	if (lost)
		writeback_correct(fs, inode, offset + size);
	if (slice)
		slice_passed(slice, offset, written);
	trim_run();
}

void on_fsync(fuse_req_t request, fuse_ino_t inode, int datasync, struct fuse_file_info *info)
{
	const struct slice *slice = slice_of(request, inode);
	struct handle *handle = handle_of(request, info);
	uint64_t passed = atomic_load(&handle->passed);
	struct fs *fs = request_fs(request);
	int result = 0;

	stats_add(fsyncs, 1);
	if (slice) {
		writeback_told(fs, inode, handle);
		result = flush_for(fs, slice, handle, 0, UINT64_MAX);
	}
	/* What was written is gone where the image is too short for it now. With O_SYNC and O_DSYNC
	 * this comes after each write, which says no range, and must fail for its own bytes only.
	 */
	if (result == 0 && slice && slice->writable && !handle->sync)
		result = slice_check_held(slice, 0, UINT64_MAX);
	reply_status(request, result);
	if (slice)
		slice_drop(slice, 0, passed); /* all of it: nothing is dirty now */
}

/* There may be data anywhere. */
static int seek_anywhere(const struct slice *slice, uint64_t offset, int whence, uint64_t *ret)
{
	uint64_t size;
	int result = slice_size(slice, &size);

	if (result < 0)
		return result;
	if (offset >= size)
		return -ENXIO;
	*ret = whence == SEEK_DATA ? offset : size;
	return 0;
}

void on_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence,
	      struct fuse_file_info *info)
{
	const struct slice *slice = slice_of(request, inode);
	uint64_t found = 0;
	int result;

	handle_of(request, info);
	if (slice && writeback_may_be_dirty(request_fs(request), inode))
		result = seek_anywhere(slice, offset, whence, &found);
	else
		result = slice ? slice_seek(slice, offset, whence, &found) : -EINVAL;

	if (result < 0)
		reply_status(request, result);
	else
		count_reply(fuse_reply_lseek(request, found));
}

void on_fallocate(fuse_req_t request, fuse_ino_t inode, int mode, off_t offset, off_t length,
		  struct fuse_file_info *info)
{
	const struct slice *slice = slice_of(request, inode);
	struct handle *handle = handle_of(request, info);
	int result;

	worker_will_wait();
	result = slice ? slice_allocate(slice, mode, offset, length) : -EBADF;
	if (slice && handle->direct)
		stray_drop(request_fs(request), inode);
	if (result == 0)
		attributes_touch(request_fs(request), inode);
	if (result == 0 && handle->sync)
		result = sync_written(request_fs(request), slice, handle, offset, length);
	reply_status(request, result);
}

void on_copy_file_range(fuse_req_t request, fuse_ino_t source, off_t source_offset,
			struct fuse_file_info *source_info, fuse_ino_t target, off_t target_offset,
			struct fuse_file_info *target_info, size_t size, int flags)
{
	const struct slice *from = slice_of(request, source);
	const struct slice *to = slice_of(request, target);
	struct handle *handle = handle_of(request, target_info);
	size_t copied = 0;
	int result;

	worker_will_wait();
	if (!from || !to || flags)
		result = -EINVAL;
	else
		result = slice_copy(from, source_offset, to, target_offset, size, &copied);
	if (copied > 0) {
		attributes_touch(request_fs(request), target);
		if (handle->direct)
			stray_drop(request_fs(request), target);
	}
	/* These two requests carry no flags, and no FSYNC follows them. */
	if (result == 0 && handle->sync)
		result = sync_written(request_fs(request), to, handle, target_offset, copied);
	if (result < 0)
		reply_status(request, result);
	else
		count_reply(fuse_reply_write(request, copied));
	if (copied > 0) {
		slice_drop(from, source_offset, copied);
		slice_drop(to, target_offset, copied);
	}
}

/* SPDX-License-Identifier: MIT */
/* Calls on open files, and which of them go through the kernel's page cache.
 *
 * Two ways to the same bytes must never be mixed on one file: pages cached for one handle are not
 * updated by writes that another sends past the cache. (Linux before 6.6 leaves such pages alone;
 * later ones drop them before the write, so that a concurrent read can still bring them back.)
 *
 *     alias                              direct, always
 *     while a direct writer is open      direct
 *     while no cached handle is open:
 *       write-only                       direct: one copy less, and writes as large as the caller's
 *       append to a slice with resize    direct: the kernel's idea of the end may be old
 *     else                               cached
 *
 * A direct writer also marks what is left in the cache from before as stale, so that the next
 * cached open drops it.
 */
#include "fs.h"

#include "cleanup.h"
#include "stats.h"

#include <fcntl.h>

/* Ranges of one reply; writev(2) takes 1024, and one is the header's. */
#define RANGES_MAX 256

static const struct slice *slice_of(fuse_req_t request, fuse_ino_t inode)
{
	return is_control(inode) ? NULL : tree_slice(request_fs(request)->tree, inode);
}

static bool keep_cache(const struct fs *fs, const struct node_state *state,
		       const struct handle *handle)
{
	switch (fs->options->cache) {
	case CACHE_ALWAYS:
		return state->generation != 0;
	case CACHE_NONE:
		return false;
	default:
		return state->generation == handle->generation;
	}
}

/* Decide how the handle goes about the page cache; see the top. */
static void choose_caching(struct fs *fs, const struct slice *slice, struct handle *handle,
			   struct fuse_file_info *info)
{
	struct node_state *state = &fs->states[handle->node];
	int access = info->flags & O_ACCMODE;
	bool append = slice->resize && (info->flags & O_APPEND);

	pthread_mutex_lock(&fs->states_lock);
	handle->direct = slice->alias || state->direct > 0 ||
			 ((access == O_WRONLY || append) && state->cached == 0);
	if (handle->direct && access != O_RDONLY) {
		handle->counted_direct = true;
		state->direct++;
		state->generation = 0;
	} else if (!handle->direct) {
		handle->counted_cached = true;
		state->cached++;
		info->keep_cache = keep_cache(fs, state, handle);
	}
	pthread_mutex_unlock(&fs->states_lock);
	info->direct_io = handle->direct;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 16)
	info->parallel_direct_writes = handle->direct && !slice->resize;
#endif
}

/* The kernel has acted on the answer to this open: what it caches from now on is of the handle's
 * generation, and a later open may keep it. (At the open itself that would be too early: another
 * open could be told to keep pages that this one is still about to drop.)
 */
void handle_used(struct fs *fs, struct handle *handle)
{
	struct node_state *state = &fs->states[handle->node];

	if (atomic_load(&handle->opener) == 0 || atomic_exchange(&handle->opener, 0) == 0 ||
	    handle->direct)
		return;
	pthread_mutex_lock(&fs->states_lock);
	if (state->direct == 0)
		state->generation = handle->generation;
	pthread_mutex_unlock(&fs->states_lock);
}

static struct handle *handle_of(fuse_req_t request, const struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	struct handle *handle = handle_get(&fs->handles, info->fh);

	handle_used(fs, handle);
	return handle;
}

static int open_slice(struct fs *fs, uint32_t node, struct handle *handle,
		      struct fuse_file_info *info)
{
	const struct slice *slice = tree_slice(fs->tree, node);

	if (!slice)
		return -EISDIR;
	if ((info->flags & O_ACCMODE) != O_RDONLY && !slice->writable)
		return -EROFS;
	handle->node = node;
	handle->generation = slice_generation(slice);
	handle->cursor = slice_error_sample(slice);
	choose_caching(fs, slice, handle, info);
	return 0;
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
	if (is_control(inode)) {
		result = control_open(fs, request, inode, handle_get(&fs->handles, index));
		info->direct_io = 1;
	} else {
		result = open_slice(fs, inode, handle_get(&fs->handles, index), info);
	}
	if (result < 0) {
		handle_close(&fs->handles, index);
		reply_status(request, result);
		return;
	}
	info->fh = index;
	atomic_store(&handle_get(&fs->handles, index)->opener, fuse_req_ctx(request)->pid + 1);
	count_reply(fuse_reply_open(request, info));
}

void on_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	struct handle *handle = handle_of(request, info);

	if (!is_control(inode)) {
		pthread_mutex_lock(&fs->states_lock);
		fs->states[inode].cached -= handle->counted_cached;
		fs->states[inode].direct -= handle->counted_direct;
		pthread_mutex_unlock(&fs->states_lock);
	}
	handle_close(&fs->handles, info->fh);
	reply_status(request, 0);
}

/* For ranges too many for one reply, and nothing else: through a buffer. */
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
	struct iovec ranges[RANGES_MAX];
	int count = 0;
	size_t got = 0;
	int result;

	if (!slice) {
		control_read(request, handle, size, offset);
		return;
	}
	stats_add(reads, 1);
	/* The kernel takes a short answer to a cached read for the end of the file; it asks again
	 * page by page after an error. A direct reader gets what there is, and the error next.
	 */
	result = slice_read_map(slice, offset, size, handle->direct, ranges, RANGES_MAX, &count,
				&got);
	if (result == -E2BIG) {
		read_by_copy(request, slice, size, offset, handle->direct);
		return;
	}
	if (result < 0) {
		reply_status(request, result);
		return;
	}
	stats_add(read_bytes, got);
	/* The kernel copies out of the mapping. A page that has gone meanwhile fails the reply with
	 * EFAULT, and the request with EIO.
	 */
	if (count == 1)
		result = fuse_reply_buf(request, ranges[0].iov_base, ranges[0].iov_len);
	else
		result = fuse_reply_iov(request, ranges, count);
	if (result == -EFAULT)
		stats_add_error(-EIO);
	count_reply(result);
}

/* Flush a range and take the errors that this handle has not seen. */
static int flush_for(struct fs *fs, const struct slice *slice, struct handle *handle,
		     uint64_t offset, uint64_t length)
{
	int flushed = slice_flush(slice, offset, length);
	int seen;

	pthread_mutex_lock(&fs->handles.lock);
	seen = slice_error_check(slice, &handle->cursor);
	pthread_mutex_unlock(&fs->handles.lock);
	return flushed ?: seen;
}

void on_write(fuse_req_t request, fuse_ino_t inode, const char *buf, size_t size, off_t offset,
	      struct fuse_file_info *info)
{
	struct fs *fs = request_fs(request);
	const struct slice *slice = slice_of(request, inode);
	struct handle *handle = handle_of(request, info);
	size_t written = 0;
	bool append;
	int result = -EBADF;

	/* The flag as it is now, which may not be how the file was opened. */
	append = slice && slice->resize && handle->direct && (info->flags & O_APPEND);
	if (append)
		result = slice_append(slice, buf, size, &written);
	else if (slice)
		result = slice_write(slice, offset, buf, size, &written);
	stats_add(writes, 1);
	stats_add(write_bytes, written);
	if (written > 0)
		attributes_touch(fs, inode);
	/* Past the page cache the kernel sends no FSYNC for these flags. */
	if (result == 0 && handle->direct && (info->flags & O_DSYNC))
		result = flush_for(fs, slice, handle, append ? 0 : offset,
				   append ? UINT64_MAX : written);
	if (result < 0)
		reply_status(request, result);
	else
		count_reply(fuse_reply_write(request, written));
}

void on_fsync(fuse_req_t request, fuse_ino_t inode, int datasync, struct fuse_file_info *info)
{
	const struct slice *slice = slice_of(request, inode);
	int result = 0;

	stats_add(fsyncs, 1);
	if (slice)
		result = flush_for(request_fs(request), slice, handle_of(request, info), 0,
				   UINT64_MAX);
	reply_status(request, result);
}

void on_lseek(fuse_req_t request, fuse_ino_t inode, off_t offset, int whence,
	      struct fuse_file_info *info)
{
	const struct slice *slice = slice_of(request, inode);
	uint64_t found = 0;
	int result;

	handle_of(request, info);
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
	int result;

	handle_of(request, info);
	result = slice ? slice_allocate(slice, mode, offset, length) : -EBADF;

	if (result == 0)
		attributes_touch(request_fs(request), inode);
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

	if (!from || !to || flags)
		result = -EINVAL;
	else
		result = slice_copy(from, source_offset, to, target_offset, size, &copied);
	if (copied > 0)
		attributes_touch(request_fs(request), target);
	if (result == 0 && (target_info->flags & O_DSYNC))
		result = flush_for(request_fs(request), to, handle, target_offset, copied);
	if (result < 0)
		reply_status(request, result);
	else
		count_reply(fuse_reply_write(request, copied));
}

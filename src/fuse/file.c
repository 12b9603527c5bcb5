/* SPDX-License-Identifier: MIT */
/* Calls on open files: reads, writes, and what else goes through a handle. */
#include "fs.h"

#include "cleanup.h"
#include "stats.h"
#include "trim.h"

#include <fcntl.h>

/* Before the answer to a request: with it the handle may be somebody else's. */
static void note_passed(const struct slice *slice, struct handle *handle, uint64_t end)
{
	if (slice->effects & POLICY_DROP_BEHIND)
		atomic_store(&handle->passed, end);
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
	struct fs *fs = request_fs(request);
	struct handle *handle = request_handle(request, info);
	const struct slice *slice = request_slice(request, inode);
	struct slice_ranges ranges;
	bool partial = handle->direct && info->lock_owner != 0;
	bool push;
	int result;

	if (!slice) {
		control_read(request, handle, size, offset);
		return;
	}
	stats_add(reads, 1);
	if (handle->direct && !partial) {
		result = stray_note(fs, inode);
		if (result < 0) {
			reply_status(request, result);
			return;
		}
	}
	slice_advise(slice, offset, size);
	/* The kernel takes a short answer to a read of its page cache for the end of the file; it
	 * asks again page by page after an error. A direct reader gets what there is, and the error
	 * next. Pages of a private mapping are read through direct handles, too: those reads have
	 * no owner.
	 */
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
	push = push_begin(fs, slice, handle, size, info->flags);
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
	if (push)
		push_around(fs, slice, inode, offset);
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
	const struct slice *slice = request_slice(request, inode);
	/* The kernel's own writes come through any handle, which is not in use for that. */
	struct handle *handle = info->writepage ? handle_get(&fs->handles, info->fh)
						: request_handle(request, info);
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
	const struct slice *slice = request_slice(request, inode);
	struct handle *handle = request_handle(request, info);
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
	const struct slice *slice = request_slice(request, inode);
	uint64_t found = 0;
	int result;

	request_handle(request, info);
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
	const struct slice *slice = request_slice(request, inode);
	struct handle *handle = request_handle(request, info);
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
	const struct slice *from = request_slice(request, source);
	const struct slice *to = request_slice(request, target);
	struct handle *handle = request_handle(request, target_info);
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

/* SPDX-License-Identifier: MIT */
/* Requests on slices: each is arithmetic (extent.c) and then work on the images' one mapping.
 *
 * Reads hand out ranges of the mapping for the kernel to copy from; it answers a page that is gone
 * with EIO. Only the page that holds a shrunken image's new end cannot be told from data that way
 * (its tail reads as zeros), so every request looks at the size first.
 */
#include "mmapfs/slice.h"

#include "cleanup.h"
#include "extent.h"
#include "guard.h"
#include "image_internal.h"
#include "overflow.h"
#include "stats.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <time.h>

/* Zeros to point at, and the step of copies through a buffer. */
#define ZEROS_SIZE (1UL << 20)
#define COPY_CHUNK (1UL << 20)

static char zeros[ZEROS_SIZE]; /* never written: costs no memory */

static uint64_t tail_start(const struct slice *slice)
{
	return slice->extents[slice->extent_count - 1].start;
}

int slice_size(const struct slice *slice, uint64_t *ret)
{
	const struct extent *last = &slice->extents[slice->extent_count - 1];
	uint64_t size;
	int result;

	if (!slice->tail) {
		*ret = last->start + last->length;
		return 0;
	}
	result = image_size(last->image, &size);
	if (result < 0)
		return result;
	*ret = last->start + (size > last->offset ? size - last->offset : 0);
	return 0;
}

/* The images' sizes during one request: one fstat for each run of pieces of the same image. */
struct known_size {
	const struct image *image;
	uint64_t size;
};

/* How much of the piece its image still holds, and the mapping reaches. */
static int piece_held(const struct piece *piece, struct known_size *known, uint64_t *ret)
{
	uint64_t size;

	if (!piece->image) {
		*ret = piece->length;
		return 0;
	}
	if (known->image != piece->image) {
		int result = image_size(piece->image, &known->size);

		if (result < 0)
			return result;
		known->image = piece->image;
	}
	size = min_u64(known->size, piece->image->map.length);
	*ret = size > piece->offset ? min_u64(piece->length, size - piece->offset) : 0;
	return 0;
}

/* The part of [offset, offset + size) within the slice, as a walk. */
static int walk_clipped(const struct slice *slice, uint64_t offset, uint64_t size,
			struct extent_walk *ret)
{
	uint64_t end;
	int result = slice_size(slice, &end);

	if (result < 0)
		return result;
	if (offset >= end)
		size = 0;
	else
		size = min_u64(size, end - offset);
	*ret = extent_walk_begin(slice->extents, slice->extent_count, offset, size);
	return 0;
}

/* Pieces of a read in order, each wholly held; says where a lost range ends it. */
struct read_walk {
	struct extent_walk walk;
	struct known_size known;
	bool partial;
	bool lost;
	uint64_t total;
};

/* 1 and a piece, 0 at the end, or negative errno. */
static int read_walk_next(struct read_walk *read, struct piece *ret)
{
	struct piece piece;
	uint64_t held;
	int result;

	if (read->lost || !extent_walk_next(&read->walk, &piece))
		return 0;
	result = piece_held(&piece, &read->known, &held);
	if (result < 0)
		return result;
	if (held < piece.length) {
		if (!read->partial || read->total + held == 0)
			return -EIO;
		read->lost = true;
		piece.length = held;
		if (held == 0)
			return 0;
	}
	read->total += piece.length;
	*ret = piece;
	return 1;
}

int slice_read_map(const struct slice *slice, uint64_t offset, size_t size, bool partial,
		   struct iovec *ranges, int max, int *ret_count, size_t *ret_size)
{
	struct read_walk read = { .partial = partial };
	struct piece piece;
	int count = 0;
	int result = walk_clipped(slice, offset, size, &read.walk);

	if (result < 0)
		return result;
	while ((result = read_walk_next(&read, &piece)) > 0) {
		while (piece.length > 0) {
			size_t length = piece.image ? piece.length
						    : min_u64(piece.length, ZEROS_SIZE);

			if (count == max)
				return -E2BIG;
			ranges[count++] = (struct iovec){
				.iov_base = piece.image ? piece.image->map.base + piece.offset : zeros,
				.iov_len = length,
			};
			piece.length -= length;
		}
	}
	if (result < 0)
		return result;
	*ret_count = count;
	*ret_size = read.total;
	return 0;
}

int slice_read(const struct slice *slice, uint64_t offset, void *buf, size_t size, bool partial,
	       size_t *ret_size)
{
	struct read_walk read = { .partial = partial };
	struct piece piece;
	int result = walk_clipped(slice, offset, size, &read.walk);

	if (result < 0)
		return result;
	while ((result = read_walk_next(&read, &piece)) > 0) {
		char *target = (char *)buf + (piece.position - offset);

		if (!piece.image) {
			memset(target, 0, piece.length);
		} else if (guard_copy(target, piece.image->map.base + piece.offset,
				      piece.length) < 0) {
			stats_add(faults, 1);
			return -EIO;
		}
	}
	if (result < 0)
		return result;
	*ret_size = read.total;
	return 0;
}

/* pwrite until done; *ret_size is what was written when it returns an error, too. */
static int write_by_call(struct image *image, uint64_t offset, const char *buf, size_t size,
			 size_t *ret_size)
{
	*ret_size = 0;
	stats_add(write_calls, 1);
	while (*ret_size < size) {
		ssize_t written = pwrite(image->fd, buf + *ret_size, size - *ret_size,
					 offset + *ret_size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		*ret_size += written;
	}
	map_set_hot(&image->map, offset, size);
	return 0;
}

/* The write engine. Two ways lead to the same pages of the page cache:
 *
 *     memcpy   into pages written since their last flush; no lock, no system call
 *     pwrite   for the first write after a flush, and for bulk; and for the errno of a fault
 *
 * A page that is clean must be faulted in for memcpy, made writable and its blocks reserved, which
 * costs more than a whole pwrite; a full disk is an errno there, and a signal here. WRITE_BULK is
 * where one pwrite beats the page faults of a first memcpy for good; figures in
 * docs/performance.md.
 *
 * *ret_size is set on failure as well.
 */
#define WRITE_BULK (64UL << 10)

static int image_write(struct image *image, uint64_t offset, bool may_grow, const char *buf,
		       size_t size, size_t *ret_size)
{
	uint64_t held;
	int result;

	*ret_size = 0;
	if (size < WRITE_BULK && map_is_hot(&image->map, offset, size)) {
		if (guard_copy(image->map.base + offset, buf, size) == 0) {
			stats_add(write_copies, 1);
			*ret_size = size;
			return 0;
		}
		stats_add(faults, 1);
		/* Lost meanwhile, or no room: pwrite knows, but must not grow the image again. */
		result = image_size(image, &held);
		if (result < 0)
			return result;
		if (!may_grow && offset + size > held)
			return -EIO;
	}
	return write_by_call(image, offset, buf, size, ret_size);
}

/* One piece of a write. Short, with 0, where the rest of the piece is lost. */
static int piece_write(const struct piece *piece, bool may_grow, struct known_size *known,
		       const char *buf, size_t *ret_size)
{
	struct image *image = piece->image;
	uint64_t held;
	uint64_t length;
	int result;

	*ret_size = 0;
	if (!image)
		return -ENOSPC;
	result = piece_held(piece, known, &held);
	if (result < 0)
		return result;
	length = held;
	if (may_grow) {
		if (piece->offset >= image->map.length)
			return -EFBIG;
		length = min_u64(piece->length, image->map.length - piece->offset);
		/* Nothing beyond the end is mapped yet: only pwrite can grow the file. */
		if (length > held) {
			atomic_store(&image->resized, true);
			known->image = NULL;
			return write_by_call(image, piece->offset, buf, length, ret_size);
		}
	}
	if (length == 0)
		return -EIO;
	return image_write(image, piece->offset, may_grow, buf, length, ret_size);
}

static bool piece_grows(const struct slice *slice, const struct piece *piece)
{
	return slice->resize && piece->position >= tail_start(slice);
}

/* The end of the slice for a write or allocation of [offset, offset + length): -ENOSPC, or the
 * length clipped to what the slice takes.
 */
static int clip_to_capacity(const struct slice *slice, uint64_t offset, uint64_t *length)
{
	uint64_t size;
	int result;

	if (slice->resize)
		return offset > INT64_MAX || *length > INT64_MAX - offset ? -EFBIG : 0;
	result = slice_size(slice, &size);
	if (result < 0)
		return result;
	if (offset >= size)
		return -ENOSPC;
	*length = min_u64(*length, size - offset);
	return 0;
}

int slice_write(const struct slice *slice, uint64_t offset, const void *buf, size_t size,
		size_t *ret_size)
{
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	uint64_t length = size;
	size_t total = 0;
	int result;

	if (!slice->writable)
		return -EROFS;
	if (size == 0) {
		*ret_size = 0;
		return 0;
	}
	result = clip_to_capacity(slice, offset, &length);
	if (result < 0)
		return result;
	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, length);
	while (extent_walk_next(&walk, &piece)) {
		size_t written;

		result = piece_write(&piece, piece_grows(slice, &piece), &known,
				     (const char *)buf + total, &written);
		total += written;
		if (result < 0 || written < piece.length)
			break;
	}
	if (total == 0)
		return result;
	*ret_size = total;
	return 0;
}

/* msync of one range, counted; an image that was resized since its last flush needs its metadata
 * on the disk as well, which takes an fsync of the file.
 */
static int flush_range(struct image *image, uint64_t offset, uint64_t length)
{
	struct timespec start;
	struct timespec end;
	int result;

	if (!image || !image->writable)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (atomic_load(&image->resized)) {
		result = image_flush(image);
	} else {
		result = map_flush(&image->map, offset, length);
		if (result < 0)
			image_error_record(image, result);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	stats_add(msyncs, 1);
	stats_add(msync_microseconds, (uint64_t)(end.tv_sec - start.tv_sec) * 1000000 +
					      (end.tv_nsec - start.tv_nsec) / 1000);
	return result;
}

int slice_flush(const struct slice *slice, uint64_t offset, uint64_t length)
{
	const uint64_t mask = (1ULL << page_shift()) - 1;
	struct image *image = NULL; /* of the pending range */
	uint64_t start = 0;
	uint64_t end = 0;
	struct extent_walk walk;
	struct piece piece;
	int result = 0;

	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, length);
	while (extent_walk_next(&walk, &piece)) {
		uint64_t piece_start = piece.offset & ~mask;
		uint64_t piece_end;

		if (add_overflows(piece.offset, piece.length, &piece_end))
			piece_end = UINT64_MAX - mask;
		/* Small neighbours share one msync, and so one commit of the journal. */
		if (piece.image == image && piece_start >= start &&
		    piece_start <= ((end + mask) & ~mask)) {
			end = max_u64(end, piece_end);
			continue;
		}
		result = flush_range(image, start, end - start) ?: result;
		image = piece.image;
		start = piece_start;
		end = piece_end;
	}
	return flush_range(image, start, end - start) ?: result;
}

/* The next run of allocated bytes in what is left of the piece, which moves behind it. A run
 * starts at *ret_start (in the slice) and has *ret_length bytes; false: only holes are left.
 *
 * Bytes that the image has lost count as data: a copy that skips holes must meet the EIO.
 */
static bool piece_next_data(struct piece *piece, struct known_size *known, uint64_t *ret_start,
			    uint64_t *ret_length)
{
	uint64_t held;
	off_t data = -1;
	off_t hole = -1;

	if (!piece->image || piece->length == 0)
		return false;
	if (piece_held(piece, known, &held) < 0)
		held = piece->length;
	if (held > 0 && !piece->image->block_device) {
		data = lseek(piece->image->fd, piece->offset, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = piece->offset + held;
		else if (data >= 0)
			hole = lseek(piece->image->fd, data, SEEK_HOLE);
	}
	if (data < 0)
		data = piece->offset; /* cannot tell: all data */
	if ((uint64_t)data - piece->offset >= held) {
		/* No more data where the image still is; the lost rest is one run. */
		data = piece->offset + held;
		hole = -1;
	}
	if (hole < 0 || (uint64_t)hole - piece->offset >= held)
		hole = piece->offset + piece->length;
	*ret_start = piece->position + (data - piece->offset);
	*ret_length = hole - data;
	piece->length -= hole - piece->offset;
	piece->position += hole - piece->offset;
	piece->offset = hole;
	return *ret_length > 0;
}

int slice_seek(const struct slice *slice, uint64_t offset, int whence, uint64_t *ret)
{
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	uint64_t end = offset; /* of the data seen so far */
	uint64_t start;
	uint64_t length;
	int result;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	result = walk_clipped(slice, offset, UINT64_MAX, &walk);
	if (result < 0)
		return result;
	if (walk.position == walk.end)
		return -ENXIO;
	while (extent_walk_next(&walk, &piece)) {
		while (piece_next_data(&piece, &known, &start, &length)) {
			if (whence == SEEK_DATA) {
				*ret = start;
				return 0;
			}
			if (start > end)
				break;
			end = start + length;
		}
		if (whence == SEEK_HOLE && end < walk.position) {
			*ret = end;
			return 0;
		}
	}
	if (whence == SEEK_DATA)
		return -ENXIO;
	*ret = end;
	return 0;
}

/* A stat() of a slice looks at so many runs of data at most; what lies behind them counts as
 * allocated.
 */
#define BLOCKS_RUNS_MAX 1024

uint64_t slice_blocks(const struct slice *slice)
{
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	uint64_t bytes = 0;
	uint64_t start;
	uint64_t length;
	int runs = 0;

	if (walk_clipped(slice, 0, UINT64_MAX, &walk) < 0)
		return 0;
	while (extent_walk_next(&walk, &piece)) {
		while (runs < BLOCKS_RUNS_MAX && piece_next_data(&piece, &known, &start, &length)) {
			bytes += length;
			runs++;
		}
		if (runs == BLOCKS_RUNS_MAX && piece.image)
			bytes += piece.length;
	}
	return (bytes + 511) / 512;
}

static bool mode_supported(int mode)
{
	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		return true;
	default:
		return false;
	}
}

static int piece_allocate(const struct piece *piece, int mode, bool may_grow,
			  struct known_size *known)
{
	struct image *image = piece->image;
	uint64_t held;
	int result;

	if (!image)
		return mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ? 0 : -ENOSPC;
	if (!may_grow) {
		result = piece_held(piece, known, &held);
		if (result < 0)
			return result;
		if (held < piece->length)
			return -EIO;
		mode |= FALLOC_FL_KEEP_SIZE; /* never moves the end, whatever happens meanwhile */
	} else if (piece->offset + piece->length > image->map.length) {
		return -EFBIG;
	} else {
		atomic_store(&image->resized, true);
		known->image = NULL;
	}
	map_clear_hot(&image->map, piece->offset, piece->length);
	while (fallocate(image->fd, mode, piece->offset, piece->length) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int slice_allocate(const struct slice *slice, int mode, uint64_t offset, uint64_t length)
{
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	uint64_t clipped = length;
	int result;

	if (!mode_supported(mode))
		return -EOPNOTSUPP;
	if (!slice->writable)
		return -EROFS;
	result = clip_to_capacity(slice, offset, &clipped);
	if (result == -ENOSPC && (mode & FALLOC_FL_KEEP_SIZE))
		return 0;
	if (result < 0)
		return result;
	if (clipped < length && !(mode & FALLOC_FL_KEEP_SIZE))
		return -ENOSPC;
	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, clipped);
	while (extent_walk_next(&walk, &piece)) {
		result = piece_allocate(&piece, mode, piece_grows(slice, &piece), &known);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Let the kernel copy between two images, or two ranges of one that do not overlap. -EXDEV where
 * it cannot, or where the bytes must be looked at first.
 */
static int copy_in_kernel(const struct piece *from, const struct piece *to, uint64_t length,
			  size_t *ret_size)
{
	struct known_size known = { 0 };
	struct piece source = *from;
	struct piece target = *to;
	uint64_t source_held;
	uint64_t target_held;
	off_t source_offset = from->offset;
	off_t target_offset = to->offset;
	ssize_t copied;

	source.length = target.length = length;
	if (!from->image || !to->image ||
	    (from->image == to->image && from->offset < to->offset + length &&
	     to->offset < from->offset + length))
		return -EXDEV;
	if (piece_held(&source, &known, &source_held) < 0 ||
	    piece_held(&target, &known, &target_held) < 0 || source_held < length ||
	    target_held < length)
		return -EXDEV;
	copied = copy_file_range(from->image->fd, &source_offset, to->image->fd, &target_offset,
				 length, 0);
	if (copied <= 0)
		return -EXDEV; /* the copy by hand finds the true errno */
	*ret_size = copied;
	return 0;
}

static int copy_by_hand(const struct slice *source, uint64_t source_offset,
			const struct slice *target, uint64_t target_offset, size_t size,
			char **buf, size_t *ret_size)
{
	size_t got;
	int result;

	if (!*buf)
		*buf = malloc(COPY_CHUNK);
	if (!*buf)
		return -ENOMEM;
	result = slice_read(source, source_offset, *buf, min_u64(size, COPY_CHUNK), true, &got);
	if (result < 0)
		return result;
	return slice_write(target, target_offset, *buf, got, ret_size);
}

/* Copies at least one byte of the first piece on both sides, or fails; *ret_size 0 at the end. */
static int copy_step(const struct slice *source, uint64_t source_offset, const struct slice *target,
		     uint64_t target_offset, uint64_t size, char **buf, size_t *ret_size)
{
	struct extent_walk source_walk;
	struct extent_walk target_walk;
	struct piece from;
	struct piece to;
	uint64_t length;
	int result = walk_clipped(source, source_offset, size, &source_walk);

	if (result < 0)
		return result;
	if (!extent_walk_next(&source_walk, &from)) {
		*ret_size = 0;
		return 0;
	}
	target_walk = extent_walk_begin(target->extents, target->extent_count, target_offset,
					from.length);
	if (!extent_walk_next(&target_walk, &to))
		return -ENOSPC;
	length = min_u64(from.length, to.length);
	result = copy_in_kernel(&from, &to, length, ret_size);
	if (result == -EXDEV)
		result = copy_by_hand(source, source_offset, target, target_offset, length, buf,
				      ret_size);
	return result;
}

int slice_copy(const struct slice *source, uint64_t source_offset, const struct slice *target,
	       uint64_t target_offset, size_t size, size_t *ret_size)
{
	_cleanup_(cleanup_free) char *buf = NULL;
	uint64_t length = min_u64(size, SLICE_COPY_MAX);
	size_t total = 0;
	int result = 0;

	if (!target->writable)
		return -EROFS;
	if (length > 0)
		result = clip_to_capacity(target, target_offset, &length);
	while (result == 0 && total < length) {
		size_t copied;

		result = copy_step(source, source_offset + total, target, target_offset + total,
				   length - total, &buf, &copied);
		if (result < 0 || copied == 0)
			break;
		total += copied;
	}
	if (total == 0 && result < 0)
		return result;
	*ret_size = total;
	return 0;
}

int slice_resize(const struct slice *slice, uint64_t size)
{
	const struct extent *last = &slice->extents[slice->extent_count - 1];
	uint64_t end;

	if (!slice->writable)
		return -EROFS;
	if (!slice->resize || size < last->start)
		return -EPERM;
	if (add_overflows(last->offset, size - last->start, &end) || end > last->image->map.length)
		return -EFBIG;
	atomic_store(&last->image->resized, true);
	while (ftruncate(last->image->fd, end) < 0)
		if (errno != EINTR)
			return -errno;
	map_clear_hot(&last->image->map, end, last->image->map.length - end);
	return 0;
}

/* Calls body for each image of the slice, once for a run of extents of the same one. */
#define for_each_image(slice, image)                                                               \
	for (uint32_t i_ = 0; i_ < (slice)->extent_count; i_++)                                    \
		if (((image) = (slice)->extents[i_].image) != NULL &&                              \
		    (i_ == 0 || (slice)->extents[i_ - 1].image != (image)))

uint32_t slice_generation(const struct slice *slice)
{
	struct image *image;
	uint32_t sum = 0;

	for_each_image(slice, image)
		sum += image_generation(image);
	return sum;
}

uint64_t slice_error_sample(const struct slice *slice)
{
	uint64_t cursor = image_error_count();
	struct image *image;

	if (cursor == 0)
		return 0;
	for_each_image(slice, image) {
		uint64_t untold = image_error_untold(image);

		if (untold > 0)
			cursor = min_u64(cursor, untold - 1);
	}
	return cursor;
}

int slice_error_check(const struct slice *slice, uint64_t *cursor)
{
	uint64_t now = image_error_count();
	struct image *image;
	int result = 0;

	if (now == *cursor)
		return 0;
	for_each_image(slice, image)
		result = image_error_since(image, *cursor) ?: result;
	*cursor = now;
	return result;
}

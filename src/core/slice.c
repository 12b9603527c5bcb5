/* SPDX-License-Identifier: MIT */
/* Reads, writes and flushes of slices: each is arithmetic (extent.c), and then work on the one
 * mapping of each image.
 *
 * Reads hand out ranges of the mapping for the kernel to copy from; it answers a page that is gone
 * with EIO. Only the page that holds a shrunken image's new end cannot be told from data that way
 * (its tail reads as zeros), so every request looks at the size first.
 */
#include "mmapfs/slice.h"

#include "cleanup.h"
#include "guard.h"
#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"
#include "stats.h"

#include <string.h>
#include <time.h>

#define ZEROS_SIZE (1UL << 20)

static char zeros[ZEROS_SIZE]; /* never written: costs no memory */

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

/* Look at the image's size, once for a run of pieces of the same image. */
static int know_size(const struct image *image, struct known_size *known)
{
	int result;

	if (known->image == image)
		return 0;
	result = image_size(image, &known->size);
	if (result == 0)
		known->image = image;
	return result;
}

int piece_held(const struct piece *piece, struct known_size *known, uint64_t *ret)
{
	uint64_t size;
	int result;

	if (!piece->image) {
		*ret = piece->length;
		return 0;
	}
	result = know_size(piece->image, known);
	if (result < 0)
		return result;
	size = min_u64(known->size, piece->image->map.length);
	*ret = size > piece->offset ? min_u64(piece->length, size - piece->offset) : 0;
	return 0;
}

int slice_walk_clipped(const struct slice *slice, uint64_t offset, uint64_t size,
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
	int result = slice_walk_clipped(slice, offset, size, &read.walk);

	if (result < 0)
		return result;
	while ((result = read_walk_next(&read, &piece)) > 0) {
		while (piece.length > 0) {
			size_t length = piece.image ? piece.length
						    : min_u64(piece.length, ZEROS_SIZE);

			if (count == max)
				return -E2BIG;
			ranges[count++] = (struct iovec){
				.iov_base = piece.image ? piece.image->map.base + piece.offset
							: zeros,
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
	int result = slice_walk_clipped(slice, offset, size, &read.walk);

	if (result < 0)
		return result;
	while ((result = read_walk_next(&read, &piece)) > 0) {
		char *target = (char *)buf + (piece.position - offset);

		if (!piece.image) {
			memset(target, 0, piece.length);
		} else if (guard_copy(target, piece.image->map.base + piece.offset, piece.length) <
			   0) {
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
		ssize_t written =
			pwrite(image->fd, buf + *ret_size, size - *ret_size, offset + *ret_size);

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

int piece_grows(const struct slice *slice, const struct piece *piece, struct known_size *known,
		bool *ret)
{
	const struct extent *last = &slice->extents[slice->extent_count - 1];
	int result;

	if (!slice->resize || piece->position < last->start) {
		*ret = false;
		return 0;
	}
	result = know_size(last->image, known);
	if (result < 0)
		return result;
	*ret = known->size >= last->offset;
	return 0;
}

int slice_clip_to_capacity(const struct slice *slice, uint64_t offset, uint64_t *length)
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
	result = slice_clip_to_capacity(slice, offset, &length);
	if (result < 0)
		return result;
	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, length);
	while (extent_walk_next(&walk, &piece)) {
		size_t written = 0;
		bool may_grow;

		result = piece_grows(slice, &piece, &known, &may_grow);
		if (result == 0)
			result = piece_write(&piece, may_grow, &known, (const char *)buf + total,
					     &written);
		total += written;
		if (result < 0 || written < piece.length)
			break;
	}
	if (total == 0)
		return result;
	*ret_size = total;
	return 0;
}

int slice_append(const struct slice *slice, const void *buf, size_t size, size_t *ret_size)
{
	const struct extent *last = &slice->extents[slice->extent_count - 1];
	struct image *image = last->image;
	struct iovec range = { (void *)buf, size };
	uint64_t held;
	ssize_t written;
	int result;

	if (!slice->writable)
		return -EROFS;
	if (!slice->resize)
		return -ENOSPC;
	result = image_size(image, &held);
	if (result < 0)
		return result;
	if (held < last->offset)
		return -EIO;
	if (held > image->map.length || size > image->map.length - held)
		return -EFBIG;
	atomic_store(&image->resized, true);
	stats_add(write_calls, 1);
	/* The slice ends where its image ends. */
	do
		written = pwritev2(image->fd, &range, 1, -1, RWF_APPEND);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	*ret_size = written;
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

int slice_resize(const struct slice *slice, uint64_t size)
{
	const struct extent *last = &slice->extents[slice->extent_count - 1];
	uint64_t held;
	uint64_t end;
	int result;

	if (!slice->writable)
		return -EROFS;
	if (!slice->resize || size < last->start)
		return -EPERM;
	result = image_size(last->image, &held);
	if (result < 0)
		return result;
	if (held < last->offset)
		return -EIO;
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

	for_each_image(slice, image) sum += image_generation(image);
	return sum;
}

uint64_t slice_error_sample(const struct slice *slice)
{
	uint64_t cursor = image_error_count();
	struct image *image;

	if (cursor == 0)
		return 0;
	for_each_image(slice, image)
	{
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
	for_each_image(slice, image) result = image_error_since(image, *cursor) ?: result;
	*cursor = now;
	return result;
}

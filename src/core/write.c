/* SPDX-License-Identifier: MIT */
/* Writes into slices, and the engine below them. Two ways lead to the same pages of the page cache:
 *
 *     pwrite   for the first write of a page after a flush, and for bulk
 *     memcpy   into pages written since their last flush: no lock, no system call
 *
 * A page that is clean must be faulted in for memcpy, made writable and its blocks reserved, which
 * costs as much as a whole pwrite of it; for bulk, eight times as much. Figures are in
 * docs/performance.md.
 *
 * But pwrite grows a file that was cut behind our back, and memcpy cannot. So a pwrite that may not
 * grow the image needs a lease (lease.h), or it becomes a memcpy.
 */
#include "cleanup.h"
#include "guard.h"
#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"
#include "stats.h"
#include "trim.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define WRITE_BULK (64UL << 10)

/* After the write. */
static void make_hot(struct image *image, uint64_t offset, uint64_t size)
{
	map_set_hot(&image->map, offset, size);
	map_touch(&image->map, offset, size);
}

/* Into the image, wherever that ends: *ret_size is what was written when it returns an error, too.
 */
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
	/* Not mapped yet; likely to be, if more is written here. */
	if (map_knock(&image->map, offset))
		make_hot(image, offset, size);
	return 0;
}

/* pwrite where nobody can cut the image meanwhile. -EAGAIN where that cannot be had. */
static int write_by_leased_call(struct image *image, uint64_t offset, const char *buf, size_t size,
				size_t *ret_size)
{
	uint64_t held;
	int result;

	if (!lease_enter(&image->lease))
		return -EAGAIN;
	result = image_size(image, &held);
	if (result == 0 && held < offset + size)
		image_note_cut(image);
	if (result == 0 && held <= offset)
		result = -EIO;
	if (result == 0)
		result = write_by_call(image, offset, buf, min_u64(size, held - offset), ret_size);
	lease_leave(&image->lease);
	return result;
}

/* Why a page that the image holds could not be had, and the write after all if it can be. fallocate
 * says why without moving the end. Where it knows nothing (btrfs needs room to overwrite, too),
 * pwrite does.
 */
static int write_refused_page(struct image *image, uint64_t offset, const char *buf, size_t size,
			      size_t *ret_size)
{
	uint64_t left;
	int result;

	while (fallocate(image->fd, FALLOC_FL_KEEP_SIZE, offset, size) < 0) {
		if (errno == EOPNOTSUPP || image->block_device)
			break;
		if (errno != EINTR)
			return -errno;
	}
	if (guard_copy(image->map.base + offset, buf, size) == 0) {
		*ret_size = size;
		return 0;
	}
	result = write_by_leased_call(image, offset, buf, size, ret_size);
	if (result != -EAGAIN)
		return result;
	/* Cut again meanwhile, or no room: an unguarded pwrite could tell, but must not grow it. */
	return image_available(image, &left) == 0 && left == 0 ? -ENOSPC : -EIO;
}

/* A range within one page. Short, with 0, where the rest of it is lost. */
static int write_page(struct image *image, uint64_t offset, bool may_grow, const char *buf,
		      size_t size, size_t *ret_size)
{
	uint64_t held;
	int result;

	if (guard_copy(image->map.base + offset, buf, size) == 0) {
		*ret_size = size;
		return 0;
	}
	if (may_grow)
		return write_by_call(image, offset, buf, size, ret_size);
	result = image_size(image, &held);
	if (result < 0)
		return result;
	if (held <= offset)
		return -EIO;
	return write_refused_page(image, offset, buf, min_u64(size, held - offset), ret_size);
}

/* One guarded copy; page by page only after it has failed. *ret_size is set on failure, too. */
static int write_by_copy(struct image *image, uint64_t offset, bool may_grow, const char *buf,
			 size_t size, size_t *ret_size)
{
	const uint64_t page = 1ULL << page_shift();

	*ret_size = 0;
	if (guard_copy(image->map.base + offset, buf, size) == 0) {
		*ret_size = size;
	} else {
		stats_add(faults, 1);
		while (*ret_size < size) {
			uint64_t at = offset + *ret_size;
			size_t length = min_u64(size - *ret_size, page - (at & (page - 1)));
			size_t written = 0;
			int result =
				write_page(image, at, may_grow, buf + *ret_size, length, &written);

			*ret_size += written;
			if (result < 0)
				return result;
			if (written < length)
				break;
		}
	}
	stats_add(write_copies, 1);
	trim_charge(*ret_size);
	make_hot(image, offset, *ret_size);
	return 0;
}

static bool is_for_call(const struct image *image, uint64_t offset, uint64_t size)
{
	return !image->write_mapped &&
	       (size >= WRITE_BULK || !map_is_hot(&image->map, offset, size));
}

int piece_write(const struct piece *piece, bool may_grow, struct known_size *known, const char *buf,
		size_t *ret_size)
{
	struct image *image = piece->image;
	uint64_t held;
	uint64_t length;
	bool call;
	int result;

	*ret_size = 0;
	if (!image)
		return -ENOSPC;
	if (piece->offset >= image->map.length)
		return may_grow ? -EFBIG : -EIO;
	length = min_u64(piece->length, image->map.length - piece->offset);
	result = image_reserve(image, piece->offset, length);
	if (result < 0)
		return result;
	call = is_for_call(image, piece->offset, length);
	if (call && !may_grow) {
		result = write_by_leased_call(image, piece->offset, buf, length, ret_size);
		if (result != -EAGAIN)
			return result;
	}
	result = piece_held(piece, known, &held);
	if (result < 0)
		return result;
	if (held < length && !may_grow)
		image_note_cut(image);
	if (held == 0 && !may_grow)
		return -EIO;
	/* Nothing beyond the end is mapped yet: only pwrite can grow the file. */
	if (may_grow && length > held) {
		atomic_store(&image->resized, true);
		known->image = NULL;
		return write_by_call(image, piece->offset, buf, length, ret_size);
	}
	if (call && may_grow)
		return write_by_call(image, piece->offset, buf, length, ret_size);
	return write_by_copy(image, piece->offset, may_grow, buf, min_u64(length, held), ret_size);
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

static bool is_zeros(const char *buf, size_t size)
{
	return *buf == 0 && memcmp(buf, buf + 1, size - 1) == 0;
}

/* All of the piece that can be written, image page by image page behind an error: the first one is
 * returned.
 */
static int write_piece_of_pages(const struct slice *slice, struct piece piece, const char *buf,
				size_t *ret_size)
{
	const uint64_t page = 1ULL << page_shift();
	int first = 0;

	if (!piece.image && !is_zeros(buf, piece.length))
		return -ENOSPC;
	if (!piece.image) {
		*ret_size += piece.length;
		return 0;
	}
	while (piece.length > 0) {
		struct known_size known = { 0 };
		size_t step = 0;
		bool may_grow;
		int result = piece_grows(slice, &piece, &known, &may_grow)
				     ?: piece_write(&piece, may_grow, &known, buf, &step);

		*ret_size += step;
		if (result == 0 && step == 0)
			result = -EIO;
		if (result < 0) {
			uint64_t failed = piece.offset + step;

			first = first ?: result;
			step = min_u64(step + page - (failed & (page - 1)), piece.length);
		}
		buf += step;
		piece.offset += step;
		piece.position += step;
		piece.length -= step;
	}
	return first;
}

int slice_write_pages(const struct slice *slice, uint64_t offset, const void *buf, size_t size,
		      size_t *ret_size)
{
	struct extent_walk walk;
	struct piece piece;
	uint64_t length = size;
	int result;

	*ret_size = 0;
	if (!slice->writable)
		return -EROFS;
	result = slice_clip_to_capacity(slice, offset, &length);
	if (result < 0)
		return result;
	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, length);
	while (extent_walk_next(&walk, &piece)) {
		const char *bytes = (const char *)buf + (piece.position - offset);
		int one = write_piece_of_pages(slice, piece, bytes, ret_size);

		result = result ?: one;
	}
	return result ?: length < size ? -ENOSPC : 0;
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
	result = image_reserve(image, held, size);
	if (result < 0)
		return result;
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

/* SPDX-License-Identifier: MIT */
/* Copies between slices: by the kernel where it can, else through a buffer. */
#include "cleanup.h"
#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"

#define COPY_CHUNK (1UL << 20)

/* In one call: others who open the images wait for its end. */
#define COPY_LEASED_MAX (4UL << 20)

/* copy_file_range(2), inside what both images hold. Past it the target would grow, and where the
 * kernel copies by splicing, the zeros behind a new end of the source would pass for content.
 */
static int copy_leased(const struct piece *from, const struct piece *to, uint64_t length,
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

	length = min_u64(length, COPY_LEASED_MAX);
	source.length = target.length = length;
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

/* Let the kernel copy between two images, or two ranges of one that do not overlap. -EXDEV where
 * it cannot.
 */
static int copy_in_kernel(const struct piece *from, const struct piece *to, uint64_t length,
			  size_t *ret_size)
{
	int result;

	/* Into memory it would take pages without a look at what is left. */
	if (!from->image || !to->image || to->image->memory || !lease_enter(&to->image->lease))
		return -EXDEV;
	if (lease_enter(&from->image->lease)) {
		result = copy_leased(from, to, length, ret_size);
		lease_leave(&from->image->lease);
	} else {
		result = -EXDEV;
	}
	lease_leave(&to->image->lease);
	return result;
}

static int copy_by_hand(const struct slice *source, uint64_t source_offset,
			const struct slice *target, uint64_t target_offset, size_t size, char **buf,
			size_t *ret_size)
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

/* More comparisons than this are not worth it: then any common image counts. */
#define OVERLAP_PIECES_MAX 4096

/* Whether a byte of an image may lie in both ranges. What is copied first could then be the source
 * of what is copied next, and where extents end would show in the outcome.
 */
static bool ranges_overlap(const struct slice *source, uint64_t source_offset,
			   const struct slice *target, uint64_t target_offset, uint64_t length)
{
	struct extent_walk walk =
		extent_walk_begin(source->extents, source->extent_count, source_offset, length);
	struct piece from;
	struct piece to;
	int compared = 0;

	while (extent_walk_next(&walk, &from)) {
		struct extent_walk other = extent_walk_begin(target->extents, target->extent_count,
							     target_offset, length);

		while (extent_walk_next(&other, &to)) {
			bool far = ++compared < OVERLAP_PIECES_MAX &&
				   (from.offset >= to.offset + to.length ||
				    to.offset >= from.offset + from.length);

			if (from.image && from.image == to.image && !far)
				return true;
			if (compared >= 2 * OVERLAP_PIECES_MAX)
				return true;
		}
	}
	return false;
}

/* Copies at least one byte, or fails; *ret_size 0 at the source's end. */
static int copy_step(const struct slice *source, uint64_t source_offset, const struct slice *target,
		     uint64_t target_offset, uint64_t size, bool overlap, char **buf,
		     size_t *ret_size)
{
	struct extent_walk source_walk;
	struct extent_walk target_walk;
	struct piece from;
	struct piece to;
	int result = slice_walk_clipped(source, source_offset, size, &source_walk);

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
	result = overlap ? -EXDEV
			 : copy_in_kernel(&from, &to, min_u64(from.length, to.length), ret_size);
	if (result == -EXDEV)
		result = copy_by_hand(source, source_offset, target, target_offset, size, buf,
				      ret_size);
	return result;
}

int slice_copy(const struct slice *source, uint64_t source_offset, const struct slice *target,
	       uint64_t target_offset, size_t size, size_t *ret_size)
{
	_cleanup_(cleanup_free) char *buf = NULL;
	uint64_t length = min_u64(size, SLICE_COPY_MAX);
	size_t total = 0;
	bool overlap;
	int result = 0;

	if (!target->writable)
		return -EROFS;
	if (length > 0)
		result = slice_clip_to_capacity(target, target_offset, &length);
	overlap = ranges_overlap(source, source_offset, target, target_offset, length);
	while (result == 0 && total < length) {
		size_t copied;

		result = copy_step(source, source_offset + total, target, target_offset + total,
				   length - total, overlap, &buf, &copied);
		if (result < 0 || copied == 0)
			break;
		total += copied;
	}
	if (total == 0 && result < 0)
		return result;
	*ret_size = total;
	return 0;
}

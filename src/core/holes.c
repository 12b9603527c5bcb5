/* SPDX-License-Identifier: MIT */
/* Where slices hold data, and giving them blocks or taking them away. */
#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

/* So often where others write all the time, and any answer is right. */
#define LOOKS_MAX 8

/* lseek(2) until it says the same twice. Where blocks are given out and not written yet, the kernel
 * looks at its page cache next: data are what is in memory. A page that has reached the disk and
 * leaves memory between these two can be taken for a hole; once, since its block is a written one
 * then. A stream with drop-behind makes pages leave all the time.
 */
static off_t seek_surely(int fd, off_t offset, int whence)
{
	off_t found = lseek(fd, offset, whence);

	for (int i = 1; i < LOOKS_MAX; i++) {
		off_t again = lseek(fd, offset, whence);

		if (again == found)
			break;
		found = again;
	}
	return found;
}

/* For sums, where nothing is lost by a page. */
static off_t seek_roughly(int fd, off_t offset, int whence)
{
	return lseek(fd, offset, whence);
}

/* The next run of allocated bytes in what is left of the piece, which moves behind it. A run
 * starts at *ret_start (in the slice) and has *ret_length bytes; false: only holes are left.
 *
 * Bytes that the image has lost count as data: a copy that skips holes must meet the EIO.
 */
static bool piece_next_data(struct piece *piece, struct known_size *known,
			    off_t (*seek)(int fd, off_t offset, int whence), uint64_t *ret_start,
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
		data = seek(piece->image->fd, piece->offset, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			data = piece->offset + held;
		else if (data >= 0)
			hole = seek(piece->image->fd, data, SEEK_HOLE);
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
	result = slice_walk_clipped(slice, offset, UINT64_MAX, &walk);
	if (result < 0)
		return result;
	if (walk.position == walk.end)
		return -ENXIO;
	while (extent_walk_next(&walk, &piece)) {
		while (piece_next_data(&piece, &known, seek_surely, &start, &length)) {
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

/* A stat() of a slice looks for data so many times at most; what lies behind that counts as
 * allocated.
 */
#define BLOCKS_LOOKS_MAX 1024

uint64_t slice_blocks(const struct slice *slice)
{
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	uint64_t bytes = 0;
	uint64_t start;
	uint64_t length;
	int looks = 0;

	if (slice_walk_clipped(slice, 0, UINT64_MAX, &walk) < 0)
		return 0;
	while (extent_walk_next(&walk, &piece)) {
		bool more = piece.image != NULL;

		while (more && looks < BLOCKS_LOOKS_MAX) {
			looks++;
			more = piece_next_data(&piece, &known, seek_roughly, &start, &length);
			bytes += more ? length : 0;
		}
		if (more)
			bytes += piece.length;
	}
	return (bytes + 511) / 512;
}

int image_next_hole(const struct image *image, uint64_t offset, uint64_t *ret_start,
		    uint64_t *ret_end)
{
	off_t hole;
	off_t data;
	uint64_t size;

	if (image->block_device || offset > INT64_MAX || image_size(image, &size) < 0)
		return -ENXIO;
	hole = lseek(image->fd, offset, SEEK_HOLE);
	if (hole < 0 || (uint64_t)hole >= size) /* each file ends in a hole of no bytes */
		return -ENXIO;
	data = lseek(image->fd, hole, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return -ENXIO;
	*ret_start = hole;
	*ret_end = data < 0 ? size : (uint64_t)data;
	return *ret_end > *ret_start ? 0 : -ENXIO; /* somebody is changing it */
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

static bool mode_zeroes(int mode)
{
	return mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
}

static int piece_allocate(const struct piece *piece, int mode, bool may_grow,
			  struct known_size *known)
{
	struct image *image = piece->image;
	uint64_t held;
	int result;

	if (!image)
		return mode_zeroes(mode) ? 0 : -ENOSPC;
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
	if (!(mode & FALLOC_FL_PUNCH_HOLE)) {
		result = image_reserve(image, piece->offset, piece->length);
		if (result < 0)
			return result;
	}
	map_clear_hot(&image->map, piece->offset, piece->length);
	while (fallocate(image->fd, mode, piece->offset, piece->length) < 0) {
		/* Of a block device EINVAL says that the range is not one of its sectors. */
		if (image->block_device && errno == EINVAL)
			return -EOPNOTSUPP;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Zeros by writing, where the image cannot and others of the slice's images could. */
static int piece_zero(const struct piece *piece, int mode, bool may_grow, struct known_size *known)
{
	static const char zeros[64 << 10];
	struct piece rest = *piece;

	/* What lies behind the end, and may stay so, is zeros already. */
	if (may_grow && (mode & FALLOC_FL_KEEP_SIZE)) {
		int result = piece_held(piece, known, &rest.length);

		if (result < 0)
			return result;
		may_grow = false;
	}
	while (rest.length > 0) {
		struct piece part = rest;
		size_t written;
		int result;

		part.length = min_u64(sizeof(zeros), rest.length);
		result = piece_write(&part, may_grow, known, zeros, &written);
		if (result < 0 || written < part.length)
			return result < 0 ? result : -EIO;
		rest.offset += written;
		rest.length -= written;
	}
	return 0;
}

/* The pieces of [offset, offset + length) in turn. Once some have been zeroed "not supported" is no
 * answer any more: the kernel would keep its pages of them.
 */
static int allocate_pieces(const struct slice *slice, int mode, uint64_t offset, uint64_t length)
{
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	bool begun = false;

	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, length);
	while (extent_walk_next(&walk, &piece)) {
		bool may_grow;
		int result = piece_grows(slice, &piece, &known, &may_grow);

		if (result == 0)
			result = piece_allocate(&piece, mode, may_grow, &known);
		if (result == -EOPNOTSUPP && begun && mode_zeroes(mode))
			result = piece_zero(&piece, mode, may_grow, &known);
		if (result < 0)
			return result;
		begun |= piece.image != NULL;
	}
	return 0;
}

int slice_allocate(const struct slice *slice, int mode, uint64_t offset, uint64_t length)
{
	uint64_t clipped = length;
	int result;

	if (!mode_supported(mode))
		return -EOPNOTSUPP;
	if (!slice->writable)
		return -EROFS;
	result = slice_clip_to_capacity(slice, offset, &clipped);
	if (result == -ENOSPC && (mode & FALLOC_FL_KEEP_SIZE))
		return 0;
	if (result < 0)
		return result;
	if (clipped < length && !(mode & FALLOC_FL_KEEP_SIZE))
		return -ENOSPC;
	return allocate_pieces(slice, mode, offset, clipped);
}

/* SPDX-License-Identifier: MIT */
/* What a slice is at the moment: its size, what its images still hold of it, its end moved, its
 * bytes flushed, its errors. read.c and write.c have the bytes.
 */
#include "mmapfs/slice.h"

#include "cleanup.h"
#include "image_internal.h"
#include "overflow.h"
#include "slice_internal.h"
#include "stats.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

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
static int know_size(struct image *image, struct known_size *known)
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

/* msync of one range, counted; an image that was resized since its last flush needs its metadata
 * on the disk as well, which takes an fsync of the file.
 */
static int flush_range(struct image *image, uint64_t offset, uint64_t length)
{
	struct timespec start;
	struct timespec end;
	int result;

	if (!image || !image->writable || image->memory)
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

int slice_check_held(const struct slice *slice, uint64_t offset, uint64_t length)
{
	const struct extent *last = &slice->extents[slice->extent_count - 1];
	/* A tail ends where its image does: there is nothing to be lost of it. */
	uint64_t end = last->start + (slice->tail ? 0 : last->length);
	struct known_size known = { 0 };
	struct extent_walk walk;
	struct piece piece;
	int result = 0;

	length = offset < end ? min_u64(length, end - offset) : 0;
	walk = extent_walk_begin(slice->extents, slice->extent_count, offset, length);
	while (result == 0 && extent_walk_next(&walk, &piece)) {
		uint64_t held;

		result = piece_held(&piece, &known, &held);
		if (result == 0 && held < piece.length)
			result = -EIO;
	}
	return result;
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
	lease_close(&last->image->lease);
	while ((result = ftruncate(last->image->fd, end)) < 0 && errno == EINTR)
		;
	result = result < 0 ? -errno : 0;
	lease_reopen(&last->image->lease);
	if (result < 0)
		return result;
	map_clear_hot(&last->image->map, end, last->image->map.length - end);
	return 0;
}

/* The image of the next run of extents of the same one, from extent *at on; NULL: none. */
static struct image *next_run(const struct slice *slice, uint32_t *at)
{
	while (*at < slice->extent_count) {
		uint32_t i = (*at)++;
		struct image *image = slice->extents[i].image;

		if (image && (i == 0 || slice->extents[i - 1].image != image))
			return image;
	}
	return NULL;
}

static struct image *next_image(const struct slice *slice, uint32_t *at)
{
	return slice->images ? slice->images[(*at)++] : next_run(slice, at);
}

/* Calls body for each image of the slice; when they are not noted, once a run. */
#define for_each_image(slice, image)                                                               \
	for (uint32_t at_ = 0; ((image) = next_image((slice), &at_)) != NULL;)

/* So many extents are looked through as quickly as a list. */
#define EXTENTS_FEW 16

static int compare_addresses(const void *left, const void *right)
{
	struct image *const *a = left;
	struct image *const *b = right;

	return (*a > *b) - (*a < *b);
}

int slice_note_images(struct slice *slice)
{
	_cleanup_(cleanup_free) struct image **images = NULL;
	struct image *image;
	size_t count = 0;
	size_t unique = 0;

	if (slice->extent_count <= EXTENTS_FEW)
		return 0;
	for (uint32_t at = 0; next_run(slice, &at);)
		count++;
	images = malloc((count + 1) * sizeof(struct image *));
	if (!images)
		return -ENOMEM;
	count = 0;
	for (uint32_t at = 0; (image = next_run(slice, &at)) != NULL;)
		images[count++] = image;
	qsort(images, count, sizeof(struct image *), compare_addresses);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || images[i] != images[i - 1])
			images[unique++] = images[i];
	images[unique++] = NULL;
	slice->images = reallocarray(images, unique, sizeof(struct image *));
	if (!slice->images)
		return -ENOMEM;
	(void)steal_pointer(&images);
	return 0;
}

/* More comparisons than this are not worth it: then it counts as shared. */
#define SHARED_IMAGES_MAX 1024

bool slice_shares_image(const struct slice *a, const struct slice *b)
{
	struct image *image;
	int compared = 0;

	for_each_image(a, image)
	{
		struct image *other;
		uint32_t at = 0;

		while ((other = next_image(b, &at)) != NULL)
			if (other == image || ++compared > SHARED_IMAGES_MAX)
				return true;
	}
	return false;
}

bool slice_is_prompt(const struct slice *slice)
{
	struct image *image;

	for_each_image(slice, image) if (image->remote) return false;
	return true;
}

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

	while (now != *cursor) {
		for_each_image(slice, image) result = image_error_since(image, *cursor) ?: result;
		*cursor = now;
		/* One that came meanwhile may have been told just now: not a second time. */
		now = image_error_count();
	}
	return result;
}

/* SPDX-License-Identifier: MIT */
#ifndef CORE_EXTENT_H
#define CORE_EXTENT_H

#include "mmapfs/slice.h"

/* Pure arithmetic on extents: no image is touched, every sum is checked. */

/* A run of bytes that is contiguous in the slice and in its image. */
struct piece {
	struct image *image; /* NULL: zeros */
	uint64_t offset;     /* in the image */
	uint64_t position;   /* in the slice */
	uint64_t length;     /* > 0 */
};

/* Yields the pieces of [offset, offset + length) of the slice in order, up to its last extent; a
 * tail extent has no end here, so the caller clips to the size first.
 */
struct extent_walk {
	const struct extent *extents;
	size_t count;
	size_t index;
	uint64_t position;
	uint64_t end;
};

struct extent_walk extent_walk_begin(const struct extent *extents, size_t count, uint64_t offset,
				     uint64_t length);
bool extent_walk_next(struct extent_walk *walk, struct piece *ret);

/* Index of the last extent that starts at or before offset. count > 0; O(log count). */
size_t extent_find(const struct extent *extents, size_t count, uint64_t offset);

/* Whether extent [offset, offset + length) fits in size bytes; a tail needs only its offset. */
bool extent_fits(uint64_t offset, uint64_t length, uint64_t size);

#endif

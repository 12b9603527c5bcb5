/* SPDX-License-Identifier: MIT */
#ifndef CORE_SLICE_INTERNAL_H
#define CORE_SLICE_INTERNAL_H

#include "extent.h"

/* What the requests on slices share: slice.c, read.c, write.c, holes.c and copy.c. */

/* The images' sizes during one request: one fstat for each run of pieces of the same image. */
struct known_size {
	struct image *image;
	uint64_t size;
};

/* How much of the piece its image still holds, and the mapping reaches. */
int piece_held(const struct piece *piece, struct known_size *known, uint64_t *ret);

/* Whether writing the piece may move the end of its image: in the tail of a slice with resize, but
 * not when the image has lost more than the tail. Growing it again would turn what other slices
 * have lost into zeros.
 */
int piece_grows(const struct slice *slice, const struct piece *piece, struct known_size *known,
		bool *ret);

/* Write the piece from buf. Short, with 0, where its image has lost the rest; *ret_size is what was
 * written when it returns an error, too.
 */
int piece_write(const struct piece *piece, bool may_grow, struct known_size *known, const char *buf,
		size_t *ret_size);

/* The part of [offset, offset + size) within the slice, as a walk. */
int slice_walk_clipped(const struct slice *slice, uint64_t offset, uint64_t size,
		       struct extent_walk *ret);

/* Clip *length to what the slice takes at offset: nothing past its end, or without a bound when it
 * can resize. -ENOSPC at the end.
 */
int slice_clip_to_capacity(const struct slice *slice, uint64_t offset, uint64_t *length);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CLI_PICTURE_INTERNAL_H
#define CLI_PICTURE_INTERNAL_H

#include "picture.h"
#include "vec.h"

/* Positions are compared on a scale that both bytes and cells divide: byte b begins at b * columns,
 * cell c at c * span. 128 bits hold that without rounding. A cell is as wide as span, so that the
 * share which a piece has of a cell fits 64 bits.
 */
typedef unsigned __int128 wide;

/* A slice, as far as it lies on this image. */
struct extent_of_slice {
	uint64_t start;
	uint64_t bytes;
	bool outside; /* some of it is past the image's end */
};

/* What is only needed while a picture is made. Arrays of pieces, slices, or cells. */
struct workshop {
	struct picture *picture;
	unsigned char *lanes; /* of each piece */
	uint32_t *owned;      /* cells that a slice has to itself */
	struct extent_of_slice *slices;
	uint64_t *best;    /* share of a cell that its owner has */
	uint64_t *gaps;    /* share of a column that is in no slice */
	int64_t *entering; /* into each cell of the last lane: pieces, less those that leave */
	uint64_t *entering_sums; /* of their slices, so that one alone is known */
	VEC(struct picture_range) visible_gaps;
};

static inline struct picture_cell *cell_at(const struct picture *picture, unsigned lane,
					   unsigned column)
{
	return &picture->cells[(size_t)lane * picture->columns + column];
}

/* The last column that shows some of [start, end). */
unsigned picture_last_column(const struct picture *picture, uint64_t start, uint64_t end);

/* How much of the cell [start, end) has. */
uint64_t picture_share(const struct picture *picture, unsigned column, uint64_t start,
		       uint64_t end);

/* Fill the cells. The pieces are sorted, and the gaps' shares known. 0 or -ENOMEM. */
int workshop_paint(struct workshop *workshop);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include "size.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What lies where in one image, as a bar of cells to be drawn: on a terminal, or as SVG.
 *
 * The bar is a scale from 0 to the image's end, or further where slices lie past it. All cells are
 * as wide, and a byte may be wider than a cell or the other way round. Slices that overlap go to
 * further lanes. However many slices there are, a picture has no more than lanes times columns of
 * cells and PICTURE_ROWS_MAX rows of legend.
 */

/* Of one slice, for the legend; or of something else that is only listed. Strings are borrowed, and
 * NULL where there is nothing to say.
 */
struct picture_slice {
	const char *name;
	const char *type;
	const char *label;
	const char *image; /* for lists of several images */
	const char *access;
	const char *flags;
	uint64_t size;
	uint64_t offset;
	bool no_size;
	bool no_offset; /* it lies on no image */
};

/* A part of a slice that lies on the image; start == end where it has no bytes. */
struct picture_piece {
	uint64_t start;
	uint64_t end; /* exclusive */
	uint32_t slice;
};

struct picture_range {
	uint64_t start;
	uint64_t end; /* exclusive */
};

/* An image. Slices are numbers from 0; all is borrowed for the life of the picture. */
struct picture_input {
	const char *name;
	const char *path;
	bool writable;
	uint64_t size;
	struct picture_piece *pieces; /* get sorted */
	size_t piece_count;
	uint32_t slice_count;
	const struct picture_range *holes; /* in order, apart from each other */
	size_t hole_count;
	bool more_holes; /* than these */
	/* What a slice is called, valid until the next call. */
	void (*describe)(void *context, uint32_t slice, struct picture_slice *ret);
	void *context;
};

#define PICTURE_LANES_MAX 8
#define PICTURE_SLICES_MAX 52 /* more are not all listed, but the largest are: so many */
#define PICTURE_LARGEST 20
#define PICTURE_ROWS_MAX 80

/* Instead of a slice in a cell. */
#define PICTURE_BLANK UINT32_MAX       /* nothing in this lane */
#define PICTURE_GAP (UINT32_MAX - 1)   /* in the first lane: bytes in no slice at all */
#define PICTURE_CROWD (UINT32_MAX - 2) /* count slices that cannot be told apart */

struct picture_cell {
	uint32_t slice;
	uint32_t count; /* of slices: 0, 1, or that of the crowd */
};

struct picture_row {
	uint32_t slice; /* or PICTURE_GAP */
	uint32_t rank;  /* of slices with the same start */
	uint64_t start; /* its first byte on this image */
	uint64_t end;   /* a gap's */
	char key;       /* of a slice, as in the bar: a-z, A-Z */
};

struct picture {
	const struct picture_input *input;
	unsigned columns;
	unsigned lane_count;
	uint64_t span;              /* bytes of the scale, not 0 */
	struct picture_cell *cells; /* lane by lane */
	unsigned char *stored;      /* a cell's data: 0 none, 8 all; NULL when there are no holes */
	uint32_t *ranks;            /* of each slice, in the order of where they begin */

	struct picture_row rows[PICTURE_ROWS_MAX]; /* of the legend, by start */
	size_t row_count;
	uint32_t unlisted; /* slices without a row */

	/* Bytes of the image. */
	uint64_t covered; /* by slices */
	uint64_t overlap; /* by more than one */
	uint64_t hole;
	uint64_t largest_gap;
	size_t gap_count;
	uint32_t outside; /* slices that reach past its end */
	bool clipped;     /* they reach past the scale's end, too */
};

/* columns > 0. 0 or -ENOMEM. ret is to be cleared in any case. */
int picture_make(const struct picture_input *input, unsigned columns, struct picture *ret);
void picture_clear(struct picture *picture);

/* The first byte of a cell, and the column that shows a byte. */
uint64_t picture_offset(const struct picture *picture, unsigned column);
unsigned picture_column(const struct picture *picture, uint64_t offset);

/* The columns that show some of the image; those behind are past its end. */
unsigned picture_image_columns(const struct picture *picture);

/* Cells in a row that look the same. */
struct picture_run {
	unsigned start;
	unsigned end;
	struct picture_cell cell; /* of a crowd its first */
	unsigned level;           /* of a crowd: 0 to 3, for 2, 10, 100, 1,000 and more slices */
	bool outside;             /* past the image's end */
};

/* The run of lane that begins at column. */
struct picture_run picture_run_at(const struct picture *picture, unsigned lane, unsigned column);

/* The key of a slice, 0 when it is not listed. */
char picture_key(const struct picture *picture, uint32_t slice);

/* A step for the scale, a power of two of bytes, so that there are up to so many. */
uint64_t picture_step(const struct picture *picture, unsigned steps);

/* A number for the scale, short but never rounded. Returns text. */
char *picture_tick(uint64_t offset, char text[SIZE_TEXT_MAX]);

struct picture_style {
	unsigned columns; /* of the terminal */
	bool utf8;
	unsigned colours; /* 0, 8 or 256 */
};

void picture_print(const struct picture *picture, const struct picture_style *style, FILE *out);

/* Cells that a picture for picture_svg() is best made of. */
#define PICTURE_SVG_COLUMNS 960

/* All images below each other, in one document. 0 or -ENOMEM. */
int picture_svg(const struct picture *pictures, size_t count, FILE *out);

#endif

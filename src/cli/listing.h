/* SPDX-License-Identifier: MIT */
#ifndef CLI_LISTING_H
#define CLI_LISTING_H

#include "picture.h"
#include "size.h"
#include "text.h"

/* Slices in aligned columns, for people. Columns that no row has anything for are left out. */
enum listing_column {
	LISTING_NAME,
	LISTING_SIZE,
	LISTING_OFFSET,
	LISTING_IMAGE,
	LISTING_TYPE,
	LISTING_LABEL,
	LISTING_ACCESS,
	LISTING_FLAGS,
	LISTING_COLUMNS,
};

struct listing_row {
	const char *text[LISTING_COLUMNS]; /* borrowed; NULL: nothing to say */
	char size[SIZE_TEXT_MAX];
	char offset[SIZE_TEXT_MAX];
};

struct listing {
	enum text_form form;
	unsigned widths[LISTING_COLUMNS]; /* 0: left out */
};

/* Fill a row, which points into itself and to what slice has. */
void listing_fill(const struct picture_slice *slice, struct listing_row *ret);
void listing_fill_gap(uint64_t start, uint64_t length, struct listing_row *ret);

/* Make room for a row. */
void listing_measure(struct listing *listing, const struct listing_row *row);

/* Make it fit so many columns, if that is possible at all. */
void listing_narrow(struct listing *listing, unsigned columns);

/* Blanks between columns. */
#define LISTING_SPACE 2

bool listing_is_number(enum listing_column column);
const char *listing_header(enum listing_column column);

/* One line with its newline, without blanks at its end; row NULL: the headers. Where nothing was
 * narrowed nothing is cut.
 */
void listing_print(const struct listing *listing, const struct listing_row *row, FILE *out);

#endif

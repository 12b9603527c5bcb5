/* SPDX-License-Identifier: MIT */
/* Rows and columns: plan -h, and the legends of pictures. */
#include "listing.h"

#include "overflow.h"

#include <limits.h>
#include <string.h>

/* Names and the like are not cut further. */
#define CUT_WIDTH_MIN 8

static const char *const headers[] = {
	[LISTING_NAME] = "NAME",     [LISTING_SIZE] = "SIZE",   [LISTING_OFFSET] = "OFFSET",
	[LISTING_IMAGE] = "IMAGE",   [LISTING_TYPE] = "TYPE",   [LISTING_LABEL] = "LABEL",
	[LISTING_ACCESS] = "ACCESS", [LISTING_FLAGS] = "FLAGS",
};

bool listing_is_number(enum listing_column column)
{
	return column == LISTING_SIZE || column == LISTING_OFFSET;
}

const char *listing_header(enum listing_column column)
{
	return headers[column];
}

void listing_fill(const struct picture_slice *slice, struct listing_row *ret)
{
	*ret = (struct listing_row){ .text = {
					     [LISTING_NAME] = slice->name,
					     [LISTING_SIZE] = slice->no_size ? NULL : ret->size,
					     [LISTING_OFFSET] = slice->no_offset ? NULL
										 : ret->offset,
					     [LISTING_IMAGE] = slice->image,
					     [LISTING_TYPE] = slice->type,
					     [LISTING_LABEL] = slice->label,
					     [LISTING_ACCESS] = slice->access,
					     [LISTING_FLAGS] = slice->flags,
				     } };
	size_round(slice->size, ret->size);
	size_round(slice->offset, ret->offset);
}

void listing_fill_gap(uint64_t start, uint64_t length, struct listing_row *ret)
{
	*ret = (struct listing_row){ .text = {
					     [LISTING_NAME] = "(unallocated)",
					     [LISTING_SIZE] = ret->size,
					     [LISTING_OFFSET] = ret->offset,
				     } };
	size_round(length, ret->size);
	size_round(start, ret->offset);
}

void listing_measure(struct listing *listing, const struct listing_row *row)
{
	for (int i = 0; i < LISTING_COLUMNS; i++)
		if (row->text[i] && *row->text[i])
			listing->widths[i] =
				max_u64(max_u64(listing->widths[i], strlen(headers[i])),
					text_width(row->text[i], listing->form));
}

/* The widest column that may be cut, by its width. NULL: there is none. */
static unsigned *widest(struct listing *listing)
{
	static const enum listing_column cuttable[] = { LISTING_NAME, LISTING_IMAGE, LISTING_TYPE,
							LISTING_LABEL };
	unsigned *found = NULL;

	for (size_t i = 0; i < sizeof(cuttable) / sizeof(*cuttable); i++) {
		unsigned *width = &listing->widths[cuttable[i]];

		if (*width > CUT_WIDTH_MIN && (!found || *width > *found))
			found = width;
	}
	return found;
}

void listing_narrow(struct listing *listing, unsigned columns)
{
	unsigned used = 0;
	unsigned *width;

	for (int i = 0; i < LISTING_COLUMNS; i++)
		used += listing->widths[i] + (i > 0 && listing->widths[i] ? LISTING_SPACE : 0);
	for (; used > columns && (width = widest(listing)); used--)
		--*width;
}

void listing_print(const struct listing *listing, const struct listing_row *row, FILE *out)
{
	unsigned blanks = 0;

	for (int i = 0; i < LISTING_COLUMNS; i++) {
		const char *text = (row ? row->text[i] : headers[i]) ?: "";
		unsigned width = min_u64(text_width(text, listing->form), listing->widths[i]);

		if (listing->widths[i] == 0)
			continue;
		if (listing_is_number(i))
			blanks += listing->widths[i] - width;
		if (width > 0) {
			for (; blanks > 0; blanks--)
				putc_unlocked(' ', out);
			width = text_put(text, width, listing->form, out);
		}
		if (!listing_is_number(i))
			blanks += listing->widths[i] - width;
		blanks += LISTING_SPACE;
	}
	putc('\n', out);
}

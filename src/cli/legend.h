/* SPDX-License-Identifier: MIT */
#ifndef CLI_LEGEND_H
#define CLI_LEGEND_H

#include "listing.h"
#include "picture.h"

/* What is written below a picture, wherever it is drawn. */

/* The legend's columns, narrow enough for so many columns. */
void legend_measure(const struct picture *picture, enum text_form form, unsigned columns,
		    struct listing *ret);

/* Its row index. slice keeps what the row points to. */
void legend_row(const struct picture *picture, size_t index, struct picture_slice *slice,
		struct listing_row *ret);

/* Facts about the image as a whole: number index, or false when there is nothing to say on it. */
#define LEGEND_FACTS 5
#define LEGEND_FACT_MAX 128
bool legend_fact(const struct picture *picture, unsigned index, char text[LEGEND_FACT_MAX]);

/* What the bar shows besides slices, and thus needs a word. */
struct legend_signs {
	bool gap;
	bool crowds[4]; /* by level */
	bool outside;
};
void legend_signs(const struct picture *picture, struct legend_signs *ret);
extern const char *const legend_crowds[4]; /* how many slices a level is */

#endif

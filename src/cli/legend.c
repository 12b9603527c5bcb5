/* SPDX-License-Identifier: MIT */
/* The words below a picture. */
#include "legend.h"

const char *const legend_crowds[] = { "2-9", "10-99", "100-999", "1,000 and more" };

void legend_row(const struct picture *picture, size_t index, struct picture_slice *slice,
		struct listing_row *ret)
{
	const struct picture_row *row = &picture->rows[index];

	if (row->slice == PICTURE_GAP) {
		listing_fill_gap(row->start, row->end - row->start, ret);
		return;
	}
	picture->input->describe(picture->input->context, row->slice, slice);
	slice->image = NULL; /* this one */
	slice->offset = row->start;
	slice->no_offset = false;
	listing_fill(slice, ret);
}

void legend_measure(const struct picture *picture, enum text_form form, unsigned columns,
		    struct listing *ret)
{
	struct picture_slice slice;
	struct listing_row row;

	*ret = (struct listing){ .form = form };
	for (size_t i = 0; i < picture->row_count; i++) {
		legend_row(picture, i, &slice, &row);
		listing_measure(ret, &row);
	}
	listing_narrow(ret, columns);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

bool legend_fact(const struct picture *picture, unsigned index, char text[LEGEND_FACT_MAX])
{
	const struct picture_input *input = picture->input;
	uint64_t gaps = input->size - picture->covered;
	char count[TEXT_COUNT_MAX];
	char size[SIZE_TEXT_MAX];
	char percent[TEXT_PERCENT_MAX];
	int length = 0;

	if (index == 0)
		length = snprintf(text, LEGEND_FACT_MAX, "%s slice%s on %s of the image (%s)",
				  text_count(input->slice_count, count), plural(input->slice_count),
				  size_round(picture->covered, size),
				  text_percent(picture->covered, input->size, percent));
	else if (index == 1 && picture->gap_count > 0)
		length = snprintf(text, LEGEND_FACT_MAX, "%s in %s gap%s (%s)",
				  size_round(gaps, size), text_count(picture->gap_count, count),
				  plural(picture->gap_count),
				  text_percent(gaps, input->size, percent));
	else if (index == 2 && picture->overlap > 0)
		length = snprintf(text, LEGEND_FACT_MAX, "%s in more than one slice",
				  size_round(picture->overlap, size));
	else if (index == 3 && picture->hole > 0)
		length = snprintf(text, LEGEND_FACT_MAX, "%s%s of holes (%s)",
				  input->more_holes ? "at least " : "",
				  size_round(picture->hole, size),
				  text_percent(picture->hole, input->size, percent));
	else if (index == 4 && picture->outside > 0)
		length = snprintf(text, LEGEND_FACT_MAX, "%s slice%s past the image's end",
				  text_count(picture->outside, count), plural(picture->outside));
	return length > 0;
}

void legend_signs(const struct picture *picture, struct legend_signs *ret)
{
	*ret = (struct legend_signs){ 0 };
	for (unsigned lane = 0; lane < picture->lane_count; lane++) {
		struct picture_run run = { 0 };

		while (run.end < picture->columns) {
			run = picture_run_at(picture, lane, run.end);
			ret->gap |= run.cell.slice == PICTURE_GAP;
			ret->crowds[run.level] |= run.cell.slice == PICTURE_CROWD;
			ret->outside |= run.outside && run.cell.count > 0;
		}
	}
}

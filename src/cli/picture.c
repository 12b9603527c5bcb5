/* SPDX-License-Identifier: MIT */
/* A picture's scale, sums, and legend. */
#include "picture_internal.h"

#include "cleanup.h"
#include "overflow.h"

#include <errno.h>
#include <string.h>

static void workshop_clear(struct workshop *workshop)
{
	free(workshop->lanes);
	free(workshop->owned);
	free(workshop->slices);
	free(workshop->best);
	free(workshop->gaps);
	free(workshop->entering);
	free(workshop->entering_sums);
	free(workshop->visible_gaps.data);
}

static int compare_pieces(const void *left, const void *right)
{
	const struct picture_piece *a = left;
	const struct picture_piece *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if ((a->start == a->end) != (b->start == b->end)) /* before what begins there */
		return a->start == a->end ? -1 : 1;
	if (a->end != b->end)
		return a->end > b->end ? -1 : 1;
	return a->slice < b->slice ? -1 : a->slice > b->slice;
}

/* --- scale ---------------------------------------------------------------------------------- */

uint64_t picture_offset(const struct picture *picture, unsigned column)
{
	return ((wide)column * picture->span + picture->columns - 1) / picture->columns;
}

unsigned picture_column(const struct picture *picture, uint64_t offset)
{
	if (offset >= picture->span)
		return picture->columns - 1;
	return (wide)offset * picture->columns / picture->span;
}

unsigned picture_image_columns(const struct picture *picture)
{
	wide end = (wide)picture->input->size * picture->columns;

	return (end + picture->span - 1) / picture->span;
}

unsigned picture_last_column(const struct picture *picture, uint64_t start, uint64_t end)
{
	if (end >= picture->span)
		return picture->columns - 1;
	if (end <= start)
		return picture_column(picture, start);
	return ((wide)end * picture->columns - 1) / picture->span;
}

uint64_t picture_share(const struct picture *picture, unsigned column, uint64_t start, uint64_t end)
{
	wide cell = (wide)column * picture->span;
	wide from = (wide)start * picture->columns;
	wide to = (wide)end * picture->columns;

	if (from < cell)
		from = cell;
	if (to > cell + picture->span)
		to = cell + picture->span;
	return to > from ? to - from : 0;
}

/* What lies past the image's end is shown, but does not press the image into a corner. */
static void choose_span(struct picture *picture)
{
	const struct picture_input *input = picture->input;
	uint64_t end = 0;
	uint64_t limit = input->size ? input->size + input->size / 3 : UINT64_MAX;

	for (size_t i = 0; i < input->piece_count; i++)
		end = max_u64(end, input->pieces[i].end);
	if (limit < input->size)
		limit = UINT64_MAX;
	picture->clipped = end > limit;
	picture->span = max_u64(max_u64(input->size, min_u64(end, limit)), 1);
}

/* --- bytes ---------------------------------------------------------------------------------- */

static int add_gap(struct workshop *workshop, uint64_t start, uint64_t end)
{
	struct picture *picture = workshop->picture;
	struct picture_range gap = { start, end };
	unsigned last = picture_last_column(picture, start, end);
	wide length = (wide)(end - start) * picture->columns;

	if (start >= end)
		return 0;
	picture->gap_count++;
	picture->largest_gap = max_u64(picture->largest_gap, end - start);
	for (unsigned i = picture_column(picture, start); i <= last; i++)
		workshop->gaps[i] += picture_share(picture, i, start, end);
	/* Else it has no cell. */
	return length * 2 > picture->span ? vec_push(&workshop->visible_gaps, gap) : 0;
}

/* Add up what is covered, once and more than once, and find the gaps. */
static int count_bytes(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	const struct picture_input *input = picture->input;
	uint64_t once = 0;  /* the end of what one piece has covered so far */
	uint64_t twice = 0; /* and two */
	int result = 0;

	for (size_t i = 0; i < input->piece_count && result == 0; i++) {
		uint64_t start = min_u64(input->pieces[i].start, input->size);
		uint64_t end = min_u64(input->pieces[i].end, input->size);
		uint64_t shared = min_u64(end, once);

		if (start == end)
			continue;
		result = add_gap(workshop, once, start);
		if (shared > max_u64(start, twice)) {
			picture->overlap += shared - max_u64(start, twice);
			twice = shared;
		}
		if (end > once) {
			picture->covered += end - max_u64(start, once);
			once = end;
		}
	}
	return result ?: add_gap(workshop, once, input->size);
}

static int measure_holes(struct picture *picture)
{
	const struct picture_input *input = picture->input;
	_cleanup_(cleanup_free) uint64_t *holes = NULL;

	if (input->hole_count == 0)
		return 0;
	holes = calloc(picture->columns, sizeof(*holes));
	picture->stored = calloc(picture->columns, 1);
	if (!holes || !picture->stored)
		return -ENOMEM;
	for (size_t i = 0; i < input->hole_count; i++) {
		uint64_t start = min_u64(input->holes[i].start, input->size);
		uint64_t end = min_u64(input->holes[i].end, input->size);
		unsigned last = picture_last_column(picture, start, end);

		picture->hole += end - start;
		for (unsigned c = picture_column(picture, start); c <= last; c++)
			holes[c] += picture_share(picture, c, start, end);
	}
	for (unsigned c = 0; c < picture_image_columns(picture); c++) {
		uint64_t width = picture_share(picture, c, 0, input->size);
		uint64_t data = width - holes[c];

		if (data > 0 && width > 0)
			picture->stored[c] = 1 + (wide)data * 7 / width;
	}
	return 0;
}

/* --- legend --------------------------------------------------------------------------------- */

static int compare_rows(const void *left, const void *right)
{
	const struct picture_row *a = left;
	const struct picture_row *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Number the slices by where they begin, and add up what each has. */
static void rank_slices(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	const struct picture_input *input = picture->input;
	uint32_t rank = 0;

	memset(picture->ranks, 0xff, input->slice_count * sizeof(*picture->ranks));
	for (size_t i = 0; i < input->piece_count; i++) {
		const struct picture_piece *piece = &input->pieces[i];
		struct extent_of_slice *slice = &workshop->slices[piece->slice];

		if (picture->ranks[piece->slice] == UINT32_MAX) {
			picture->ranks[piece->slice] = rank++;
			slice->start = piece->start;
		}
		if (add_overflows(slice->bytes, piece->end - piece->start, &slice->bytes))
			slice->bytes = UINT64_MAX;
		if (piece->end > input->size && !slice->outside) {
			slice->outside = true;
			picture->outside++;
		}
	}
}

static void add_slice_row(struct workshop *workshop, uint32_t slice)
{
	struct picture *picture = workshop->picture;

	picture->rows[picture->row_count++] = (struct picture_row){
		.slice = slice,
		.rank = picture->ranks[slice],
		.start = workshop->slices[slice].start,
	};
}

static void list_all(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;

	for (uint32_t i = 0; i < picture->input->slice_count; i++)
		add_slice_row(workshop, i);
	if (workshop->visible_gaps.count > PICTURE_ROWS_MAX - picture->row_count)
		return;
	for (size_t i = 0; i < workshop->visible_gaps.count; i++)
		picture->rows[picture->row_count++] = (struct picture_row){
			.slice = PICTURE_GAP,
			.start = workshop->visible_gaps.data[i].start,
			.end = workshop->visible_gaps.data[i].end,
		};
}

static void list_largest(struct workshop *workshop)
{
	const struct extent_of_slice *slices = workshop->slices;
	uint32_t largest[PICTURE_LARGEST]; /* in order */
	size_t count = 0;

	for (uint32_t slice = 0; slice < workshop->picture->input->slice_count; slice++) {
		size_t place = count;

		while (place > 0 && slices[slice].bytes > slices[largest[place - 1]].bytes)
			place--;
		if (place == PICTURE_LARGEST)
			continue;
		count = min_u64(count + 1, PICTURE_LARGEST);
		memmove(&largest[place + 1], &largest[place],
			(count - 1 - place) * sizeof(*largest));
		largest[place] = slice;
	}
	for (size_t i = 0; i < count; i++)
		add_slice_row(workshop, largest[i]);
	workshop->picture->unlisted = workshop->picture->input->slice_count - count;
}

static void list(struct workshop *workshop)
{
	static const char keys[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct picture *picture = workshop->picture;
	const char *key = keys;

	rank_slices(workshop);
	if (picture->input->slice_count <= PICTURE_SLICES_MAX)
		list_all(workshop);
	else
		list_largest(workshop);
	qsort(picture->rows, picture->row_count, sizeof(*picture->rows), compare_rows);
	for (size_t i = 0; i < picture->row_count; i++)
		if (picture->rows[i].slice != PICTURE_GAP)
			picture->rows[i].key = *key++;
}

/* --- the picture ---------------------------------------------------------------------------- */

static int workshop_open(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	const struct picture_input *input = picture->input;
	size_t columns = picture->columns;

	/* One more, so that nothing is asked for an array of nothing. */
	workshop->lanes = malloc(input->piece_count + 1);
	workshop->owned = calloc(input->slice_count + 1UL, sizeof(*workshop->owned));
	workshop->slices = calloc(input->slice_count + 1UL, sizeof(*workshop->slices));
	workshop->gaps = calloc(columns, sizeof(*workshop->gaps));
	workshop->entering = calloc(columns + 1, sizeof(*workshop->entering));
	workshop->entering_sums = calloc(columns + 1, sizeof(*workshop->entering_sums));
	picture->ranks = malloc((input->slice_count + 1UL) * sizeof(*picture->ranks));
	if (!workshop->lanes || !workshop->owned || !workshop->slices || !workshop->gaps ||
	    !workshop->entering || !workshop->entering_sums || !picture->ranks)
		return -ENOMEM;
	return 0;
}

int picture_make(const struct picture_input *input, unsigned columns, struct picture *ret)
{
	_cleanup_(workshop_clear) struct workshop workshop = { .picture = ret };
	int result;

	*ret = (struct picture){ .input = input, .columns = columns };
	if (input->piece_count > 0)
		qsort(input->pieces, input->piece_count, sizeof(*input->pieces), compare_pieces);
	choose_span(ret);
	result = workshop_open(&workshop) ?: count_bytes(&workshop) ?: measure_holes(ret) ?: workshop_paint(&workshop);
	if (result == 0)
		list(&workshop);
	return result;
}

void picture_clear(struct picture *picture)
{
	free(picture->cells);
	free(picture->stored);
	free(picture->ranks);
	*picture = (struct picture){ 0 };
}

/* --- what renderers ask --------------------------------------------------------------------- */

static unsigned crowd_level(uint32_t count)
{
	return count < 10 ? 0 : count < 100 ? 1 : count < 1000 ? 2 : 3;
}

static bool look_the_same(const struct picture_cell *a, const struct picture_cell *b)
{
	return a->slice == b->slice &&
	       (a->slice != PICTURE_CROWD || crowd_level(a->count) == crowd_level(b->count));
}

struct picture_run picture_run_at(const struct picture *picture, unsigned lane, unsigned column)
{
	const struct picture_cell *cell = cell_at(picture, lane, column);
	unsigned image_columns = picture_image_columns(picture);
	struct picture_run run = {
		.start = column,
		.end = column + 1,
		.cell = *cell,
		.level = crowd_level(cell->count),
		.outside = column >= image_columns,
	};

	while (run.end < picture->columns && (run.outside || run.end < image_columns) &&
	       look_the_same(cell, cell_at(picture, lane, run.end)))
		run.end++;
	return run;
}

char picture_key(const struct picture *picture, uint32_t slice)
{
	for (size_t i = 0; i < picture->row_count; i++)
		if (picture->rows[i].slice == slice)
			return picture->rows[i].key;
	return 0;
}

uint64_t picture_step(const struct picture *picture, unsigned steps)
{
	uint64_t step = 1;

	while (step < 1UL << 63 && picture->span / step > max_u64(steps, 1))
		step *= 2;
	return step;
}

char *picture_tick(uint64_t offset, char text[SIZE_TEXT_MAX])
{
	uint64_t unit = 1;

	while (offset / unit >= 1024)
		unit *= 1024;
	/* "1.5G", but "1152K" rather than "1.1M" */
	return offset % unit * 10 % unit == 0 ? size_round(offset, text)
					      : size_format(offset, text);
}

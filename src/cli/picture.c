/* SPDX-License-Identifier: MIT */
/* The cells of a bar.
 *
 * Positions are compared on a scale that both bytes and cells divide: byte b begins at b * columns,
 * cell c at c * span. 128 bits hold that without rounding. A cell is as wide as span, so that the
 * share which a piece has of a cell fits 64 bits.
 *
 * Lanes: pieces in order of their start, longer ones first, each into the first lane where the one
 * before it has ended. What finds none goes to the last lane, where pieces overlap.
 *
 * Cells: first each goes to whoever has the most of it, a slice or the gap. Then each slice that got
 * none asks for one where it lies; it gets it if it comes alone and the owner has another one. Else
 * the cell becomes a crowd. So every slice is in some cell, alone or counted.
 */
#include "picture.h"

#include "cleanup.h"
#include "overflow.h"
#include "vec.h"

#include <errno.h>
#include <string.h>

typedef unsigned __int128 wide;

#define LAST_LANE (PICTURE_LANES_MAX - 1)

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
	return min_u64((wide)offset * picture->columns / picture->span, picture->columns - 1);
}

unsigned picture_image_columns(const struct picture *picture)
{
	wide end = (wide)picture->input->size * picture->columns;

	return min_u64((end + picture->span - 1) / picture->span, picture->columns);
}

/* The last column that shows some of [start, end). */
static unsigned last_column(const struct picture *picture, uint64_t start, uint64_t end)
{
	unsigned column = picture_column(picture, start);
	wide last = ((wide)end * picture->columns + picture->span - 1) / picture->span;

	return end > start ? max_u64(column, min_u64(last, picture->columns) - 1) : column;
}

/* How much of the cell [start, end) has. */
static uint64_t share(const struct picture *picture, unsigned column, uint64_t start, uint64_t end)
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
	unsigned last = last_column(picture, start, end);
	wide length = (wide)(end - start) * picture->columns;

	if (start >= end)
		return 0;
	picture->gap_count++;
	picture->largest_gap = max_u64(picture->largest_gap, end - start);
	for (unsigned i = picture_column(picture, start); i <= last; i++)
		workshop->gaps[i] += share(picture, i, start, end);
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

		picture->hole += end - start;
		for (unsigned c = picture_column(picture, start);
		     start < end && c <= last_column(picture, start, end); c++)
			holes[c] += share(picture, c, start, end);
	}
	for (unsigned c = 0; c < picture_image_columns(picture); c++) {
		uint64_t width = share(picture, c, 0, input->size);
		uint64_t data = width - holes[c];

		picture->stored[c] = data == 0 ? 0 : data == width ? 8 : 1 + (wide)data * 7 / width;
	}
	return 0;
}

/* --- lanes and cells ------------------------------------------------------------------------ */

static struct picture_cell *cell_at(const struct picture *picture, unsigned lane, unsigned column)
{
	return &picture->cells[(size_t)lane * picture->columns + column];
}

static void choose_lanes(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	const struct picture_input *input = picture->input;
	uint64_t ends[PICTURE_LANES_MAX] = { 0 };

	picture->lane_count = 1;
	for (size_t i = 0; i < input->piece_count; i++) {
		const struct picture_piece *piece = &input->pieces[i];
		unsigned lane = 0;

		while (lane < LAST_LANE && ends[lane] > piece->start)
			lane++;
		ends[lane] = max_u64(ends[lane], piece->end);
		workshop->lanes[i] = lane;
		picture->lane_count = max_u64(picture->lane_count, lane + 1);
	}
}

static void paint_piece(struct workshop *workshop, const struct picture_piece *piece, unsigned lane)
{
	struct picture *picture = workshop->picture;
	unsigned first = picture_column(picture, piece->start);
	unsigned last = last_column(picture, piece->start, piece->end);

	if (piece->start >= picture->span && piece->end > piece->start)
		return;
	if (lane == LAST_LANE) {
		workshop->entering[first]++;
		workshop->entering[last + 1]--;
		workshop->entering_sums[first] += piece->slice;
		workshop->entering_sums[last + 1] -= piece->slice;
		return;
	}
	for (unsigned c = first; c <= last; c++) {
		uint64_t mine = share(picture, c, piece->start, piece->end);
		uint64_t *best = &workshop->best[(size_t)lane * picture->columns + c];

		if (mine > *best) {
			*best = mine;
			*cell_at(picture, lane, c) = (struct picture_cell){ piece->slice, 1 };
		}
	}
}

static void paint_last_lane(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	int64_t count = 0;
	uint64_t sum = 0;

	if (picture->lane_count < PICTURE_LANES_MAX)
		return;
	for (unsigned c = 0; c < picture->columns; c++) {
		count += workshop->entering[c];
		sum += workshop->entering_sums[c];
		if (count == 0)
			continue;
		*cell_at(picture, LAST_LANE, c) = (struct picture_cell){
			.slice = count == 1 ? (uint32_t)sum : PICTURE_CROWD,
			.count = min_u64(count, UINT32_MAX),
		};
		workshop->best[(size_t)LAST_LANE * picture->columns + c] = picture->span;
	}
}

/* A cell of the first lane goes to the gap when that has more of it than any slice. */
static void paint_gaps(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;

	for (unsigned c = 0; c < picture->columns; c++) {
		uint64_t best = 0;

		for (unsigned lane = 0; lane < picture->lane_count; lane++)
			best = max_u64(best, workshop->best[(size_t)lane * picture->columns + c]);
		if (workshop->gaps[c] > best)
			*cell_at(picture, 0, c) = (struct picture_cell){ .slice = PICTURE_GAP };
	}
}

/* The column where the piece has the most. */
static unsigned home_column(const struct picture *picture, const struct picture_piece *piece)
{
	unsigned first = picture_column(picture, piece->start);
	unsigned last = last_column(picture, piece->start, piece->end);
	unsigned home = first;

	/* One in the middle has it all, like all in the middle. */
	for (unsigned c = first; c <= last && c <= first + 2; c++)
		if (share(picture, c, piece->start, piece->end) >
		    share(picture, home, piece->start, piece->end))
			home = c;
	return home;
}

/* Slices that ask for a cell. */
struct asking {
	uint32_t count;
	uint32_t slice; /* of one, if alone */
};

static void give_cell(struct picture_cell *cell, const struct asking *asking, uint32_t *owned)
{
	bool owner_stays = cell->count == 1 && owned[cell->slice] == 1;

	if (asking->count == 0)
		return;
	if (cell->count == 1 && !owner_stays)
		owned[cell->slice]--;
	if (asking->count == 1 && !owner_stays)
		*cell = (struct picture_cell){ asking->slice, 1 };
	else
		*cell = (struct picture_cell){ PICTURE_CROWD, asking->count + owner_stays };
}

/* Find a place for slices that nobody would see. */
static int house_the_rest(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	const struct picture_input *input = picture->input;
	size_t cell_count = (size_t)picture->lane_count * picture->columns;
	_cleanup_(cleanup_free) struct asking *asking = calloc(cell_count, sizeof(*asking));

	if (!asking)
		return -ENOMEM;
	for (size_t i = 0; i < cell_count; i++)
		if (picture->cells[i].count == 1)
			workshop->owned[picture->cells[i].slice]++;
	for (size_t i = 0; i < input->piece_count; i++) {
		const struct picture_piece *piece = &input->pieces[i];
		struct asking *at;

		if (workshop->owned[piece->slice] > 0 || workshop->lanes[i] == LAST_LANE)
			continue;
		workshop->owned[piece->slice] = UINT32_MAX; /* asks once */
		at = &asking[(size_t)workshop->lanes[i] * picture->columns +
			     home_column(picture, piece)];
		at->count++;
		at->slice = piece->slice;
	}
	for (size_t i = 0; i < cell_count; i++)
		give_cell(&picture->cells[i], &asking[i], workshop->owned);
	return 0;
}

static int paint(struct workshop *workshop)
{
	struct picture *picture = workshop->picture;
	size_t cell_count;

	choose_lanes(workshop);
	cell_count = (size_t)picture->lane_count * picture->columns;
	picture->cells = malloc(cell_count * sizeof(*picture->cells));
	workshop->best = calloc(cell_count, sizeof(*workshop->best));
	if (!picture->cells || !workshop->best)
		return -ENOMEM;
	for (size_t i = 0; i < cell_count; i++)
		picture->cells[i] = (struct picture_cell){ .slice = PICTURE_BLANK };
	for (size_t i = 0; i < picture->input->piece_count; i++)
		paint_piece(workshop, &picture->input->pieces[i], workshop->lanes[i]);
	paint_last_lane(workshop);
	paint_gaps(workshop);
	return house_the_rest(workshop);
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
	result = workshop_open(&workshop) ?: count_bytes(&workshop) ?: measure_holes(ret) ?: paint(&workshop);
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

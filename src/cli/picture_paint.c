/* SPDX-License-Identifier: MIT */
/* Who gets which cell of a picture.
 *
 * Lanes: pieces in order of their start, longer ones first, each into the first lane where the one
 * before it has ended. What finds none goes to the last lane, where pieces overlap.
 *
 * Cells: first each goes to whoever has the most of it, a slice or the gap. Then each slice that got
 * none asks for one where it lies; it gets it if it comes alone and the owner has another one. Else
 * the cell becomes a crowd. So every slice is in some cell, alone or counted.
 */
#include "picture_internal.h"

#include "cleanup.h"
#include "overflow.h"

#include <errno.h>

#define LAST_LANE (PICTURE_LANES_MAX - 1)

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
	unsigned last = picture_last_column(picture, piece->start, piece->end);

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
		uint64_t mine = picture_share(picture, c, piece->start, piece->end);
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
	unsigned last = picture_last_column(picture, piece->start, piece->end);
	unsigned home = first;

	/* One in the middle has it all, like all in the middle. */
	for (unsigned c = first; c <= last && c <= first + 2; c++)
		if (picture_share(picture, c, piece->start, piece->end) >
		    picture_share(picture, home, piece->start, piece->end))
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
	_cleanup_(cleanup_free) struct asking *asking = calloc(cell_count + 1, sizeof(*asking));

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

int workshop_paint(struct workshop *workshop)
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

/* SPDX-License-Identifier: MIT */
/* Each cell of a picture, and its sums, against bytes that are counted one by one. */
#include "support.h"

#include "picture.h"

#include <string.h>

#define SIZE_MAX_RANDOM 120
#define COLUMNS_MAX_RANDOM 60
#define PIECES_MAX_RANDOM 40

/* A byte is made of as many grains as there are columns; a cell of as many as there are bytes. */
struct model {
	struct picture_input input;
	struct picture_piece pieces[PIECES_MAX_RANDOM];
	struct picture_range holes[SIZE_MAX_RANDOM];
	unsigned columns;
	uint64_t span;
	unsigned lanes[PIECES_MAX_RANDOM];
	uint32_t owned[PIECES_MAX_RANDOM]; /* cells of each slice */
	struct picture_cell cells[PICTURE_LANES_MAX][COLUMNS_MAX_RANDOM];
};

static void random_input(struct model *model)
{
	uint64_t size = random_below(SIZE_MAX_RANDOM + 1);
	uint64_t length_max = random_chance(50) ? 6 : size + 10;
	uint32_t slices = 0;

	memset(model, 0, sizeof(*model));
	model->columns = 1 + random_below(COLUMNS_MAX_RANDOM);
	model->input = (struct picture_input){
		.name = "image",
		.path = "/image",
		.size = size,
		.pieces = model->pieces,
		.piece_count = random_below(PIECES_MAX_RANDOM + 1),
		.holes = model->holes,
	};
	for (size_t i = 0; i < model->input.piece_count; i++) {
		struct picture_piece *piece = &model->pieces[i];

		piece->start = random_below(size + (random_chance(10) ? 50 : 1));
		piece->end = piece->start + random_below(length_max + 1);
		if (random_chance(80) && piece->end > size && piece->start <= size)
			piece->end = size;
		if (i == 0 || random_chance(80))
			slices++;
		piece->slice = slices - 1;
	}
	model->input.slice_count = slices;
	for (uint64_t at = random_below(20) + 1; at < size && random_chance(70);) {
		struct picture_range *hole = &model->holes[model->input.hole_count++];

		hole->start = at;
		hole->end = at + 1 + random_below(20);
		at = hole->end + 1 + random_below(20);
	}
}

static bool holds(const struct picture_piece *piece, uint64_t byte)
{
	return byte >= piece->start && byte < piece->end;
}

static bool is_hole(const struct model *model, uint64_t byte)
{
	for (size_t i = 0; i < model->input.hole_count; i++)
		if (byte >= model->holes[i].start && byte < model->holes[i].end)
			return true;
	return false;
}

static unsigned covers(const struct model *model, uint64_t byte)
{
	unsigned count = 0;

	for (size_t i = 0; i < model->input.piece_count; i++)
		count += holds(&model->pieces[i], byte);
	return count;
}

/* Grains of the cell that are the piece's, or with NULL the image's and nobody's. */
static unsigned grains(const struct model *model, unsigned column,
		       const struct picture_piece *piece)
{
	unsigned count = 0;

	for (uint64_t i = column * model->span; i < (column + 1) * model->span; i++) {
		uint64_t byte = i / model->columns;

		count += piece ? holds(piece, byte)
			       : byte < model->input.size && covers(model, byte) == 0;
	}
	return count;
}

static unsigned column_of(const struct model *model, uint64_t byte)
{
	for (unsigned column = 0; column < model->columns; column++)
		if (byte * model->columns < (column + 1) * model->span)
			return column;
	return model->columns - 1;
}

static bool touches(const struct model *model, unsigned column, const struct picture_piece *piece)
{
	if (piece->start == piece->end)
		return column_of(model, piece->start) == column;
	return grains(model, column, piece) > 0;
}

/* The pieces are sorted by now. */
static void model_lanes(struct model *model)
{
	for (size_t i = 0; i < model->input.piece_count; i++) {
		const struct picture_piece *piece = &model->pieces[i];
		unsigned lane = 0;

		for (size_t j = 0; j < i && lane < PICTURE_LANES_MAX - 1; j++) {
			if (model->lanes[j] == lane && model->pieces[j].end > piece->start) {
				lane++;
				j = -1;
			}
		}
		model->lanes[i] = lane;
	}
}

static struct picture_cell model_owner(const struct model *model, unsigned lane, unsigned column,
				       unsigned *best)
{
	struct picture_cell cell = { .slice = PICTURE_BLANK };
	uint32_t sum = 0;

	*best = 0;
	for (size_t i = 0; i < model->input.piece_count; i++) {
		const struct picture_piece *piece = &model->pieces[i];

		if (model->lanes[i] != lane || !touches(model, column, piece))
			continue;
		sum++;
		if (grains(model, column, piece) > *best || lane == PICTURE_LANES_MAX - 1) {
			*best = grains(model, column, piece);
			cell = (struct picture_cell){ piece->slice, 1 };
		}
	}
	if (lane == PICTURE_LANES_MAX - 1 && sum > 0)
		*best = model->span;
	if (lane == PICTURE_LANES_MAX - 1 && sum > 1)
		cell = (struct picture_cell){ PICTURE_CROWD, sum };
	return cell;
}

static void model_owners(struct model *model)
{
	for (unsigned column = 0; column < model->columns; column++) {
		unsigned most = 0;

		for (unsigned lane = 0; lane < PICTURE_LANES_MAX; lane++) {
			unsigned best;

			model->cells[lane][column] = model_owner(model, lane, column, &best);
			if (best > most)
				most = best;
		}
		if (grains(model, column, NULL) > most)
			model->cells[0][column] = (struct picture_cell){ .slice = PICTURE_GAP };
		for (unsigned lane = 0; lane < PICTURE_LANES_MAX; lane++)
			if (model->cells[lane][column].count == 1)
				model->owned[model->cells[lane][column].slice]++;
	}
}

static unsigned model_home(const struct model *model, const struct picture_piece *piece)
{
	unsigned home = column_of(model, piece->start);

	for (unsigned column = home; column < model->columns; column++)
		if (grains(model, column, piece) > grains(model, home, piece))
			home = column;
	return home;
}

static void model_rest(struct model *model)
{
	unsigned asking[PICTURE_LANES_MAX][COLUMNS_MAX_RANDOM] = { 0 };
	uint32_t asks[PICTURE_LANES_MAX][COLUMNS_MAX_RANDOM] = { 0 };
	bool asked[PIECES_MAX_RANDOM] = { 0 };

	for (size_t i = 0; i < model->input.piece_count; i++) {
		const struct picture_piece *piece = &model->pieces[i];
		unsigned lane = model->lanes[i];
		unsigned home;

		if (model->owned[piece->slice] || asked[piece->slice] ||
		    lane == PICTURE_LANES_MAX - 1)
			continue;
		asked[piece->slice] = true;
		home = model_home(model, piece);
		asking[lane][home]++;
		asks[lane][home] = piece->slice;
	}
	for (unsigned lane = 0; lane < PICTURE_LANES_MAX; lane++)
		for (unsigned column = 0; column < model->columns; column++) {
			struct picture_cell *cell = &model->cells[lane][column];
			unsigned count = asking[lane][column];
			bool stays = cell->count == 1 && model->owned[cell->slice] == 1;

			if (count == 0)
				continue;
			if (cell->count == 1 && !stays)
				model->owned[cell->slice]--;
			*cell = count == 1 && !stays
					? (struct picture_cell){ asks[lane][column], 1 }
					: (struct picture_cell){ PICTURE_CROWD, count + stays };
		}
}

static void assert_cells(const struct model *model, const struct picture *picture)
{
	for (unsigned lane = 0; lane < picture->lane_count; lane++)
		for (unsigned column = 0; column < model->columns; column++) {
			const struct picture_cell *got =
				&picture->cells[lane * model->columns + column];
			const struct picture_cell *wanted = &model->cells[lane][column];

			if (got->slice != wanted->slice || got->count != wanted->count)
				fail_msg("lane %u, column %u: %x x %u, wanted %x x %u", lane,
					 column, got->slice, got->count, wanted->slice,
					 wanted->count);
		}
	for (size_t i = 0; i < model->input.piece_count; i++)
		assert_true(model->lanes[i] < picture->lane_count);
}

static void assert_bytes(const struct model *model, const struct picture *picture)
{
	uint64_t covered = 0;
	uint64_t overlap = 0;
	uint64_t hole = 0;
	size_t gaps = 0;

	for (uint64_t byte = 0; byte < model->input.size; byte++) {
		unsigned count = covers(model, byte);

		covered += count > 0;
		overlap += count > 1;
		hole += is_hole(model, byte);
		gaps += count == 0 && (byte == 0 || covers(model, byte - 1) > 0);
	}
	assert_int_equal(picture->covered, covered);
	assert_int_equal(picture->overlap, overlap);
	assert_int_equal(picture->hole, hole);
	assert_int_equal(picture->gap_count, gaps);
}

static void assert_stored(const struct model *model, const struct picture *picture)
{
	assert_int_equal(picture->stored != NULL, model->input.hole_count > 0);
	for (unsigned column = 0; picture->stored && column < model->columns; column++) {
		unsigned data = 0;
		unsigned all = 0;

		for (uint64_t i = column * model->span; i < (column + 1) * model->span; i++) {
			all += i / model->columns < model->input.size;
			data += i / model->columns < model->input.size &&
				!is_hole(model, i / model->columns);
		}
		assert_int_equal(picture->stored[column] == 0, data == 0);
		assert_int_equal(picture->stored[column] == 8, data > 0 && data == all);
	}
}

/* Each slice is in some cell for itself, or one of a crowd. */
static void assert_all_are_seen(const struct model *model, const struct picture *picture)
{
	bool alone[PIECES_MAX_RANDOM] = { 0 };
	uint32_t seen = 0;

	for (unsigned i = 0; i < picture->lane_count * model->columns; i++) {
		if (picture->cells[i].count == 1)
			alone[picture->cells[i].slice] = true;
		else
			seen += picture->cells[i].count;
	}
	for (uint32_t slice = 0; slice < model->input.slice_count; slice++)
		seen += alone[slice];
	if (picture->lane_count < PICTURE_LANES_MAX)
		assert_int_equal(seen, model->input.slice_count);
	else
		assert_true(seen > 0);
}

static void assert_rows(const struct model *model, const struct picture *picture)
{
	uint32_t slices = 0;

	for (size_t i = 0; i < picture->row_count; i++) {
		const struct picture_row *row = &picture->rows[i];

		assert_true(i == 0 || picture->rows[i - 1].start <= row->start);
		if (row->slice == PICTURE_GAP) {
			assert_true(row->start < row->end && row->end <= model->input.size);
			for (uint64_t byte = row->start; byte < row->end; byte++)
				assert_int_equal(covers(model, byte), 0);
			continue;
		}
		slices++;
		assert_int_equal(picture_key(picture, row->slice), row->key);
		for (size_t j = 0; j < model->input.piece_count; j++)
			if (model->pieces[j].slice == row->slice)
				assert_true(row->start <= model->pieces[j].start);
	}
	assert_int_equal(slices + picture->unlisted, model->input.slice_count);
}

static void cells_agree_with_a_plain_array(void **state)
{
	random_begin();
	for (int i = 0; i < 1500; i++) {
		struct model model;
		struct picture picture;

		random_input(&model);
		assert_result(picture_make(&model.input, model.columns, &picture), 0);
		model.span = picture.span;
		assert_true(picture.span >= model.input.size);
		model_lanes(&model);
		model_owners(&model);
		model_rest(&model);
		assert_cells(&model, &picture);
		assert_bytes(&model, &picture);
		assert_stored(&model, &picture);
		assert_all_are_seen(&model, &picture);
		assert_rows(&model, &picture);
		picture_clear(&picture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_agree_with_a_plain_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Pictures of known slices, up to a million of them. */
#include "support.h"

#include "picture.h"

#include <string.h>

#define EIB (1ULL << 60)

static void describe(void *context, uint32_t slice, struct picture_slice *ret)
{
	static char name[32];

	snprintf(name, sizeof(name), "slice-%u", slice);
	*ret = (struct picture_slice){ .name = name, .size = 1, .flags = "", .access = "rw" };
}

/* A bar as characters: '.' gap, ' ' blank, '#' crowd, else the slice's key. The caller's. */
static char *bar(const struct picture_input *input, unsigned columns, unsigned lane)
{
	char *text = calloc(columns + 1, 1);
	struct picture picture;

	assert_non_null(text);
	assert_result(picture_make(input, columns, &picture), 0);
	for (unsigned i = 0; i < columns && lane < picture.lane_count; i++) {
		uint32_t slice = picture.cells[lane * columns + i].slice;

		text[i] = slice == PICTURE_BLANK   ? ' '
			  : slice == PICTURE_GAP   ? '.'
			  : slice == PICTURE_CROWD ? '#'
						   : picture_key(&picture, slice);
	}
	picture_clear(&picture);
	return text;
}

#define assert_bar(image_size, columns, lane, wanted, ...)                                         \
	do {                                                                                       \
		struct picture_piece pieces_[] = { __VA_ARGS__ };                                  \
		struct picture_input input_ = { .name = "i",                                       \
						.path = "/i",                                      \
						.size = (image_size),                              \
						.pieces = pieces_,                                 \
						.piece_count = COUNT(pieces_),                     \
						.slice_count = COUNT(pieces_),                     \
						.describe = describe };                            \
		char *got_ = bar(&input_, columns, lane);                                          \
		assert_string_equal(got_, wanted);                                                 \
		free(got_);                                                                        \
	} while (0)

static void slices_and_gaps_lie_where_they_are(void **state)
{
	assert_bar(100, 10, 0, "aaa..bbbb.", { 0, 30, 0 }, { 50, 90, 1 });
	assert_bar(10, 20, 0, "aa..................", { 0, 1, 0 });
	assert_bar(100, 10, 0, ".........a", { 99, 100, 0 });
}

static void overlapping_slices_get_lanes(void **state)
{
	assert_bar(100, 10, 0, "aaaaaaaaaa", { 0, 100, 0 }, { 20, 50, 1 }, { 50, 70, 2 });
	assert_bar(100, 10, 1, "  bbbcc   ", { 0, 100, 0 }, { 20, 50, 1 }, { 50, 70, 2 });
	assert_bar(100, 10, 0, "aaaaaaaaaa", { 0, 30, 0 }, { 0, 100, 1 });
	assert_bar(100, 10, 1, "bbb       ", { 0, 30, 0 }, { 0, 100, 1 });
	assert_bar(100, 10, 0, "aaaaa     ", { 0, 50, 0 }, { 30, 100, 1 });
	assert_bar(100, 10, 1, "   bbbbbbb", { 0, 50, 0 }, { 30, 100, 1 });
}

static void small_slices_are_seen_beside_large_ones(void **state)
{
	assert_bar(1000, 10, 0, "abbbbbbbbb", { 0, 10, 0 }, { 10, 1000, 1 });
	assert_bar(1000, 10, 0, "#ccccccccc", { 0, 5, 0 }, { 5, 10, 1 }, { 10, 1000, 2 });
	assert_bar(1000, 10, 0, "....a.....", { 450, 450, 0 });
}

static void the_largest_images_fit(void **state)
{
	assert_bar(8 * EIB - 1, 8, 0, "aaaab..c", { 0, 4 * EIB, 0 }, { 4 * EIB, 5 * EIB, 1 },
		   { 7 * EIB, 8 * EIB - 1, 2 });
	assert_bar(UINT64_MAX, 4, 0, "a..b", { 0, 1, 0 }, { UINT64_MAX - 1, UINT64_MAX, 1 });
}

static void gaps_that_have_a_cell_are_listed(void **state)
{
	struct picture_piece pieces[] = { { 4, 50, 0 }, { 56, 100, 1 } };
	struct picture_input input = { .size = 100,
				       .pieces = pieces,
				       .piece_count = 2,
				       .slice_count = 2,
				       .describe = describe };
	struct picture picture;

	assert_result(picture_make(&input, 10, &picture), 0);
	assert_int_equal(picture.gap_count, 2);
	assert_int_equal(picture.row_count, 3);
	assert_int_equal(picture.rows[1].slice, PICTURE_GAP);
	assert_int_equal(picture.rows[1].start, 50);
	assert_int_equal(picture.rows[1].end, 56);
	picture_clear(&picture);
}

static void of_many_slices_the_largest_are_listed(void **state)
{
	struct picture_piece pieces[100];
	struct picture_input input = { .size = 10000,
				       .pieces = pieces,
				       .piece_count = COUNT(pieces),
				       .slice_count = COUNT(pieces),
				       .describe = describe };
	struct picture picture;

	for (uint32_t i = 0; i < COUNT(pieces); i++)
		pieces[i] = (struct picture_piece){ i * 100, i * 100 + (i * 37) % 100 + 1, i };
	assert_result(picture_make(&input, 50, &picture), 0);
	assert_int_equal(picture.row_count, PICTURE_LARGEST);
	assert_int_equal(picture.unlisted, COUNT(pieces) - PICTURE_LARGEST);
	for (size_t i = 0; i < picture.row_count; i++) {
		assert_true(picture.rows[i].slice * 37 % 100 >= 100 - PICTURE_LARGEST);
		assert_int_equal(picture.rows[i].key, 'a' + i);
	}
	picture_clear(&picture);
}

static void an_empty_image_and_no_slices_have_a_picture(void **state)
{
	struct picture_input input = { .name = "i", .path = "/i", .describe = describe };
	char *got = bar(&input, 5, 0);

	assert_string_equal(got, "     ");
	free(got);
	assert_bar(0, 5, 0, "a    ", { 0, 0, 0 });
}

static void what_lies_past_the_end_does_not_press_the_image_into_a_corner(void **state)
{
	struct picture_piece pieces[] = { { 0, 50, 0 },
					  { 50, 8 * EIB, 1 },
					  { 4 * EIB, 5 * EIB, 2 } };
	struct picture_input input = { .size = 90,
				       .pieces = pieces,
				       .piece_count = 3,
				       .slice_count = 3,
				       .describe = describe };
	struct picture picture;

	assert_result(picture_make(&input, 12, &picture), 0);
	assert_int_equal(picture.span, 120);
	assert_true(picture.clipped);
	assert_int_equal(picture.outside, 2);
	assert_int_equal(picture_image_columns(&picture), 9);
	assert_int_equal(picture.covered, 90);
	picture_clear(&picture);
}

static void what_lies_far_beyond_the_scale_is_at_its_edge(void **state)
{
	assert_bar(1, 16, 0, "aaaaaaaaaaaaaaab", { 0, 1, 0 }, { EIB, 2 * EIB, 1 });
	assert_bar(1, 16, 0, "a..............b", { 0, 0, 0 }, { 1, 1, 1 });
	assert_bar(3, 16, 0, "aaaaaaaaaaaaaaac", { 0, 4, 0 }, { 2, 8 * EIB, 1 },
		   { 3 * EIB, 5 * EIB, 2 });
	assert_bar(3, 16, 1, "        bbbbbbbb", { 0, 4, 0 }, { 2, 8 * EIB, 1 },
		   { 3 * EIB, 5 * EIB, 2 });
}

static void numbers_on_the_scale_are_exact(void **state)
{
	char text[SIZE_TEXT_MAX];

	assert_string_equal(picture_tick(0, text), "0");
	assert_string_equal(picture_tick(3UL << 30, text), "3G");
	assert_string_equal(picture_tick(1536UL << 20, text), "1.5G");
	assert_string_equal(picture_tick(1152UL << 10, text), "1152K");
	assert_string_equal(picture_tick(7 * EIB, text), "7E");
	assert_string_equal(picture_tick(7 * EIB + EIB / 8, text), "7296P");
}

static void draw_nothing_but(const struct picture_input *input, size_t *ret_text, size_t *ret_svg)
{
	struct picture_style style = { .columns = 200, .utf8 = true, .colours = 256 };
	struct picture picture;
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_text);

	assert_result(picture_make(input, style.columns, &picture), 0);
	assert_true(picture.row_count <= PICTURE_ROWS_MAX);
	assert_true(picture.lane_count <= PICTURE_LANES_MAX);
	picture_print(&picture, &style, out);
	picture_clear(&picture);
	fclose(out);
	free(text);
	out = open_memstream(&text, ret_svg);
	assert_result(picture_make(input, PICTURE_SVG_COLUMNS, &picture), 0);
	assert_result(picture_svg(&picture, 1, out), 0);
	picture_clear(&picture);
	fclose(out);
	free(text);
}

static void a_million_slices_make_no_larger_picture_than_a_few_thousand(void **state)
{
	const uint32_t count = 1000000;
	struct picture_piece *pieces = calloc(count, sizeof(*pieces));
	struct picture_input input = { .name = "i",
				       .path = "/i",
				       .size = 1 << 30,
				       .pieces = pieces,
				       .piece_count = count,
				       .slice_count = count,
				       .describe = describe };
	size_t text;
	size_t svg;

	random_begin();
	for (int overlapping = 0; overlapping < 2; overlapping++) {
		for (uint32_t i = 0; i < count; i++) {
			pieces[i].start = overlapping ? random_below(1 << 29) : i * 1000;
			pieces[i].end =
				pieces[i].start + random_below(overlapping ? 1 << 29 : 1000);
			pieces[i].slice = i;
		}
		draw_nothing_but(&input, &text, &svg);
		assert_in_range(text, 1000, 64 << 10);
		assert_in_range(svg, 1000, 2 << 20);
	}
	free(pieces);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_and_gaps_lie_where_they_are),
		cmocka_unit_test(overlapping_slices_get_lanes),
		cmocka_unit_test(small_slices_are_seen_beside_large_ones),
		cmocka_unit_test(the_largest_images_fit),
		cmocka_unit_test(gaps_that_have_a_cell_are_listed),
		cmocka_unit_test(of_many_slices_the_largest_are_listed),
		cmocka_unit_test(an_empty_image_and_no_slices_have_a_picture),
		cmocka_unit_test(what_lies_past_the_end_does_not_press_the_image_into_a_corner),
		cmocka_unit_test(what_lies_far_beyond_the_scale_is_at_its_edge),
		cmocka_unit_test(numbers_on_the_scale_are_exact),
		cmocka_unit_test(a_million_slices_make_no_larger_picture_than_a_few_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The arithmetic of extents against a plain array: for each byte of a slice, where it lies. */
#include "support.h"

#include "extent.h"
#include "size.h"

#include <string.h>

#define EXTENTS_MAX 12
#define IMAGE_SIZE 600
#define SLICE_MAX (EXTENTS_MAX * IMAGE_SIZE)

/* Never looked into: only their addresses count. */
static char images[3];

static struct image *image_number(size_t index)
{
	return (struct image *)&images[index];
}

/* Where one byte of a slice lies. */
struct place {
	struct image *image; /* NULL: zeros */
	uint64_t offset;
	size_t extent;
};

struct model {
	struct extent extents[EXTENTS_MAX];
	size_t count;
	struct place bytes[SLICE_MAX];
	uint64_t size;
};

static void add_extent(struct model *model, struct image *image, uint64_t offset, uint64_t length,
		       bool tail)
{
	model->extents[model->count] = (struct extent){
		.start = model->size,
		.offset = image ? offset : 0,
		.length = tail ? EXTENT_TAIL : length,
		.image = image,
	};
	for (uint64_t i = 0; i < length; i++)
		model->bytes[model->size++] = (struct place){
			.image = image,
			.offset = image ? offset + i : 0,
			.extent = model->count,
		};
	model->count++;
}

static void random_model(struct model *model)
{
	size_t count = 1 + random_below(EXTENTS_MAX);

	model->count = 0;
	model->size = 0;
	for (size_t i = 0; i < count; i++) {
		struct image *image = random_chance(20) ? NULL
							: image_number(random_below(COUNT(images)));
		uint64_t offset = random_below(IMAGE_SIZE + 1);
		uint64_t length = random_chance(20) ? 0 : random_below(IMAGE_SIZE + 1 - offset);

		if (i + 1 == count && image && random_chance(30))
			add_extent(model, image, offset, IMAGE_SIZE - offset, true);
		else
			add_extent(model, image, offset, length, false);
	}
}

/* Walk [offset, offset + length) of the model's slice and meet each of its bytes once. */
static void check_walk(const struct model *model, uint64_t offset, uint64_t length)
{
	struct extent_walk walk = extent_walk_begin(model->extents, model->count, offset, length);
	uint64_t at = offset;
	struct piece piece;

	while (extent_walk_next(&walk, &piece)) {
		size_t extent = model->bytes[at].extent;

		assert_int_equal(piece.position, at);
		assert_true(piece.length > 0);
		assert_true(piece.length <= offset + length - at);
		for (uint64_t i = 0; i < piece.length; i++, at++) {
			assert_true(at < model->size);
			assert_ptr_equal(piece.image, model->bytes[at].image);
			assert_int_equal(piece.image ? piece.offset + i : piece.offset,
					 model->bytes[at].offset);
			/* A piece is one extent's, as much of it as is asked for. */
			assert_int_equal(model->bytes[at].extent, extent);
		}
		if (at < offset + length && at < model->size)
			assert_int_not_equal(model->bytes[at].extent, extent);
	}
	assert_int_equal(at, offset + length);
	assert_false(extent_walk_next(&walk, &piece));
}

static void random_walks_meet_each_byte_once(void **state)
{
	struct model *model = malloc(sizeof(*model));

	assert_non_null(model);
	random_begin();
	for (int i = 0; i < 3000; i++) {
		random_model(model);
		check_walk(model, 0, model->size);
		for (int j = 0; j < 8; j++) {
			uint64_t offset = random_below(model->size + 1);

			check_walk(model, offset, random_below(model->size + 1 - offset));
		}
	}
	free(model);
}

static void walk_ends_at_the_last_extent(void **state)
{
	struct model *model = calloc(1, sizeof(*model));
	struct piece piece;

	assert_non_null(model);
	random_begin();
	for (int i = 0; i < 3000; i++) {
		random_model(model);
		/* A tail has no end here: the caller clips it. */
		if (model->extents[model->count - 1].length == EXTENT_TAIL)
			continue;
		for (int j = 0; j < 4; j++) {
			uint64_t offset = random_below(model->size + 20);
			uint64_t length = random_chance(50) ? UINT64_MAX : random_below(10000);
			struct extent_walk walk =
				extent_walk_begin(model->extents, model->count, offset, length);
			uint64_t end = model->size;
			uint64_t at = offset;

			if (length < model->size && offset + length < end)
				end = offset + length;
			while (extent_walk_next(&walk, &piece)) {
				assert_int_equal(piece.position, at);
				at += piece.length;
			}
			assert_int_equal(at, offset < end ? end : offset);
		}
	}
	free(model);
}

static void find_gives_the_last_extent_that_starts_at_or_before(void **state)
{
	struct model *model = malloc(sizeof(*model));

	assert_non_null(model);
	random_begin();
	for (int i = 0; i < 3000; i++) {
		random_model(model);
		for (int j = 0; j < 20; j++) {
			uint64_t offset = random_chance(5) ? UINT64_MAX
							   : random_below(model->size + 100);
			size_t wanted = 0;

			for (size_t k = 0; k < model->count; k++)
				if (model->extents[k].start <= offset)
					wanted = k;
			assert_int_equal(extent_find(model->extents, model->count, offset), wanted);
		}
	}
	free(model);
}

static void empty_extents_yield_nothing(void **state)
{
	const struct extent extents[] = {
		{ .start = 0, .offset = 5, .length = 0, .image = image_number(0) },
		{ .start = 0, .offset = 0, .length = 0, .image = NULL },
		{ .start = 0, .offset = 9, .length = 3, .image = image_number(1) },
		{ .start = 3, .offset = 7, .length = 0, .image = image_number(0) },
	};
	struct extent_walk walk = extent_walk_begin(extents, COUNT(extents), 0, UINT64_MAX);
	struct piece piece;

	assert_true(extent_walk_next(&walk, &piece));
	assert_ptr_equal(piece.image, image_number(1));
	assert_int_equal(piece.offset, 9);
	assert_int_equal(piece.length, 3);
	assert_false(extent_walk_next(&walk, &piece));
	walk = extent_walk_begin(extents, 2, 0, 100);
	assert_false(extent_walk_next(&walk, &piece));
	walk = extent_walk_begin(extents, COUNT(extents), 1, 0);
	assert_false(extent_walk_next(&walk, &piece));
}

static void tail_reaches_as_far_as_it_is_asked_to(void **state)
{
	const struct extent extents[] = {
		{ .start = 0, .offset = 3, .length = 10, .image = image_number(0) },
		{ .start = 10, .offset = 100, .length = EXTENT_TAIL, .image = image_number(1) },
	};
	struct extent_walk walk = extent_walk_begin(extents, COUNT(extents), 5, 1ULL << 62);
	struct piece piece;

	assert_true(extent_walk_next(&walk, &piece));
	assert_int_equal(piece.length, 5);
	assert_true(extent_walk_next(&walk, &piece));
	assert_int_equal(piece.position, 10);
	assert_int_equal(piece.offset, 100);
	assert_int_equal(piece.length, (1ULL << 62) - 5);
	assert_false(extent_walk_next(&walk, &piece));

	walk = extent_walk_begin(extents, COUNT(extents), 1ULL << 62, UINT64_MAX);
	assert_true(extent_walk_next(&walk, &piece));
	assert_int_equal(piece.offset, 100 + (1ULL << 62) - 10);
	assert_int_equal(piece.length, UINT64_MAX - (1ULL << 62));
	assert_false(extent_walk_next(&walk, &piece));
}

/* As above, but with offsets and lengths of all magnitudes, and 128 bits to check with. */
static void huge_offsets_do_not_wrap(void **state)
{
	random_begin();
	for (int i = 0; i < 20000; i++) {
		struct extent extents[EXTENTS_MAX];
		size_t count = 1 + random_below(EXTENTS_MAX);
		uint64_t start = 0;
		uint64_t offset;
		uint64_t length = random_u64() >> random_below(64);
		unsigned __int128 at;
		unsigned __int128 end;
		struct extent_walk walk;
		struct piece piece;

		for (size_t j = 0; j < count; j++) {
			extents[j] = (struct extent){
				.start = start,
				.offset = random_below(SIZE_LIMIT) >> random_below(63),
				.length = (SIZE_LIMIT - start) / (1 + random_below(1000)),
				.image = image_number(0),
			};
			if (extents[j].length > SIZE_LIMIT - extents[j].offset)
				extents[j].length = SIZE_LIMIT - extents[j].offset;
			start += extents[j].length;
		}
		offset = random_below(start + 1);
		at = offset;
		end = (unsigned __int128)offset + length;
		if (end > start)
			end = start;
		walk = extent_walk_begin(extents, count, offset, length);
		while (extent_walk_next(&walk, &piece)) {
			size_t j = extent_find(extents, count, piece.position);

			assert_true(piece.position == at);
			assert_int_equal(piece.offset,
					 extents[j].offset + (piece.position - extents[j].start));
			assert_true(piece.offset + piece.length <=
				    extents[j].offset + extents[j].length);
			at += piece.length;
		}
		assert_true(at == end);
	}
}

static void fitting_is_checked_without_overflow(void **state)
{
	assert_true(extent_fits(0, 0, 0));
	assert_true(extent_fits(0, 10, 10));
	assert_true(extent_fits(10, 0, 10));
	assert_true(extent_fits(3, 7, 10));
	assert_false(extent_fits(3, 8, 10));
	assert_false(extent_fits(11, 0, 10));
	assert_false(extent_fits(10, 1, 10));
	assert_true(extent_fits(SIZE_LIMIT - 1, 1, SIZE_LIMIT));
	assert_false(extent_fits(SIZE_LIMIT, SIZE_LIMIT, SIZE_LIMIT));
	assert_false(extent_fits(UINT64_MAX - 1, 2, UINT64_MAX));
	assert_false(extent_fits(2, UINT64_MAX - 1, UINT64_MAX));
	assert_true(extent_fits(0, EXTENT_TAIL, 0));
	assert_true(extent_fits(10, EXTENT_TAIL, 10));
	assert_false(extent_fits(11, EXTENT_TAIL, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_walks_meet_each_byte_once),
		cmocka_unit_test(walk_ends_at_the_last_extent),
		cmocka_unit_test(find_gives_the_last_extent_that_starts_at_or_before),
		cmocka_unit_test(empty_extents_yield_nothing),
		cmocka_unit_test(tail_reaches_as_far_as_it_is_asked_to),
		cmocka_unit_test(huge_offsets_do_not_wrap),
		cmocka_unit_test(fitting_is_checked_without_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

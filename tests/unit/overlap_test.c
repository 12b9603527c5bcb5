/* SPDX-License-Identifier: MIT */
/* Which slices are aliases, against a model that compares each byte of every pair. */
#include "support.h"

#include "map.h"
#include "overlap.h"

#include <string.h>

#define SLICES_MAX 8
#define EXTENTS_MAX 4
#define PAGES 12

/* Never looked into: only their addresses count. */
static char images[2];

static uint64_t page_size(void)
{
	return 1ULL << page_shift();
}

static struct image *image_number(size_t index)
{
	return (struct image *)&images[index];
}

struct world {
	struct slice slices[SLICES_MAX];
	struct extent extents[SLICES_MAX][EXTENTS_MAX];
	size_t count;
};

static void add_slice(struct world *world, bool writable)
{
	struct slice *slice = &world->slices[world->count];

	*slice = (struct slice){
		.extents = world->extents[world->count],
		.writable = writable,
		.alias = random_chance(50), /* must not matter */
	};
	world->count++;
}

static void add_extent(struct world *world, struct image *image, uint64_t offset, uint64_t length)
{
	struct slice *slice = &world->slices[world->count - 1];
	struct extent *extent = &world->extents[world->count - 1][slice->extent_count++];

	*extent = (struct extent){ .image = image, .offset = offset, .length = length };
	slice->tail = length == EXTENT_TAIL;
}

/* A slice of one extent of image 0, in pages. */
static void add_pages(struct world *world, bool writable, double from, double to)
{
	add_slice(world, writable);
	add_extent(world, image_number(0), from * page_size(), (to - from) * page_size());
}

static bool are_aliases(const struct slice *a, const struct slice *b);

static void assert_aliases(struct world *world, const char *wanted)
{
	char found[SLICES_MAX + 1] = "";
	struct alias_pair pair;

	assert_result(overlap_mark_aliases(world->slices, world->count, &pair), 0);
	for (size_t i = 0; i < world->count; i++)
		found[i] = world->slices[i].alias ? 'A' : '-';
	assert_string_equal(found, wanted);
	assert_int_equal(pair.found, strchr(found, 'A') != NULL);
	if (pair.found)
		assert_true(are_aliases(&world->slices[pair.first], &world->slices[pair.second]));
}

static void slices_that_share_a_byte_are_aliases(void **state)
{
	struct world world = { 0 };

	add_slice(&world, true);
	add_extent(&world, image_number(0), 0, 101);
	add_slice(&world, false);
	add_extent(&world, image_number(0), 100, 100);
	assert_aliases(&world, "AA");
}

/* What the kernel caches of a file begins with its first byte, so that a page of an image is not one
 * of a slice's.
 */
static void neighbours_are_not(void **state)
{
	struct world world = { 0 };

	add_pages(&world, true, 0, 1.5);
	add_pages(&world, true, 1.5, 3);
	add_pages(&world, true, 3, 3.25);
	add_pages(&world, true, 4, 5);
	assert_aliases(&world, "----");
}

static void readers_alone_are_not(void **state)
{
	struct world world = { 0 };

	add_pages(&world, false, 0, 4);
	add_pages(&world, false, 1, 2);
	add_pages(&world, false, 1, 2);
	assert_aliases(&world, "---");
}

static void reader_between_readers_is_not_and_writers_mark_who_they_meet(void **state)
{
	struct world world = { 0 };

	add_pages(&world, false, 0, 4);
	add_pages(&world, false, 2, 8);
	add_pages(&world, true, 6, 7);
	assert_aliases(&world, "-AA");
}

static void whole_image_meets_all_inside(void **state)
{
	struct world world = { 0 };

	add_pages(&world, false, 1, 2);
	add_pages(&world, false, 5, 6);
	add_slice(&world, true);
	add_extent(&world, image_number(0), 0, EXTENT_TAIL);
	add_pages(&world, false, 9, 10);
	assert_aliases(&world, "AAAA");
}

static void tail_meets_what_lies_behind_its_start_only(void **state)
{
	struct world world = { 0 };

	add_slice(&world, true);
	add_extent(&world, image_number(0), 5 * page_size(), EXTENT_TAIL);
	add_pages(&world, true, 4, 5);
	add_pages(&world, false, 10000, 10001);
	assert_aliases(&world, "A-A");
}

static void images_zeros_and_empty_extents_keep_apart(void **state)
{
	struct world world = { 0 };

	add_slice(&world, true);
	add_extent(&world, image_number(0), 0, page_size());
	add_extent(&world, NULL, 0, 3 * page_size());
	add_slice(&world, true);
	add_extent(&world, image_number(1), 0, page_size());
	add_extent(&world, NULL, 0, 3 * page_size());
	add_slice(&world, true);
	add_extent(&world, image_number(0), 10, 0);
	assert_aliases(&world, "---");
}

static void writer_that_holds_a_byte_twice_is_an_alias_of_itself(void **state)
{
	struct world world = { 0 };

	for (int writable = 0; writable < 2; writable++) {
		add_slice(&world, writable);
		add_extent(&world, image_number(writable), 0, 100);
		add_extent(&world, image_number(writable), 99, 100);
	}
	assert_aliases(&world, "-A");
}

static void writer_that_holds_a_page_twice_but_no_byte_is_not(void **state)
{
	struct world world = { 0 };

	add_slice(&world, true);
	add_extent(&world, image_number(0), 100, 100);
	add_extent(&world, image_number(1), 100, 100);
	add_extent(&world, image_number(0), 0, 100);
	add_extent(&world, image_number(0), 200, EXTENT_TAIL);
	assert_aliases(&world, "-");
}

static void no_slice_is_no_trouble(void **state)
{
	struct alias_pair pair;

	assert_result(overlap_mark_aliases(NULL, 0, &pair), 0);
	assert_false(pair.found);
}

/* --- random worlds against the model --- */

static void random_world(struct world *world)
{
	size_t count = 1 + random_below(SLICES_MAX);
	unsigned writers = random_below(101);

	world->count = 0;
	memset(world->slices, 0, sizeof(world->slices));
	for (size_t i = 0; i < count; i++) {
		size_t extents = 1 + random_below(EXTENTS_MAX);

		add_slice(world, random_chance(writers));
		for (size_t j = 0; j < extents; j++) {
			struct image *image = random_chance(10) ? NULL
								: image_number(random_below(2));
			uint64_t offset = random_below(PAGES * page_size());
			uint64_t length = random_below(PAGES * page_size() - offset);

			if (random_chance(60))
				length = length % (2 * page_size());
			if (random_chance(40))
				offset &= ~(page_size() - 1);
			if (random_chance(40))
				length &= ~(page_size() - 1);
			if (image && j + 1 == extents && random_chance(10))
				length = EXTENT_TAIL;
			add_extent(world, image, offset, length);
		}
	}
}

static bool ranges_meet(const struct extent *a, const struct extent *b)
{
	uint64_t a_end = a->length == EXTENT_TAIL ? UINT64_MAX : a->offset + a->length;
	uint64_t b_end = b->length == EXTENT_TAIL ? UINT64_MAX : b->offset + b->length;

	if (!a->image || a->image != b->image || a->length == 0 || b->length == 0)
		return false;
	return a->offset < b_end && b->offset < a_end;
}

static bool slices_meet(const struct slice *a, const struct slice *b)
{
	for (uint32_t i = 0; i < a->extent_count; i++)
		for (uint32_t j = 0; j < b->extent_count; j++)
			if (ranges_meet(&a->extents[i], &b->extents[j]))
				return true;
	return false;
}

static bool meets_itself(const struct slice *slice)
{
	for (uint32_t i = 0; i < slice->extent_count; i++)
		for (uint32_t j = 0; j < i; j++)
			if (ranges_meet(&slice->extents[i], &slice->extents[j]))
				return true;
	return false;
}

static bool are_aliases(const struct slice *a, const struct slice *b)
{
	return (a->writable || b->writable) && (a == b ? meets_itself(a) : slices_meet(a, b));
}

static bool is_alias(const struct world *world, size_t index)
{
	for (size_t i = 0; i < world->count; i++)
		if (are_aliases(&world->slices[index], &world->slices[i]))
			return true;
	return false;
}

static void random_worlds_agree_with_the_model(void **state)
{
	struct world world = { 0 };

	random_begin();
	for (int i = 0; i < 60000; i++) {
		char wanted[SLICES_MAX + 1] = "";

		random_world(&world);
		for (size_t j = 0; j < world.count; j++)
			wanted[j] = is_alias(&world, j) ? 'A' : '-';
		assert_aliases(&world, wanted);
	}
}

static void many_members_below_a_whole_image_take_no_time(void **state)
{
	const size_t count = 200000;
	struct alias_pair pair;
	struct slice *slices = calloc(count, sizeof(*slices));
	struct extent *extents = calloc(count, sizeof(*extents));

	assert_non_null(slices);
	assert_non_null(extents);
	for (size_t i = 0; i < count; i++) {
		extents[i] = (struct extent){
			.image = image_number(0),
			.offset = i * 512,
			.length = 512,
		};
		slices[i] = (struct slice){ .extents = &extents[i], .extent_count = 1 };
	}
	extents[count / 2] = (struct extent){ .image = image_number(0), .length = EXTENT_TAIL };
	slices[count / 2].writable = true;
	assert_result(overlap_mark_aliases(slices, count, &pair), 0);
	for (size_t i = 0; i < count; i++)
		assert_true(slices[i].alias);
	free(slices);
	free(extents);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_that_share_a_byte_are_aliases),
		cmocka_unit_test(neighbours_are_not),
		cmocka_unit_test(readers_alone_are_not),
		cmocka_unit_test(reader_between_readers_is_not_and_writers_mark_who_they_meet),
		cmocka_unit_test(whole_image_meets_all_inside),
		cmocka_unit_test(tail_meets_what_lies_behind_its_start_only),
		cmocka_unit_test(images_zeros_and_empty_extents_keep_apart),
		cmocka_unit_test(writer_that_holds_a_byte_twice_is_an_alias_of_itself),
		cmocka_unit_test(writer_that_holds_a_page_twice_but_no_byte_is_not),
		cmocka_unit_test(no_slice_is_no_trouble),
		cmocka_unit_test(random_worlds_agree_with_the_model),
		cmocka_unit_test(many_members_below_a_whole_image_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Copies between slices and within one. */
#include "slices.h"

#include "guard.h"
#include "image_internal.h"

#include <string.h>
#include <unistd.h>

#define MIB (1UL << 20)
#define LEFT_ALONE ((size_t)12345)

static void assert_copies(const struct made *source, uint64_t source_offset,
			  const struct made *target, uint64_t target_offset, size_t size,
			  size_t wanted)
{
	size_t copied = LEFT_ALONE;

	assert_result(slice_copy(&source->slice, source_offset, &target->slice, target_offset, size,
				 &copied),
		      0);
	assert_int_equal(copied, wanted);
}

static void assert_copy_fails(const struct made *source, uint64_t source_offset,
			      const struct made *target, uint64_t target_offset, size_t size,
			      int error)
{
	size_t copied = LEFT_ALONE;

	assert_result(slice_copy(&source->slice, source_offset, &target->slice, target_offset, size,
				 &copied),
		      error);
	assert_int_equal(copied, LEFT_ALONE);
}

static void copy_between_images(void **state)
{
	struct image *a = new_image("a", 3 * MIB);
	struct image *b = new_image("b", 3 * MIB);
	char *model = malloc(3 * MIB);
	struct made source;
	struct made target;

	assert_non_null(model);
	make(&source, false, RANGE(a, 12345, 2 * MIB));
	make(&target, true, RANGE(b, 77, 2 * MIB));
	file_read_at("b", 0, model, 3 * MIB);
	assert_copies(&source, 1000, &target, 100, MIB + 333, MIB + 333);
	file_read_at("a", 12345 + 1000, model + 77 + 100, MIB + 333);
	file_assert("b", model, 3 * MIB);
	assert_slice_reads(&target);
	free(model);
	image_unref(a);
	image_unref(b);
}

static void copy_crosses_extents_on_both_sides(void **state)
{
	struct image *a = new_image("a", 100000);
	struct image *b = new_image("b", 100000);
	struct made source;
	struct made target;
	size_t size;
	char *bytes;

	make(&source, false, RANGE(a, 0, 10000), ZEROS(5000), RANGE(b, 90000, 10000),
	     TAIL(a, 95000));
	make(&target, true, RANGE(b, 0, 3333), RANGE(a, 50000, 20000), RANGE(b, 40000, 10000));
	bytes = slice_expect(&source, &size);
	assert_int_equal(size, 30000);
	assert_copies(&source, 0, &target, 0, 100000, 30000);
	assert_slice_holds(&target, 0, bytes, size);
	free(bytes);
	image_unref(a);
	image_unref(b);
}

static void copy_within_an_image_is_like_memmove(void **state)
{
	struct image *image = new_image("image", 400000);
	char *model = malloc(400000);
	struct made source;
	struct made target;

	assert_result(guard_install(), 0);
	random_begin();
	assert_non_null(model);
	make(&source, false, RANGE(image, 10, 399990));
	make(&target, true, RANGE(image, 1000, 399000));
	file_read_at("image", 0, model, 400000);
	for (int i = 0; i < 200; i++) {
		uint64_t from = random_below(390000);
		/* Most of them overlap, in either direction. */
		uint64_t to = random_chance(70) ? from + random_below(2000) : random_below(390000);
		size_t size = random_below(20000);

		if (10 + from + size > 400000)
			size = 400000 - 10 - from;
		if (1000 + to + size > 400000)
			size = 400000 - 1000 - to;
		assert_copies(&source, from, &target, to, size, size);
		memmove(model + 1000 + to, model + 10 + from, size);
	}
	file_assert("image", model, 400000);
	free(model);
	image_unref(image);
}

/* "As if through a buffer": an extent's end in the middle of an overlap changes nothing. */
static void copy_within_an_image_does_not_depend_on_its_extents(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made source;
	struct made target;
	char bytes[5000];

	make(&source, false, RANGE(image, 10000, 1000), RANGE(image, 11000, 4000));
	make(&target, true, RANGE(image, 10500, 5000));
	file_read_at("image", 10000, bytes, sizeof(bytes));
	assert_copies(&source, 0, &target, 0, 5000, 5000);
	assert_slice_holds(&target, 0, bytes, sizeof(bytes));
	image_unref(image);
}

static void copy_ends_with_the_source_or_the_target(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made source;
	struct made target;

	make(&source, false, RANGE(a, 0, 5000));
	make(&target, true, RANGE(b, 0, 3000));
	assert_copies(&source, 0, &target, 0, 0, 0);
	assert_copies(&source, 4000, &target, 0, 100000, 1000);
	assert_copies(&source, 5000, &target, 0, 10, 0);
	assert_copies(&source, 1ULL << 62, &target, 0, 10, 0);
	assert_copies(&source, 0, &target, 2000, 5000, 1000);
	assert_copy_fails(&source, 0, &target, 3000, 10, -ENOSPC);
	assert_copy_fails(&source, 0, &target, 1ULL << 62, 10, -ENOSPC);
	image_unref(a);
	image_unref(b);
}

static void read_only_target_takes_nothing(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, false, RANGE(image, 0, 5000));
	assert_copy_fails(&made, 0, &made, 2500, 100, -EROFS);
	image_unref(image);
}

static void zeros_can_be_copied_from_but_not_to(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made zeros;
	struct made target;

	make(&zeros, true, ZEROS(10000));
	make(&target, true, RANGE(image, 0, 5000), ZEROS(10), RANGE(image, 6000, 10));
	assert_copies(&zeros, 0, &target, 1000, 2000, 2000);
	assert_slice_holds(&target, 1000, (char[2000]){ 0 }, 2000);
	assert_copies(&zeros, 0, &target, 4000, 2000, 1000);
	assert_copy_fails(&zeros, 0, &target, 5000, 10, -ENOSPC);
	image_unref(image);
}

static void copy_past_the_end_grows_a_tail_that_may(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 1000);
	struct made source;
	struct made target;
	char bytes[10000];

	make(&source, false, RANGE(a, 0, 10000));
	make(&target, true, TAIL(b, 500));
	target.slice.resize = true;
	file_read_at("a", 0, bytes, sizeof(bytes));
	assert_copies(&source, 0, &target, 250, 10000, 10000);
	assert_int_equal(file_size("b"), 500 + 250 + 10000);
	assert_slice_holds(&target, 250, bytes, sizeof(bytes));
	image_unref(a);
	image_unref(b);
}

static void lost_bytes_end_a_copy(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made source;
	struct made target;

	make(&source, false, RANGE(a, 0, 10000));
	make(&target, true, RANGE(b, 0, 10000));
	file_resize("a", 6000);
	assert_copies(&source, 1000, &target, 0, 9000, 5000);
	assert_copy_fails(&source, 6000, &target, 0, 1000, -EIO);
	file_resize("a", 10000);
	file_resize("b", 4000);
	assert_copies(&source, 0, &target, 1000, 9000, 3000);
	assert_copy_fails(&source, 0, &target, 4000, 10, -EIO);
	assert_int_equal(file_size("b"), 4000);
	image_unref(a);
	image_unref(b);
}

static void one_call_copies_no_more_than_its_limit(void **state)
{
	struct image *image;
	struct made source;
	struct made target;

	file_resize("image", 1000);
	image = image_at("image", IMAGE_ACCESS_RW);
	make(&source, false, ZEROS(1ULL << 40));
	make(&target, true, TAIL(image, 0));
	target.slice.resize = true;
	assert_copies(&source, 0, &target, 0, SIZE_MAX / 2, SLICE_COPY_MAX);
	assert_int_equal(file_size("image"), SLICE_COPY_MAX);
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(copy_between_images),
		scratch_test(copy_crosses_extents_on_both_sides),
		scratch_test(copy_within_an_image_is_like_memmove),
		scratch_test(copy_within_an_image_does_not_depend_on_its_extents),
		scratch_test(copy_ends_with_the_source_or_the_target),
		scratch_test(read_only_target_takes_nothing),
		scratch_test(zeros_can_be_copied_from_but_not_to),
		scratch_test(copy_past_the_end_grows_a_tail_that_may),
		scratch_test(lost_bytes_end_a_copy),
	};
	/* More than a container's tmpfs may hold. */
	const struct CMUnitTest large_tests[] = {
		scratch_test(one_call_copies_no_more_than_its_limit),
	};
	int failed = run_on_both(tests);

	scratch_use(NULL);
	return failed + cmocka_run_group_tests_name("large", large_tests, NULL, NULL);
}

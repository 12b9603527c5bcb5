/* SPDX-License-Identifier: MIT */
/* Reading slices: of several extents, up to the end, and where images have lost bytes. */
#include "slices.h"

#include "guard.h"
#include "image_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define MIB (1UL << 20)
#define LEFT_ALONE ((size_t)12345)

static size_t page_size(void)
{
	return (size_t)1 << page_shift();
}

/* Both kinds of reading fail so, and leave their outputs alone. */
static void assert_read_fails(const struct made *made, uint64_t offset, size_t size, bool partial,
			      int error)
{
	char *buf = malloc(size + 1);
	size_t got = LEFT_ALONE;

	assert_non_null(buf);
	assert_result(slice_read(&made->slice, offset, buf, size, partial, &got), error);
	assert_result(read_as_reply(&made->slice, offset, buf, size, partial, &got), error);
	assert_int_equal(got, LEFT_ALONE);
	free(buf);
}

/* Both kinds of reading give so many bytes. */
static void assert_read_size(const struct made *made, uint64_t offset, size_t size, bool partial,
			     size_t wanted)
{
	char *buf = malloc(size + 1);
	size_t got = LEFT_ALONE;

	assert_non_null(buf);
	assert_result(slice_read(&made->slice, offset, buf, size, partial, &got), 0);
	assert_int_equal(got, wanted);
	got = LEFT_ALONE;
	assert_result(read_as_reply(&made->slice, offset, buf, size, partial, &got), 0);
	assert_int_equal(got, wanted);
	free(buf);
}

static void extents_read_in_order(void **state)
{
	struct image *a = new_image("a", 100000);
	struct image *b = new_image("b", 50001);
	struct made made;
	size_t size;
	char *bytes;

	make(&made, false, RANGE(a, 99, 4097), ZEROS(10), RANGE(b, 7, 20000), RANGE(a, 5, 0),
	     RANGE(a, 99999, 1), ZEROS(5000), RANGE(a, 0, 100000), TAIL(b, 40001));
	assert_slice_reads(&made);
	bytes = slice_expect(&made, &size);
	assert_int_equal(size, 4097 + 10 + 20000 + 1 + 5000 + 100000 + 10000);
	random_begin();
	for (int i = 0; i < 300; i++) {
		uint64_t offset = random_below(size);

		assert_slice_holds(&made, offset, bytes + offset, random_below(size - offset + 1));
	}
	free(bytes);
	image_unref(a);
	image_unref(b);
}

static void reading_stops_at_the_end(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made fixed;
	struct made tail;

	make(&fixed, false, RANGE(image, 1000, 3000), ZEROS(10));
	make(&tail, false, ZEROS(10), TAIL(image, 7000));
	for (int partial = 0; partial < 2; partial++) {
		assert_read_size(&fixed, 0, 100000, partial, 3010);
		assert_read_size(&fixed, 3000, 100, partial, 10);
		assert_read_size(&fixed, 3010, 100, partial, 0);
		assert_read_size(&fixed, UINT64_MAX, 100, partial, 0);
		assert_read_size(&fixed, 5, 0, partial, 0);
		assert_read_size(&tail, 0, 100000, partial, 3010);
		assert_read_size(&tail, 3009, 100, partial, 1);
		assert_read_size(&tail, 1ULL << 62, 100, partial, 0);
	}
	image_unref(image);
}

static void slice_of_no_bytes_reads_as_such(void **state)
{
	struct image *image = new_image("image", 100);
	struct made made;

	make(&made, true, RANGE(image, 50, 0));
	assert_slice_size(&made, 0);
	assert_read_size(&made, 0, 100, false, 0);
	make(&made, true, TAIL(image, 100));
	assert_slice_size(&made, 0);
	assert_read_size(&made, 0, 100, false, 0);
	image_unref(image);
}

/* Of the last page of a piece the mapping gives one byte: see read.c. */
static void ranges_point_into_the_one_mapping(void **state)
{
	struct image *image = new_image("image", 10 * page_size());
	const size_t page = page_size();
	struct slice_ranges ranges;
	struct made made;

	image->read_by_call = false; /* as if on no tmpfs */
	make(&made, false, RANGE(image, 100, 2 * page), ZEROS(10), RANGE(image, 33, 200),
	     RANGE(image, page, page + 1));
	assert_result(slice_read_map(&made.slice, 10, MIB, false, &ranges), 0);
	assert_int_equal(ranges.count, 5);
	assert_int_equal(ranges.size, 3 * page + 201);
	assert_ptr_equal(ranges.ranges[0].iov_base, image->map.base + 110);
	assert_int_equal(ranges.ranges[0].iov_len, 2 * page + 1 - 110);
	assert_ptr_equal(ranges.ranges[1].iov_base, ranges.ends);
	assert_int_equal(ranges.ranges[1].iov_len, 99);
	assert_int_equal(ranges.ranges[2].iov_len, 10);
	assert_ptr_equal(ranges.ranges[3].iov_base, ranges.ends + 99);
	assert_int_equal(ranges.ranges[3].iov_len, 200);
	assert_ptr_equal(ranges.ranges[4].iov_base, image->map.base + page);
	assert_int_equal(ranges.ranges[4].iov_len, page + 1);
	for (int i = 0; i < ranges.count; i++)
		assert_ptr_equal(ranges.images[i], i == 0 || i == 4 ? image : NULL);
	image_unref(image);
}

/* Up to 16 KiB: see READ_BY_CALL_MAX. */
static void small_read_leaves_the_mapping_alone(void **state)
{
	struct image *image = new_image("image", MIB);
	struct slice_ranges ranges;
	struct made made;

	image->read_by_call = false;
	make(&made, false, RANGE(image, 100, 500000));
	assert_result(slice_read_map(&made.slice, 10, 16384, false, &ranges), 0);
	assert_int_equal(ranges.count, 1);
	assert_ptr_equal(ranges.ranges[0].iov_base, ranges.ends);
	assert_null(ranges.images[0]);
	assert_result(slice_read_map(&made.slice, 10, 16385, false, &ranges), 0);
	assert_ptr_equal(ranges.ranges[0].iov_base, image->map.base + 110);
	image_unref(image);
}

static void image_that_was_cut_is_read_by_call_for_a_while(void **state)
{
	struct image *image = new_image("image", MIB);
	struct slice_ranges ranges;
	struct made made;

	image->read_by_call = false;
	make(&made, false, RANGE(image, 0, 40000));
	file_resize("image", 30000);
	assert_result(slice_read_map(&made.slice, 0, 40000, false, &ranges), -EIO);
	file_resize("image", MIB);
	assert_result(slice_read_map(&made.slice, 0, 40000, false, &ranges), 0);
	assert_int_equal(ranges.count, 1);
	assert_ptr_equal(ranges.ranges[0].iov_base, ranges.ends);

	image->cut_seen -= 11;
	assert_result(slice_read_map(&made.slice, 0, 40000, false, &ranges), 0);
	assert_ptr_equal(ranges.ranges[0].iov_base, image->map.base);
	image_unref(image);
}

static void what_is_not_in_memory_is_not_waited_for(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	char want[1000];
	char buf[4096];
	size_t got = 0;

	make(&made, false, RANGE(image, 100, 5000));
	file_read_at("image", 4100, want, sizeof(want));
	assert_result(slice_read_cached(&made.slice, 4000, buf, sizeof(buf), &got), 0);
	assert_int_equal(got, 1000);
	assert_memory_equal(buf, want, sizeof(want));
	/* Nobody knows what these have in memory. */
	image->resident = false;
	image->remote = true;
	assert_result(slice_read_cached(&made.slice, 0, buf, sizeof(buf), &got), -EAGAIN);
	image->remote = false;
	image->blocking = true;
	assert_result(slice_read_cached(&made.slice, 0, buf, sizeof(buf), &got), -EAGAIN);
	assert_slice_reads(&made);
	image->resident = true; /* but of this one everybody does */
	assert_result(slice_read_cached(&made.slice, 0, buf, sizeof(buf), &got), 0);
	image->blocking = false;
	file_resize("image", 3000);
	assert_result(slice_read_cached(&made.slice, 0, buf, sizeof(buf), &got), -EIO);
	image_unref(image);
}

static void nothing_points_into_a_mapping_that_must_not_be_read(void **state)
{
	struct image *image = new_image("image", 10 * page_size());
	struct slice_ranges ranges;
	struct made made;

	image->read_by_call = true; /* as if on a tmpfs */
	make(&made, false, RANGE(image, 100, 3 * page_size()));
	assert_result(slice_read_map(&made.slice, 0, SIZE_MAX, false, &ranges), 0);
	assert_int_equal(ranges.count, 1);
	assert_ptr_equal(ranges.ranges[0].iov_base, ranges.ends);
	assert_slice_reads(&made);
	image_unref(image);
}

static void more_than_a_reply_has_room_for_is_an_error(void **state)
{
	struct image *image = new_image("image", sizeof(((struct slice_ranges *)0)->ends) + 2);
	struct slice_ranges ranges;
	struct made made;

	image->read_by_call = true;
	make(&made, false, TAIL(image, 0));
	assert_result(slice_read_map(&made.slice, 1, sizeof(ranges.ends) + 1, false, &ranges),
		      -E2BIG);
	assert_result(slice_read_map(&made.slice, 1, sizeof(ranges.ends), false, &ranges), 0);
	make(&made, false, ZEROS(100 * MIB));
	assert_result(slice_read_map(&made.slice, 0, (SLICE_RANGES_MAX + 1) * MIB, false, &ranges),
		      -E2BIG);
	assert_result(slice_read_map(&made.slice, 0, SLICE_RANGES_MAX * MIB, false, &ranges), 0);
	image_unref(image);
}

static void long_zeros_are_several_ranges(void **state)
{
	struct image *image = new_image("image", 100);
	const size_t size = 3 * MIB + 5;
	struct made made;

	make(&made, false, RANGE(image, 0, 50), ZEROS(size), RANGE(image, 50, 50));
	assert_slice_reads(&made);
	make(&made, false, ZEROS(1ULL << 50));
	assert_slice_size(&made, 1ULL << 50);
	assert_read_size(&made, (1ULL << 50) - size, 2 * size, false, size);
	image_unref(image);
}

/* --- lost bytes --- */

static void only_the_lost_range_is_an_error(void **state)
{
	struct image *a = new_image("a", 40000);
	struct image *b = new_image("b", 40000);
	struct made made;

	make(&made, false, RANGE(a, 0, 10000), RANGE(b, 10000, 20000), RANGE(a, 5000, 10000));
	file_resize("b", 20000);
	assert_slice_size(&made, 40000);
	assert_read_size(&made, 0, 20000, false, 20000);
	assert_read_size(&made, 30000, 10000, false, 10000);
	for (int partial = 0; partial < 2; partial++) {
		assert_read_fails(&made, 20000, 1, partial, -EIO);
		assert_read_fails(&made, 20000, 20000, partial, -EIO);
		assert_read_fails(&made, 29999, 1, partial, -EIO);
	}
	assert_read_fails(&made, 19999, 2, false, -EIO);
	assert_read_fails(&made, 0, 40000, false, -EIO);
	image_unref(a);
	image_unref(b);
}

static void partial_read_ends_where_the_loss_begins(void **state)
{
	struct image *a = new_image("a", 40000);
	struct image *b = new_image("b", 40000);
	struct made made;

	make(&made, false, RANGE(a, 0, 10000), RANGE(b, 10000, 20000), RANGE(a, 5000, 10000));
	file_resize("b", 20000);
	assert_read_size(&made, 0, 40000, true, 20000);
	assert_read_size(&made, 19999, 2, true, 1);
	assert_read_size(&made, 10000, 10001, true, 10000);
	/* Lost as a whole: the extent before it still is there. */
	file_resize("b", 5);
	assert_read_size(&made, 0, 40000, true, 10000);
	assert_read_size(&made, 30000, 40000, true, 10000);
	image_unref(a);
	image_unref(b);
}

static void page_that_holds_the_new_end_does_not_pass_for_data(void **state)
{
	struct image *image = new_image("image", 4 * page_size());
	struct made made;
	char byte;
	size_t got;

	make(&made, false, RANGE(image, 0, 4 * page_size()));
	file_resize("image", page_size() + 100);
	assert_read_fails(&made, page_size() + 100, 1, false, -EIO);
	assert_read_fails(&made, page_size() + 99, 2, false, -EIO);
	assert_result(slice_read(&made.slice, page_size() + 99, &byte, 1, false, &got), 0);
	assert_int_equal(got, 1);
	image_unref(image);
}

static void lost_range_works_again_when_it_is_back(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, false, RANGE(image, 10, 99990));
	file_resize("image", 500);
	assert_read_fails(&made, 0, 99990, false, -EIO);
	file_resize("image", 100000);
	assert_slice_reads(&made);
	image_unref(image);
}

static void nothing_of_an_emptied_image_is_left(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, false, ZEROS(10), RANGE(image, 0, 10000));
	file_resize("image", 0);
	assert_read_fails(&made, 10, 1, true, -EIO);
	assert_read_size(&made, 0, 10010, true, 10);
	image_unref(image);
}

static void tail_follows_its_image(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, false, RANGE(image, 0, 100), TAIL(image, 5000));
	assert_slice_size(&made, 5100);
	file_resize("image", 20000);
	assert_slice_size(&made, 15100);
	assert_slice_reads(&made);
	file_resize("image", 5001);
	assert_slice_size(&made, 101);
	assert_slice_reads(&made);
	file_resize("image", 5000);
	assert_slice_size(&made, 100);
	assert_slice_reads(&made);
	file_resize("image", 200);
	assert_slice_size(&made, 100);
	assert_read_size(&made, 0, 10000, false, 100);
	image_unref(image);
}

static void bytes_past_the_mapping_are_an_error(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, false, TAIL(image, 0));
	file_resize("image", image->map.length + 100);
	assert_read_size(&made, image->map.length - 10, 10, false, 10);
	assert_read_fails(&made, image->map.length, 10, true, -EIO);
	assert_read_fails(&made, image->map.length - 5, 10, false, -EIO);
	assert_read_size(&made, image->map.length - 5, 10, true, 5);
	image_unref(image);
}

/* --- an image that shrinks and grows under its readers --- */

struct reader {
	pthread_t thread;
	const struct made *made;
	const char *bytes;
	atomic_bool *stop;
	unsigned good;
	unsigned lost;
	unsigned wrong;
};

#define CHANGING_SIZE 100000

static void *read_on(void *context)
{
	struct reader *reader = context;
	char *buf = malloc(CHANGING_SIZE);

	do {
		size_t got = 0;
		int result = slice_read(&reader->made->slice, 0, buf, CHANGING_SIZE, false, &got);

		if (result == -EIO)
			reader->lost++;
		else if (result == 0 && got == CHANGING_SIZE &&
			 memcmp(buf, reader->bytes, 1000) == 0)
			reader->good++;
		else
			reader->wrong++;
	} while (!atomic_load(reader->stop));
	free(buf);
	return NULL;
}

static void readers_survive_an_image_that_shrinks_and_grows(void **state)
{
	struct image *image = new_image("image", CHANGING_SIZE);
	struct reader readers[3];
	atomic_bool stop = false;
	char bytes[1000];
	struct made made;

	assert_result(guard_install(), 0);
	make(&made, false, RANGE(image, 0, CHANGING_SIZE));
	file_read_at("image", 0, bytes, sizeof(bytes));
	for (size_t i = 0; i < COUNT(readers); i++) {
		readers[i] = (struct reader){ .made = &made, .bytes = bytes, .stop = &stop };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (int i = 0; i < 3000; i++) {
		file_resize("image", 1000);
		file_resize("image", CHANGING_SIZE);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT(readers); i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].wrong, 0);
		assert_true(readers[i].good + readers[i].lost > 0);
	}
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(extents_read_in_order),
		scratch_test(reading_stops_at_the_end),
		scratch_test(slice_of_no_bytes_reads_as_such),
		scratch_test(ranges_point_into_the_one_mapping),
		scratch_test(small_read_leaves_the_mapping_alone),
		scratch_test(image_that_was_cut_is_read_by_call_for_a_while),
		scratch_test(what_is_not_in_memory_is_not_waited_for),
		scratch_test(nothing_points_into_a_mapping_that_must_not_be_read),
		scratch_test(more_than_a_reply_has_room_for_is_an_error),
		scratch_test(long_zeros_are_several_ranges),
		scratch_test(only_the_lost_range_is_an_error),
		scratch_test(partial_read_ends_where_the_loss_begins),
		scratch_test(page_that_holds_the_new_end_does_not_pass_for_data),
		scratch_test(lost_range_works_again_when_it_is_back),
		scratch_test(nothing_of_an_emptied_image_is_left),
		scratch_test(tail_follows_its_image),
		scratch_test(bytes_past_the_mapping_are_an_error),
		scratch_test(readers_survive_an_image_that_shrinks_and_grows),
	};

	return run_on_both(tests);
}

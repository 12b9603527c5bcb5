/* SPDX-License-Identifier: MIT */
/* Flushing slices: which pages go to the disk, by which call, and who hears of a failure. */
#include "slices.h"

#include "guard.h"
#include "image_internal.h"
#include "log.h"
#include "stats.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The calls of msync(2) and fsync(2), and how they end. */
struct call {
	char *start; /* NULL: an fsync */
	size_t length;
	int fd; /* of an fsync */
};

static struct call calls[16];
static size_t call_count;
static int next_error;             /* errno; of every call until it is 0 again */
static size_t failures = SIZE_MAX; /* so many calls fail */

static int end_call(void)
{
	if (next_error == 0 || failures == 0)
		return 0;
	failures--;
	errno = next_error;
	return -1;
}

int __wrap_msync(void *start, size_t length, int flags);
int __wrap_msync(void *start, size_t length, int flags)
{
	assert_int_equal(flags, MS_SYNC);
	assert_true(call_count < COUNT(calls));
	calls[call_count++] = (struct call){ .start = start, .length = length };
	return end_call();
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	assert_true(call_count < COUNT(calls));
	calls[call_count++] = (struct call){ .fd = fd };
	return end_call();
}

static int without_errors(void **state)
{
	call_count = 0;
	next_error = 0;
	failures = SIZE_MAX;
	return scratch_enter(state);
}

static uint64_t page_size(void)
{
	return 1ULL << page_shift();
}

/* Call number index is an msync of the pages of [offset, end) of the image. */
static void assert_msync(size_t index, const struct image *image, uint64_t offset, uint64_t end)
{
	uint64_t start = calls[index].start - image->map.base;

	assert_true(index < call_count);
	assert_non_null(calls[index].start);
	assert_int_equal(start, offset / page_size() * page_size());
	assert_true(start + calls[index].length >= end);
	assert_true(start + calls[index].length <= (end / page_size() + 1) * page_size());
}

static void assert_fsync(size_t index, const struct image *image)
{
	assert_true(index < call_count);
	assert_null(calls[index].start);
	assert_int_equal(calls[index].fd, image->fd);
}

static void flush(const struct made *made, uint64_t offset, uint64_t length, int wanted)
{
	call_count = 0;
	stderr_begin(); /* a failure is logged, too */
	assert_result(slice_flush(&made->slice, offset, length), wanted);
	free(stderr_end());
}

static void write_byte(const struct made *made, uint64_t offset)
{
	assert_writes(made, offset, "x", 1);
}

/* --- which pages --- */

static void own_pages_and_no_others_are_flushed(void **state)
{
	struct image *image = new_image("image", 100 * page_size());
	struct made made;

	make(&made, true, RANGE(image, 5000, 200000));
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(call_count, 1);
	assert_msync(0, image, 5000, 205000);
	flush(&made, 0, 200000, 0);
	assert_int_equal(call_count, 1);
	assert_msync(0, image, 5000, 205000);
	flush(&made, 50000, 1, 0);
	assert_int_equal(call_count, 1);
	assert_msync(0, image, 55000, 55001);
	flush(&made, 199999, UINT64_MAX, 0);
	assert_int_equal(call_count, 1);
	assert_msync(0, image, 204999, 205000);
	image_unref(image);
}

static void nothing_to_flush_is_no_call(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 5000, 5000), ZEROS(1000), RANGE(image, 0, 0));
	flush(&made, 0, 0, 0);
	assert_int_equal(call_count, 0);
	flush(&made, 5000, UINT64_MAX, 0);
	assert_int_equal(call_count, 0);
	flush(&made, 6000, UINT64_MAX, 0);
	assert_int_equal(call_count, 0);
	flush(&made, UINT64_MAX, UINT64_MAX, 0);
	assert_int_equal(call_count, 0);
	image_unref(image);
}

static void tail_is_flushed_to_the_end(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, true, TAIL(image, 50000));
	flush(&made, 10, UINT64_MAX, 0);
	assert_int_equal(call_count, 1);
	assert_int_equal(calls[0].start - image->map.base, 50010 / page_size() * page_size());
	assert_true(calls[0].start + calls[0].length >= image->map.base + 100000);
	assert_true(calls[0].start + calls[0].length <= image->map.base + image->map.length);
	image_unref(image);
}

static void neighbours_share_one_call(void **state)
{
	struct image *image = new_image("image", 100 * page_size());
	struct made made;

	make(&made, true, RANGE(image, 0, 100), RANGE(image, 3000, 100),
	     RANGE(image, page_size(), 1), RANGE(image, 2 * page_size() + 5, 3 * page_size()));
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(call_count, 1);
	assert_msync(0, image, 0, 5 * page_size() + 5);
	image_unref(image);
}

static void pages_between_extents_are_left_alone(void **state)
{
	struct image *image = new_image("image", 100 * page_size());
	struct made made;

	make(&made, true, RANGE(image, 50 * page_size(), 10), RANGE(image, 0, 10),
	     RANGE(image, 2 * page_size(), 10), ZEROS(10), RANGE(image, 3 * page_size(), 10));
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(call_count, 4);
	assert_msync(0, image, 50 * page_size(), 50 * page_size() + 10);
	assert_msync(1, image, 0, 10);
	assert_msync(2, image, 2 * page_size(), 2 * page_size() + 10);
	assert_msync(3, image, 3 * page_size(), 3 * page_size() + 10);
	image_unref(image);
}

/* Random extents: every byte is in some call, no page without a byte is in any. */
static void random_slices_flush_their_pages_exactly(void **state)
{
	struct image *image = new_image("image", 16 * page_size());

	random_begin();
	for (int i = 0; i < 3000; i++) {
		bool wanted[17] = { 0 };
		bool found[17] = { 0 };
		struct extent extents[5];
		struct made made;

		for (size_t j = 0; j < COUNT(extents); j++) {
			uint64_t offset = random_below(16 * page_size());
			uint64_t most = 16 * page_size() - offset;

			extents[j] = (struct extent){
				.image = image,
				.offset = offset,
				.length = random_below(most < 9000 ? most : 9000),
			};
			for (uint64_t k = 0; k < extents[j].length; k++)
				wanted[(offset + k) / page_size()] = true;
		}
		make_slice(&made, true, extents, COUNT(extents));
		flush(&made, 0, UINT64_MAX, 0);
		for (size_t j = 0; j < call_count; j++) {
			uint64_t start = calls[j].start - image->map.base;

			assert_int_equal(start % page_size(), 0);
			for (uint64_t k = 0; k < calls[j].length; k += page_size())
				found[(start + k) / page_size()] = true;
		}
		assert_memory_equal(found, wanted, sizeof(found));
	}
	image_unref(image);
}

static void each_image_is_flushed(void **state)
{
	struct image *a = new_image("a", 100000);
	struct image *b = new_image("b", 100000);
	struct made made;

	make(&made, true, RANGE(a, 0, 100), RANGE(b, 0, 100), RANGE(a, 50000, 100));
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(call_count, 3);
	assert_msync(0, a, 0, 100);
	assert_msync(1, b, 0, 100);
	assert_msync(2, a, 50000, 50100);
	image_unref(a);
	image_unref(b);
}

static void read_only_image_is_not_flushed(void **state)
{
	struct image *image;
	struct made made;

	file_fill("image", 10000);
	image = image_at("image", IMAGE_ACCESS_RO);
	make(&made, false, RANGE(image, 0, 10000));
	flush(&made, 0, UINT64_MAX, 0);
	assert_result(image_flush(image), 0);
	assert_int_equal(call_count, 0);
	image_unref(image);
}

static void flushed_pages_are_cold(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, true, RANGE(image, 0, 100000));
	write_byte(&made, 50000);
	assert_true(map_is_hot(&image->map, 50000, 1));
	flush(&made, 50000, 1, 0);
	assert_false(map_is_hot(&image->map, 50000, 1));
	/* After a failure, too: who writes next should meet its errno. */
	write_byte(&made, 50000);
	next_error = EIO;
	flush(&made, 50000, 1, -EIO);
	assert_false(map_is_hot(&image->map, 50000, 1));
	image_unref(image);
}

static void flushes_are_counted(void **state)
{
	struct image *image = new_image("image", 100000);
	uint64_t before = atomic_load(&stats.msyncs);
	struct made made;

	make(&made, true, RANGE(image, 0, 100), RANGE(image, 50000, 100));
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(atomic_load(&stats.msyncs), before + 2);
	image_unref(image);
}

/* --- after a change of size --- */

static void make_resizable(struct made *made, struct image *image)
{
	make(made, true, TAIL(image, 0));
	made->slice.resize = true;
}

static void growth_is_flushed_with_its_metadata(void **state)
{
	struct image *image = new_image("image", 1000);
	struct made made;

	make_resizable(&made, image);
	write_byte(&made, 5000);
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(call_count, 1);
	assert_fsync(0, image);
	flush(&made, 0, 5001, 0);
	assert_int_equal(call_count, 1);
	assert_msync(0, image, 0, 5001);
	image_unref(image);
}

static void every_way_to_resize_is_flushed(void **state)
{
	struct image *image = new_image("image", 1000);
	struct made made;
	size_t written;

	make_resizable(&made, image);
	assert_result(slice_resize(&made.slice, 500), 0);
	flush(&made, 0, UINT64_MAX, 0);
	assert_fsync(0, image);
	assert_result(slice_append(&made.slice, "x", 1, &written), 0);
	flush(&made, 0, UINT64_MAX, 0);
	assert_fsync(0, image);
	assert_result(slice_allocate(&made.slice, 0, 0, 70000), 0);
	flush(&made, 0, UINT64_MAX, 0);
	assert_fsync(0, image);
	image_unref(image);
}

static void failed_flush_of_growth_is_tried_again(void **state)
{
	struct image *image = new_image("image", 1000);
	struct made made;

	make_resizable(&made, image);
	write_byte(&made, 5000);
	next_error = EIO;
	flush(&made, 0, UINT64_MAX, -EIO);
	next_error = 0;
	flush(&made, 0, UINT64_MAX, 0);
	assert_int_equal(call_count, 1);
	assert_fsync(0, image);
	image_unref(image);
}

/* --- who hears of a failure --- */

static void each_handle_fails_once(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	uint64_t first;
	uint64_t second;

	make(&made, true, RANGE(image, 0, 10000));
	first = slice_error_sample(&made.slice);
	second = slice_error_sample(&made.slice);
	assert_result(slice_error_check(&made.slice, &first), 0);
	next_error = ENOSPC;
	flush(&made, 0, UINT64_MAX, -ENOSPC);
	next_error = 0;
	/* A later success does not take it back. */
	flush(&made, 0, UINT64_MAX, 0);
	assert_result(slice_error_check(&made.slice, &first), -ENOSPC);
	assert_result(slice_error_check(&made.slice, &first), 0);
	assert_result(slice_error_check(&made.slice, &second), -ENOSPC);
	assert_result(slice_error_check(&made.slice, &second), 0);
	image_unref(image);
}

static void new_handle_inherits_only_an_untold_error(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	uint64_t old;
	uint64_t cursor;

	make(&made, true, RANGE(image, 0, 10000));
	old = slice_error_sample(&made.slice);
	next_error = EIO;
	flush(&made, 0, UINT64_MAX, -EIO);
	/* Nobody was told yet: the one who opens now may be who wrote. */
	cursor = slice_error_sample(&made.slice);
	assert_result(slice_error_check(&made.slice, &cursor), -EIO);
	assert_result(slice_error_check(&made.slice, &cursor), 0);
	cursor = slice_error_sample(&made.slice);
	assert_result(slice_error_check(&made.slice, &cursor), 0);
	assert_result(slice_error_check(&made.slice, &old), -EIO);
	image_unref(image);
}

static void second_failure_is_told_again(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	uint64_t cursor;

	make(&made, true, RANGE(image, 0, 10000));
	cursor = slice_error_sample(&made.slice);
	for (int i = 0; i < 3; i++) {
		next_error = i == 1 ? EDQUOT : EIO;
		flush(&made, 0, UINT64_MAX, -next_error);
		assert_result(slice_error_check(&made.slice, &cursor), -next_error);
		assert_result(slice_error_check(&made.slice, &cursor), 0);
	}
	image_unref(image);
}

static void failure_concerns_all_slices_of_the_image_and_no_others(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made made[4];
	uint64_t cursors[COUNT(made)];

	make(&made[0], true, RANGE(a, 0, 5000));
	make(&made[1], true, RANGE(a, 5000, 5000));
	make(&made[2], true, RANGE(b, 0, 10000));
	make(&made[3], true, RANGE(b, 0, 100), ZEROS(10), RANGE(a, 0, 100), RANGE(b, 500, 10));
	for (size_t i = 0; i < COUNT(made); i++)
		cursors[i] = slice_error_sample(&made[i].slice);
	next_error = EIO;
	flush(&made[0], 0, UINT64_MAX, -EIO);
	assert_result(slice_error_check(&made[1].slice, &cursors[1]), -EIO);
	assert_result(slice_error_check(&made[2].slice, &cursors[2]), 0);
	assert_result(slice_error_check(&made[3].slice, &cursors[3]), -EIO);
	assert_result(slice_error_check(&made[3].slice, &cursors[3]), 0);
	/* Having looked at another image's error must not hide one's own that comes later. */
	flush(&made[2], 0, UINT64_MAX, -EIO);
	assert_result(slice_error_check(&made[2].slice, &cursors[2]), -EIO);
	assert_result(slice_error_check(&made[3].slice, &cursors[3]), -EIO);
	image_unref(a);
	image_unref(b);
}

static void sample_of_one_image_does_not_hide_the_untold_error_of_another(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made on_a;
	struct made on_b;
	struct made on_both;
	uint64_t told;
	uint64_t cursor;

	make(&on_a, true, RANGE(a, 0, 10000));
	make(&on_b, true, RANGE(b, 0, 10000));
	make(&on_both, true, RANGE(b, 0, 100), RANGE(a, 0, 100));
	told = slice_error_sample(&on_b.slice);
	next_error = EIO;
	flush(&on_a, 0, UINT64_MAX, -EIO);
	next_error = ENOSPC;
	flush(&on_b, 0, UINT64_MAX, -ENOSPC);
	assert_result(slice_error_check(&on_b.slice, &told), -ENOSPC);
	/* Only a's is news. */
	cursor = slice_error_sample(&on_both.slice);
	assert_result(slice_error_check(&on_both.slice, &cursor), -EIO);
	assert_result(slice_error_check(&on_both.slice, &cursor), 0);
	image_unref(a);
	image_unref(b);
}

static void failure_of_one_image_does_not_spare_the_next(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made made;

	make(&made, true, RANGE(a, 0, 100), RANGE(b, 0, 100), ZEROS(5));
	next_error = EIO;
	failures = 1;
	flush(&made, 0, UINT64_MAX, -EIO);
	assert_int_equal(call_count, 2);
	assert_int_not_equal(image_error_untold(a), 0);
	assert_int_equal(image_error_untold(b), 0);
	image_unref(a);
	image_unref(b);
}

static void failed_flush_of_a_whole_image_is_recorded(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	uint64_t cursor;

	make(&made, true, RANGE(image, 0, 10000));
	cursor = slice_error_sample(&made.slice);
	next_error = EIO;
	stderr_begin();
	assert_result(image_flush(image), -EIO);
	free(stderr_end());
	assert_result(slice_error_check(&made.slice, &cursor), -EIO);
	image_unref(image);
}

/* --- generations --- */

static void generation_of_a_slice_moves_with_any_of_its_images(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made made;
	uint32_t generation;

	make(&made, true, RANGE(a, 0, 100), ZEROS(10), RANGE(b, 0, 100), RANGE(b, 200, 100));
	usleep(100000); /* until the stamps have settled */
	generation = slice_generation(&made.slice);
	assert_int_equal(slice_generation(&made.slice), generation);
	file_write_at("b", 5000, "x", 1);
	assert_int_not_equal(slice_generation(&made.slice), generation);
	make(&made, true, ZEROS(10));
	assert_int_equal(slice_generation(&made.slice), slice_generation(&made.slice));
	image_unref(a);
	image_unref(b);
}

/* So that each open asks two images, and not 100 runs of extents. */
static void images_of_many_extents_are_noted_once(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct extent extents[100];
	struct slice slice = { .extents = extents, .extent_count = COUNT(extents) };
	uint32_t generation;

	for (size_t i = 0; i < COUNT(extents); i++)
		extents[i] = (struct extent){ .image = i % 3 == 2 ? NULL
						       : i % 3    ? a
								  : b,
					      .start = i,
					      .length = 1 };
	assert_result(slice_note_images(&slice), 0);
	assert_true((slice.images[0] == a && slice.images[1] == b) ||
		    (slice.images[0] == b && slice.images[1] == a));
	assert_null(slice.images[2]);
	usleep(100000); /* until the stamps have settled */
	generation = slice_generation(&slice);
	assert_int_equal(slice_generation(&slice), generation);
	for (const char *path = "a"; *path; path = *path == 'a' ? "b" : "") {
		generation = slice_generation(&slice);
		file_write_at(path, 5000, "x", 1);
		assert_int_not_equal(slice_generation(&slice), generation);
	}
	free(slice.images);
	image_unref(a);
	image_unref(b);
}

static void images_of_few_extents_and_of_zeros_are_found_without_a_list(void **state)
{
	struct extent extents[100] = { 0 };
	struct slice slice = { .extents = extents, .extent_count = 3 };

	assert_result(slice_note_images(&slice), 0);
	assert_null(slice.images);
	slice.extent_count = COUNT(extents);
	assert_result(slice_note_images(&slice), 0);
	assert_null(slice.images[0]);
	assert_true(slice_is_prompt(&slice));
	free(slice.images);
}

#define flush_test(function)                                                                       \
	cmocka_unit_test_setup_teardown(function, without_errors, scratch_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		flush_test(own_pages_and_no_others_are_flushed),
		flush_test(nothing_to_flush_is_no_call),
		flush_test(tail_is_flushed_to_the_end),
		flush_test(neighbours_share_one_call),
		flush_test(pages_between_extents_are_left_alone),
		flush_test(random_slices_flush_their_pages_exactly),
		flush_test(each_image_is_flushed),
		flush_test(read_only_image_is_not_flushed),
		flush_test(flushed_pages_are_cold),
		flush_test(flushes_are_counted),
		flush_test(growth_is_flushed_with_its_metadata),
		flush_test(every_way_to_resize_is_flushed),
		flush_test(failed_flush_of_growth_is_tried_again),
		flush_test(each_handle_fails_once),
		flush_test(new_handle_inherits_only_an_untold_error),
		flush_test(second_failure_is_told_again),
		flush_test(failure_concerns_all_slices_of_the_image_and_no_others),
		flush_test(sample_of_one_image_does_not_hide_the_untold_error_of_another),
		flush_test(failure_of_one_image_does_not_spare_the_next),
		flush_test(failed_flush_of_a_whole_image_is_recorded),
		flush_test(generation_of_a_slice_moves_with_any_of_its_images),
		flush_test(images_of_many_extents_are_noted_once),
		flush_test(images_of_few_extents_and_of_zeros_are_found_without_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

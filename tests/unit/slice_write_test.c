/* SPDX-License-Identifier: MIT */
/* Writing slices: where the bytes land, what is refused, and tails that move their image's end. */
#include "slices.h"

#include "guard.h"
#include "image_internal.h"
#include "stats.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB (1UL << 20)
#define LEFT_ALONE ((size_t)12345)

static size_t page_size(void)
{
	return (size_t)1 << page_shift();
}

static void assert_write_fails(const struct made *made, uint64_t offset, size_t size, int error)
{
	char *buf = calloc(1, size + 1);
	size_t written = LEFT_ALONE;

	assert_non_null(buf);
	assert_result(slice_write(&made->slice, offset, buf, size, &written), error);
	assert_int_equal(written, LEFT_ALONE);
	free(buf);
}

/* Of size bytes only so many are taken; what is behind them fails with error. */
static void assert_write_is_short(const struct made *made, uint64_t offset, size_t size,
				  size_t taken, int error)
{
	char *buf = malloc(size);
	size_t written = LEFT_ALONE;

	assert_non_null(buf);
	random_bytes(buf, size);
	assert_result(slice_write(&made->slice, offset, buf, size, &written), 0);
	assert_int_equal(written, taken);
	assert_slice_holds(made, offset, buf, taken);
	free(buf);
	assert_write_fails(made, offset + taken, size - taken, error);
}

/* --- where the bytes land --- */

static void bytes_land_in_the_image_and_nowhere_else(void **state)
{
	struct image *image = new_image("image", 100000);
	char *model = malloc(100000);
	char buf[9000];
	struct made made;

	random_begin();
	assert_non_null(model);
	file_read_at("image", 0, model, 100000);
	make(&made, true, RANGE(image, 12345, 60001));
	for (int i = 0; i < 500; i++) {
		size_t size = random_below(random_chance(50) ? 100 : sizeof(buf)) + 1;
		uint64_t offset = random_below(60001 - size + 1);

		random_bytes(buf, size);
		assert_writes(&made, offset, buf, size);
		memcpy(model + 12345 + offset, buf, size);
		if (random_chance(5))
			assert_result(slice_flush(&made.slice, 0, UINT64_MAX), 0);
	}
	file_assert("image", model, 100000);
	assert_slice_reads(&made);
	free(model);
	image_unref(image);
}

static void write_spans_extents_and_images(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made made;
	char a_bytes[10000];
	char b_bytes[10000];
	char buf[3000];

	file_read_at("a", 0, a_bytes, sizeof(a_bytes));
	file_read_at("b", 0, b_bytes, sizeof(b_bytes));
	make(&made, true, RANGE(a, 9000, 1000), RANGE(b, 33, 500), RANGE(b, 3, 0),
	     RANGE(a, 100, 1000), TAIL(b, 9500));
	random_bytes(buf, sizeof(buf));
	assert_writes(&made, 0, buf, sizeof(buf));
	memcpy(a_bytes + 9000, buf, 1000);
	memcpy(b_bytes + 33, buf + 1000, 500);
	memcpy(a_bytes + 100, buf + 1500, 1000);
	memcpy(b_bytes + 9500, buf + 2500, 500);
	file_assert("a", a_bytes, sizeof(a_bytes));
	file_assert("b", b_bytes, sizeof(b_bytes));
	image_unref(a);
	image_unref(b);
}

static void write_is_seen_at_once_through_every_slice(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made writer;
	struct made reader;
	char byte;

	make(&writer, true, RANGE(image, 1000, 50000));
	make(&reader, false, RANGE(image, 500, 20), RANGE(image, 999, 50000));
	for (int i = 0; i < 300; i++) {
		byte = i;
		assert_writes(&writer, i * 7, &byte, 1);
		assert_slice_holds(&reader, 20 + 1 + i * 7, &byte, 1);
		byte = -1;
		file_read_at("image", 1000 + i * 7, &byte, 1);
		assert_int_equal(byte, (char)i);
		/* And the other way round: the image's own writers. */
		byte = i ^ 0x55;
		file_write_at("image", 1000 + i * 7, &byte, 1);
		assert_slice_holds(&writer, i * 7, &byte, 1);
	}
	image_unref(image);
}

struct ways {
	uint64_t copies;
	uint64_t calls;
};

static struct ways ways_so_far(void)
{
	return (struct ways){ atomic_load(&stats.write_copies), atomic_load(&stats.write_calls) };
}

/* One write of size zero bytes at offset goes by so many copies and calls. */
static void assert_goes_by(const struct made *made, uint64_t offset, size_t size, uint64_t copies,
			   uint64_t calls)
{
	struct ways before = ways_so_far();
	char *buf = calloc(1, size);
	struct ways after;

	assert_non_null(buf);
	assert_writes(made, offset, buf, size);
	after = ways_so_far();
	assert_int_equal(after.copies - before.copies, copies);
	assert_int_equal(after.calls - before.calls, calls);
	free(buf);
}

static void pages_written_since_their_flush_are_written_by_copy(void **state)
{
	struct image *image = new_image("image", 4 * MIB);
	struct made made;

	assert_result(guard_install(), 0);
	make(&made, true, RANGE(image, 100, 4 * MIB - 100));
	assert_goes_by(&made, 50000, 4096, 0, 1);
	assert_goes_by(&made, 50000, 4096, 1, 0);
	assert_goes_by(&made, 51000, 10, 1, 0);
	assert_goes_by(&made, 80000, 10, 0, 1);
	/* Bulk never. */
	assert_goes_by(&made, MIB, 2 * MIB, 0, 1);
	assert_goes_by(&made, MIB, 2 * MIB, 0, 1);
	assert_goes_by(&made, MIB + 12345, 4096, 1, 0);

	assert_result(slice_flush(&made.slice, 50000, 4096), 0);
	assert_goes_by(&made, 50000, 4096, 0, 1);
	assert_goes_by(&made, MIB + 12345, 4096, 1, 0);
	assert_result(image_flush(image), 0);
	assert_goes_by(&made, MIB + 12345, 4096, 0, 1);
	image_unref(image);
}

#define WRITERS 4
#define WRITER_ROUNDS 3000
#define STRIDE 100

struct writer {
	pthread_t thread;
	const struct made *made;
	unsigned index;
	unsigned failures;
};

/* Every fourth stretch of STRIDE bytes is this thread's: all share all pages. */
static void *write_own_stretches(void *context)
{
	struct writer *writer = context;
	char buf[STRIDE];

	for (unsigned i = 0; i < WRITER_ROUNDS; i++) {
		uint64_t stretch = i % 400 * WRITERS + writer->index;
		size_t written = 0;

		memset(buf, writer->index + i, sizeof(buf));
		if (slice_write(&writer->made->slice, stretch * STRIDE, buf, STRIDE, &written) ||
		    written != STRIDE)
			writer->failures++;
		if (i % 100 == 0 && slice_flush(&writer->made->slice, 0, UINT64_MAX) < 0)
			writer->failures++;
	}
	return NULL;
}

static void threads_that_share_pages_lose_no_write(void **state)
{
	struct image *image = new_image("image", 400 * WRITERS * STRIDE + 77);
	struct writer writers[WRITERS] = { 0 };
	struct made made;

	assert_result(guard_install(), 0);
	make(&made, true, RANGE(image, 77, 400 * WRITERS * STRIDE));
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i].made = &made;
		writers[i].index = i;
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_own_stretches,
						&writers[i]),
				 0);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		assert_int_equal(writers[i].failures, 0);
	}
	for (unsigned stretch = 0; stretch < 400 * WRITERS; stretch++) {
		unsigned last = WRITER_ROUNDS - 1 - (WRITER_ROUNDS - 1 - stretch / WRITERS) % 400;
		char wanted[STRIDE];

		memset(wanted, stretch % WRITERS + last, sizeof(wanted));
		assert_slice_holds(&made, stretch * STRIDE, wanted, STRIDE);
	}
	image_unref(image);
}

/* --- what is refused --- */

static void read_only_slice_is_not_written(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, false, RANGE(image, 0, 10000));
	assert_write_fails(&made, 0, 10, -EROFS);
	assert_write_fails(&made, 20000, 10, -EROFS);
	image_unref(image);
}

static void fixed_slice_takes_what_fits(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made fixed;
	struct made tail;

	make(&fixed, true, RANGE(image, 1000, 3000));
	assert_write_is_short(&fixed, 2000, 5000, 1000, -ENOSPC);
	assert_write_is_short(&fixed, 2999, 2, 1, -ENOSPC);
	assert_write_fails(&fixed, 3000, 1, -ENOSPC);
	assert_write_fails(&fixed, UINT64_MAX, 1, -ENOSPC);
	/* So does a tail that may not resize its image. */
	make(&tail, true, TAIL(image, 9000));
	assert_write_is_short(&tail, 500, 5000, 500, -ENOSPC);
	assert_int_equal(file_size("image"), 10000);
	image_unref(image);
}

static void writing_nothing_is_always_fine(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 1000, 3000));
	assert_writes(&made, 0, "", 0);
	assert_writes(&made, 3000, "", 0);
	assert_writes(&made, 1ULL << 62, "", 0);
	image_unref(image);
}

static void zeros_take_nothing(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 1000, 3000), ZEROS(500), RANGE(image, 5000, 100));
	assert_write_is_short(&made, 2900, 700, 100, -ENOSPC);
	assert_write_fails(&made, 3000, 500, -ENOSPC);
	assert_write_fails(&made, 3499, 2, -ENOSPC);
	assert_slice_reads(&made);
	image_unref(image);
}

/* --- lost bytes --- */

static void lost_range_is_not_written_and_not_regrown(void **state)
{
	struct image *image = new_image("image", 4 * MIB);
	struct made made;

	assert_result(guard_install(), 0);
	make(&made, true, RANGE(image, 100, 4 * MIB - 100));
	assert_goes_by(&made, 2 * MIB, 100, 0, 1); /* cold */
	assert_goes_by(&made, 2 * MIB, 100, 1, 0); /* hot */
	file_resize("image", MIB);
	assert_write_fails(&made, 2 * MIB, 100, -EIO);
	assert_true(image_cut_lately(image));
	image->cut_seen = 0;
	assert_write_fails(&made, 3 * MIB, 100, -EIO);
	assert_true(image_cut_lately(image));
	assert_write_fails(&made, 2 * MIB, MIB, -EIO);
	assert_write_fails(&made, MIB - 100, 1, -EIO);
	assert_int_equal(file_size("image"), MIB);
	image_unref(image);
}

static void write_is_short_where_the_loss_begins(void **state)
{
	struct image *a = new_image("a", 10000);
	struct image *b = new_image("b", 10000);
	struct made made;

	make(&made, true, RANGE(a, 0, 5000), RANGE(b, 0, 10000), RANGE(a, 5000, 5000));
	file_resize("b", 6000);
	assert_write_is_short(&made, 4000, 10000, 7000, -EIO);
	assert_write_is_short(&made, 10999, 2, 1, -EIO);
	assert_int_equal(file_size("b"), 6000);
	file_resize("b", 0);
	assert_write_is_short(&made, 4000, 10000, 1000, -EIO);
	/* The extent behind it is as good as ever. */
	assert_goes_by(&made, 15000, 5000, 0, 1);
	assert_int_equal(file_size("b"), 0);
	image_unref(a);
	image_unref(b);
}

static void page_that_holds_the_new_end_is_not_written_behind_it(void **state)
{
	struct image *image = new_image("image", 4 * page_size());
	struct made made;

	assert_result(guard_install(), 0);
	make(&made, true, RANGE(image, 0, 4 * page_size()));
	assert_goes_by(&made, page_size(), page_size(), 0, 1);
	file_resize("image", page_size() + 100);
	assert_write_is_short(&made, page_size() + 90, 20, 10, -EIO);
	assert_write_fails(&made, page_size() + 100, 1, -EIO);
	file_resize("image", 4 * page_size());
	assert_slice_holds(&made, page_size() + 100, (char[10]){ 0 }, 10);
	image_unref(image);
}

static void hot_page_works_again_when_it_is_back(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;
	char found[5];

	assert_result(guard_install(), 0);
	make(&made, true, RANGE(image, 0, 100000));
	assert_goes_by(&made, 50000, 100, 0, 1);
	file_resize("image", 1000);
	file_resize("image", 100000);
	assert_writes(&made, 50010, "hello", 5);
	file_read_at("image", 50010, found, sizeof(found));
	assert_memory_equal(found, "hello", sizeof(found));
	assert_slice_reads(&made);
	image_unref(image);
}

/* --- tails that resize --- */

static void make_resizable(struct made *made, struct image *image, uint64_t offset)
{
	make(made, true, TAIL(image, offset));
	made->slice.resize = true;
}

static void write_past_the_end_grows_the_image(void **state)
{
	struct image *image = new_image("image", 1000);
	struct made made;

	make_resizable(&made, image, 900);
	assert_writes(&made, 50, "hello", 5);
	assert_int_equal(file_size("image"), 1000);
	assert_writes(&made, 98, "hello", 5);
	assert_int_equal(file_size("image"), 1003);
	assert_writes(&made, 103, "!", 1);
	assert_slice_holds(&made, 98, "hello!", 6);
	assert_writes(&made, 100000, "far", 3);
	assert_int_equal(file_size("image"), 900 + 100003);
	assert_slice_holds(&made, 98, "hello!\0\0\0", 9);
	assert_slice_holds(&made, 99999, "\0far", 4);
	assert_slice_reads(&made);
	assert_false(image_cut_lately(image));
	image_unref(image);
}

static void fixed_part_before_a_tail_does_not_grow(void **state)
{
	struct image *a = new_image("a", 1000);
	struct image *b = new_image("b", 1000);
	struct made made;
	char buf[3000];

	make(&made, true, RANGE(a, 0, 1000), TAIL(b, 0));
	made.slice.resize = true;
	random_bytes(buf, sizeof(buf));
	assert_writes(&made, 0, buf, sizeof(buf));
	file_assert("a", buf, 1000);
	file_assert("b", buf + 1000, 2000);
	file_resize("a", 500);
	assert_write_is_short(&made, 400, 200, 100, -EIO);
	assert_int_equal(file_size("a"), 500);
	image_unref(a);
	image_unref(b);
}

static void growth_ends_where_the_mapping_does(void **state)
{
	struct image *image = new_image("image", 1000);
	const uint64_t end = image->map.length;
	struct made made;

	make_resizable(&made, image, 0);
	assert_write_fails(&made, end, 1, -EFBIG);
	assert_write_fails(&made, 1ULL << 50, 1, -EFBIG);
	assert_write_fails(&made, INT64_MAX, 1, -EFBIG);
	assert_write_fails(&made, UINT64_MAX - 10, 5, -EFBIG);
	assert_int_equal(file_size("image"), 1000);
	assert_write_is_short(&made, end - 3, 5, 3, -EFBIG);
	assert_int_equal(file_size("image"), end);
	image_unref(image);
}

static void grow_under_a_file_size_limit(void *context)
{
	const struct made *made = context;
	const struct rlimit limit = { 10000, RLIM_INFINITY };
	size_t written = LEFT_ALONE;
	char buf[100] = "";

	signal(SIGXFSZ, SIG_IGN);
	assert_return_code(setrlimit(RLIMIT_FSIZE, &limit), errno);
	assert_result(slice_write(&made->slice, 9950, buf, sizeof(buf), &written), 0);
	assert_int_equal(written, 50);
	assert_result(slice_write(&made->slice, 10000, buf, sizeof(buf), &written), -EFBIG);
	assert_result(slice_resize(&made->slice, 10001), -EFBIG);
	assert_result(slice_append(&made->slice, buf, sizeof(buf), &written), -EFBIG);
}

static void file_size_limit_is_an_errno(void **state)
{
	struct image *image = new_image("image", 1000);
	struct made made;

	make_resizable(&made, image, 0);
	assert_in_child(grow_under_a_file_size_limit, &made);
	assert_int_equal(file_size("image"), 10000);
	image_unref(image);
}

static void resize_moves_the_images_end(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	char bytes[10000];

	assert_result(guard_install(), 0);
	file_read_at("image", 0, bytes, sizeof(bytes));
	make(&made, true, RANGE(image, 0, 100), TAIL(image, 4000));
	made.slice.resize = true;
	assert_goes_by(&made, 0, 6100, 0, 2);
	assert_result(slice_resize(&made.slice, 50000), 0);
	assert_int_equal(file_size("image"), 53900);
	assert_slice_size(&made, 50000);
	assert_result(slice_resize(&made.slice, 110), 0);
	assert_int_equal(file_size("image"), 4010);
	assert_slice_size(&made, 110);
	/* What was cut off is zeros when it is back. */
	assert_result(slice_resize(&made.slice, 6100), 0);
	assert_slice_holds(&made, 110, (char[5990]){ 0 }, 5990);
	assert_goes_by(&made, 5000, 10, 0, 1); /* a hole is not hot */
	assert_result(slice_resize(&made.slice, 100), 0);
	assert_int_equal(file_size("image"), 4000);
	image_unref(image);
}

static void resize_is_for_tails_that_may(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, true, RANGE(image, 0, 100));
	assert_result(slice_resize(&made.slice, 50), -EPERM);
	assert_result(slice_resize(&made.slice, 200), -EPERM);
	make(&made, true, TAIL(image, 0));
	assert_result(slice_resize(&made.slice, 200), -EPERM);
	make(&made, true, RANGE(image, 0, 100), TAIL(image, 500));
	made.slice.resize = true;
	assert_result(slice_resize(&made.slice, 99), -EPERM);
	assert_result(slice_resize(&made.slice, 0), -EPERM);
	assert_result(slice_resize(&made.slice, INT64_MAX), -EFBIG);
	assert_result(slice_resize(&made.slice, UINT64_MAX), -EFBIG);
	assert_result(slice_resize(&made.slice, image->map.length), -EFBIG);
	make(&made, false, TAIL(image, 0));
	assert_result(slice_resize(&made.slice, 50), -EROFS);
	assert_int_equal(file_size("image"), 10000);
	image_unref(image);
}

/* --- appending --- */

static void append(const struct made *made, const char *text)
{
	size_t written = 0;

	assert_result(slice_append(&made->slice, text, strlen(text), &written), 0);
	assert_int_equal(written, strlen(text));
}

static void append_finds_the_true_end(void **state)
{
	struct image *image = new_image("image", 1000);
	struct made first;
	struct made second;

	make_resizable(&first, image, 0);
	make_resizable(&second, image, 900);
	append(&first, "one");
	append(&second, "two");
	file_resize("image", 1010);
	append(&first, "three");
	assert_slice_holds(&second, 100, "onetwo\0\0\0\0three", 15);
	assert_slice_size(&first, 1015);
	image_unref(image);
}

static void append_is_for_tails_that_may(void **state)
{
	struct image *image = new_image("image", 1000);
	size_t written = LEFT_ALONE;
	struct made made;

	make(&made, true, RANGE(image, 0, 1000));
	assert_result(slice_append(&made.slice, "x", 1, &written), -ENOSPC);
	make(&made, true, TAIL(image, 0));
	assert_result(slice_append(&made.slice, "x", 1, &written), -ENOSPC);
	make(&made, false, TAIL(image, 0));
	assert_result(slice_append(&made.slice, "x", 1, &written), -EROFS);
	assert_int_equal(file_size("image"), 1000);
	make_resizable(&made, image, 0);
	file_resize("image", image->map.length);
	assert_result(slice_append(&made.slice, "x", 1, &written), -EFBIG);
	assert_int_equal(written, LEFT_ALONE);
	image_unref(image);
}

/* --- tails whose beginning is lost --- */

static void lost_tail_is_not_grown_again(void **state)
{
	struct image *image = new_image("image", 10000);
	size_t written = LEFT_ALONE;
	struct made made;

	make(&made, true, RANGE(image, 0, 100), TAIL(image, 8000));
	made.slice.resize = true;
	file_resize("image", 5000);
	assert_slice_size(&made, 100);
	assert_write_fails(&made, 100, 10, -EIO);
	assert_write_fails(&made, 5000, 10, -EIO);
	assert_write_is_short(&made, 50, 100, 50, -EIO);
	/* What lies at the image's end is not the slice's. */
	assert_result(slice_append(&made.slice, "intruder", 8, &written), -EIO);
	assert_int_equal(written, LEFT_ALONE);
	assert_result(slice_resize(&made.slice, 100), -EIO);
	assert_result(slice_resize(&made.slice, 1000), -EIO);
	assert_result(slice_allocate(&made.slice, 0, 100, 1000), -EIO);
	assert_int_equal(file_size("image"), 5000);
	/* From where it begins it may grow. */
	file_resize("image", 8000);
	assert_writes(&made, 100, "hello", 5);
	assert_int_equal(file_size("image"), 8005);
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(bytes_land_in_the_image_and_nowhere_else),
		scratch_test(write_spans_extents_and_images),
		scratch_test(write_is_seen_at_once_through_every_slice),
		scratch_test(pages_written_since_their_flush_are_written_by_copy),
		scratch_test(threads_that_share_pages_lose_no_write),
		scratch_test(read_only_slice_is_not_written),
		scratch_test(fixed_slice_takes_what_fits),
		scratch_test(writing_nothing_is_always_fine),
		scratch_test(zeros_take_nothing),
		scratch_test(lost_range_is_not_written_and_not_regrown),
		scratch_test(write_is_short_where_the_loss_begins),
		scratch_test(page_that_holds_the_new_end_is_not_written_behind_it),
		scratch_test(hot_page_works_again_when_it_is_back),
		scratch_test(write_past_the_end_grows_the_image),
		scratch_test(fixed_part_before_a_tail_does_not_grow),
		scratch_test(growth_ends_where_the_mapping_does),
		scratch_test(file_size_limit_is_an_errno),
		scratch_test(resize_moves_the_images_end),
		scratch_test(resize_is_for_tails_that_may),
		scratch_test(append_finds_the_true_end),
		scratch_test(append_is_for_tails_that_may),
		scratch_test(lost_tail_is_not_grown_again),
	};

	return run_on_both(tests);
}

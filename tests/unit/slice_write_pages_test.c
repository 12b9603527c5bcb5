/* SPDX-License-Identifier: MIT */
/* Pages that a page cache writes: each byte that has a place arrives, whatever fails beside it. */
#include "slices.h"

#include "map.h"

#include <string.h>

#define SIZE 20000

static size_t page_size(void)
{
	return (size_t)1 << page_shift();
}

static void assert_writes_pages(const struct made *made, uint64_t offset, const void *buf,
				size_t size, size_t taken, int result)
{
	size_t written = SIZE_MAX;

	assert_result(slice_write_pages(&made->slice, offset, buf, size, &written), result);
	assert_int_equal(written, taken);
}

static void pages_land_in_their_images(void **state)
{
	struct image *a = new_image("a", SIZE);
	struct image *b = new_image("b", SIZE);
	struct made made;
	char buf[9000];

	random_bytes(buf, sizeof(buf));
	make(&made, true, RANGE(a, 33, 5000), RANGE(b, 7001, 4000));
	assert_writes_pages(&made, 0, buf, sizeof(buf), sizeof(buf), 0);
	assert_slice_holds(&made, 0, buf, sizeof(buf));
	image_unref(a);
	image_unref(b);
}

static void zeros_take_zeros_and_what_lies_around_them_arrives(void **state)
{
	struct image *image = new_image("image", SIZE);
	struct made made;
	char buf[3000];

	random_bytes(buf, sizeof(buf));
	memset(buf + 1000, 0, 500);
	make(&made, true, RANGE(image, 10, 1000), ZEROS(500), RANGE(image, 5000, 1500));
	assert_writes_pages(&made, 0, buf, sizeof(buf), sizeof(buf), 0);
	assert_slice_holds(&made, 0, buf, sizeof(buf));
	/* The last byte of the zeros alone. */
	random_bytes(buf, 1000);
	buf[1499] = 1;
	assert_writes_pages(&made, 0, buf, sizeof(buf), 2500, -ENOSPC);
	buf[1499] = 0;
	assert_slice_holds(&made, 0, buf, sizeof(buf));
	image_unref(image);
}

static void what_fits_before_the_end_is_taken(void **state)
{
	struct image *image = new_image("image", SIZE);
	struct made made;
	char buf[3000];

	random_bytes(buf, sizeof(buf));
	make(&made, true, RANGE(image, 10, 1000));
	assert_writes_pages(&made, 900, buf, sizeof(buf), 100, -ENOSPC);
	assert_slice_holds(&made, 900, buf, 100);
	assert_writes_pages(&made, 1000, buf, sizeof(buf), 0, -ENOSPC);
	image_unref(image);
}

static void what_one_image_has_lost_keeps_nothing_from_another(void **state)
{
	const size_t page = page_size();
	struct image *a = new_image("a", 4 * page);
	struct image *b = new_image("b", SIZE);
	char *buf = malloc(3 * page + 1000);
	struct made made;

	assert_non_null(buf);
	random_bytes(buf, 3 * page + 1000);
	make(&made, true, RANGE(a, page, 3 * page), RANGE(b, 33, 1000));
	file_resize("a", 2 * page + 100);
	assert_writes_pages(&made, 0, buf, 3 * page + 1000, page + 100 + 1000, -EIO);
	assert_int_equal(file_size("a"), 2 * page + 100);
	assert_slice_holds(&made, 0, buf, page + 100);
	assert_slice_holds(&made, 3 * page, buf + 3 * page, 1000);
	free(buf);
	image_unref(a);
	image_unref(b);
}

static void read_only_slice_takes_none(void **state)
{
	struct image *image = new_image("image", SIZE);
	struct made made;

	make(&made, false, RANGE(image, 10, 1000));
	assert_writes_pages(&made, 0, "x", 1, 0, -EROFS);
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(pages_land_in_their_images),
		scratch_test(zeros_take_zeros_and_what_lies_around_them_arrives),
		scratch_test(what_fits_before_the_end_is_taken),
		scratch_test(what_one_image_has_lost_keeps_nothing_from_another),
		scratch_test(read_only_slice_takes_none),
	};

	return run_on_both(tests);
}

/* SPDX-License-Identifier: MIT */
/* Images in memory: what they hold, and what becomes of writes when memory is short. */
#include "slices.h"

#include "available.h"
#include "guard.h"
#include "image_internal.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB 1024UL
#define MIB (1024 * KIB)

static bool short_of_memory;

bool __wrap_available_take(uint64_t size);
bool __wrap_available_take(uint64_t size)
{
	return !short_of_memory;
}

static int enter(void **state)
{
	short_of_memory = false;
	return 0;
}

#define memory_test(function) cmocka_unit_test_setup(function, enter)

static struct image *memory(uint64_t size, unsigned flags)
{
	struct image *image = NULL;

	assert_result(image_create("memory:test", size, IMAGE_ACCESS_AUTO, flags, &image), 0);
	return image;
}

static uint64_t pages_of(const struct image *image)
{
	struct stat status;

	assert_int_equal(fstat(image->fd, &status), 0);
	return status.st_blocks / 8;
}

static void begins_as_zeros_that_take_no_memory(void **state)
{
	struct image *image = memory(5 * MIB + 123, 0);
	struct made made;
	uint64_t size;

	make(&made, true, RANGE(image, 12345, MIB), TAIL(image, 2 * MIB));
	assert_slice_reads(&made);
	assert_int_equal(pages_of(image), 0);
	assert_result(image_size(image, &size), 0);
	assert_int_equal(size, 5 * MIB + 123);
	assert_true(image_writable(image) && image_is_memory(image));
	image_unref(image);
}

static void holds_what_is_written_in_each_way(void **state)
{
	struct image *image = memory(4 * MIB, 0);
	char *data = malloc(MIB);
	struct made made;

	make(&made, true, RANGE(image, 5000, 3 * MIB));
	for (int mapped = 0; mapped < 2; mapped++) {
		image->write_mapped = mapped;
		for (size_t size = 1; size <= MIB; size *= 4) {
			random_bytes(data, size);
			assert_writes(&made, 3 * size / 2, data, size);
			assert_slice_holds(&made, 3 * size / 2, data, size);
			random_bytes(data, size);
			assert_writes(&made, 3 * size / 2, data, size); /* hot now */
			assert_slice_holds(&made, 3 * size / 2, data, size);
		}
	}
	free(data);
	image_unref(image);
}

static void flushes_do_nothing_and_leave_pages_hot(void **state)
{
	struct image *image = memory(MIB, 0);
	struct made made;

	make(&made, true, RANGE(image, 0, MIB));
	assert_writes(&made, 0, "x", 1);
	assert_result(slice_flush(&made.slice, 0, MIB), 0);
	assert_result(image_flush(image), 0);
	assert_true(map_is_hot(&image->map, 0, 1));
	image_unref(image);
}

/* Not even root can cut it, who can open it through /proc. */
static void nobody_moves_its_end(void **state)
{
	struct image *image = memory(MIB, 0);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 2 * MIB), -1);
	close(fd);
	image_unref(image);
}

static void a_slice_with_resize_moves_its_end(void **state)
{
	struct image *image = memory(0, IMAGE_RESIZE);
	struct made made;
	size_t written;

	make(&made, true, TAIL(image, 0));
	made.slice.resize = true;
	assert_slice_size(&made, 0);
	assert_writes(&made, 100, "end", 3);
	assert_slice_size(&made, 103);
	assert_result(slice_append(&made.slice, "more", 4, &written), 0);
	assert_slice_size(&made, 107);
	assert_result(slice_resize(&made.slice, 5), 0);
	assert_slice_size(&made, 5);
	image_unref(image);
}

static void each_write_that_wants_memory_ends_in_enospc(void **state)
{
	struct image *image = memory(MIB, IMAGE_RESIZE);
	struct image *file;
	struct made made;
	struct made other;
	char page[4096] = "x";
	size_t written = 0;

	make(&made, true, TAIL(image, 0));
	made.slice.resize = true;
	scratch_enter(NULL);
	file = new_image("file", MIB);
	make(&other, true, RANGE(file, 0, MIB));
	short_of_memory = true;
	assert_result(slice_write(&made.slice, 8192, page, 1, &written), -ENOSPC);
	assert_result(slice_write(&made.slice, MIB, page, 4096, &written), -ENOSPC);
	assert_result(slice_append(&made.slice, page, 4096, &written), -ENOSPC);
	assert_result(slice_allocate(&made.slice, 0, 0, 4096), -ENOSPC);
	assert_result(slice_allocate(&made.slice, FALLOC_FL_KEEP_SIZE, 0, 4096), -ENOSPC);
	assert_result(slice_copy(&other.slice, 0, &made.slice, 0, 8192, &written), -ENOSPC);
	assert_int_equal(pages_of(image), 0);
	assert_slice_size(&made, MIB);
	image_unref(file);
	scratch_leave(NULL);
	image_unref(image);
}

static void what_has_its_pages_needs_no_memory(void **state)
{
	struct image *image = memory(MIB, 0);
	struct made made;
	char page[4096] = "x";
	size_t written = 0;

	make(&made, true, RANGE(image, 0, MIB));
	assert_writes(&made, 4096, page, 4096);
	map_clear_hot(&image->map, 0, MIB);
	short_of_memory = true;
	assert_writes(&made, 4096, page, 4096);
	assert_writes(&made, 5000, page, 3192);
	assert_result(slice_write(&made.slice, 8191, page, 2, &written), -ENOSPC);
	assert_slice_holds(&made, 4096, page, 904);
	assert_result(slice_allocate(&made.slice, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096,
				     4096),
		      0);
	assert_int_equal(pages_of(image), 0);
	image_unref(image);
}

static void populate_takes_all_of_it_and_makes_it_hot(void **state)
{
	struct image *image = memory(MIB, 0);

	assert_int_equal(image_data(image, 0, MIB), MIB);
	assert_result(image_populate(image, 0, MIB), 0);
	assert_int_equal(pages_of(image), MIB / 4096);
	assert_true(map_is_hot(&image->map, 0, MIB));
	image_unref(image);
}

/* Nothing of it is an advice to a disk, or could come back from one. */
static void its_pages_are_neither_fetched_nor_dropped(void **state)
{
	struct image *image = memory(8 * MIB, 0);
	struct made made;

	make(&made, true, RANGE(image, 0, 8 * MIB));
	made.slice.effects = 0xff;
	made.slice.policy = (struct memory_policy){ 0xff, 0xff };
	assert_writes(&made, 0, "kept", 4);
	slice_advise(&made.slice, 0, 4);
	slice_fetch(&made.slice, NULL, NULL);
	slice_passed(&made.slice, 0, 8 * MIB);
	slice_drop(&made.slice, 0, 8 * MIB);
	assert_slice_holds(&made, 0, "kept", 4);
	assert_int_equal(pages_of(image), 1);
	image_unref(image);
}

static void its_generation_never_moves(void **state)
{
	struct image *image = memory(MIB, 0);
	uint32_t generation = image_generation(image);
	struct made made;

	make(&made, true, RANGE(image, 0, MIB));
	assert_writes(&made, 0, "x", 1);
	assert_int_equal(image_generation(image), generation);
	image_unref(image);
}

static void a_size_that_no_file_has_is_refused(void **state)
{
	struct image *image = NULL;

	assert_result(image_create("m", UINT64_MAX, IMAGE_ACCESS_RW, 0, &image), -EFBIG);
	assert_result(image_create("m", INT64_MAX, IMAGE_ACCESS_RW, 0, &image), -EFBIG);
	assert_null(image);
}

static void read_only_and_inspected_ones_are_as_files_are(void **state)
{
	struct image *image = NULL;

	assert_result(image_create("m", MIB, IMAGE_ACCESS_RO, 0, &image), 0);
	assert_false(image_writable(image));
	image_unref(image);
	assert_result(image_create("m", MIB, IMAGE_ACCESS_AUTO, IMAGE_INSPECT, &image), 0);
	assert_true(image_writable(image));
	assert_null(image->map.base);
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		memory_test(begins_as_zeros_that_take_no_memory),
		memory_test(holds_what_is_written_in_each_way),
		memory_test(flushes_do_nothing_and_leave_pages_hot),
		memory_test(nobody_moves_its_end),
		memory_test(a_slice_with_resize_moves_its_end),
		memory_test(each_write_that_wants_memory_ends_in_enospc),
		memory_test(what_has_its_pages_needs_no_memory),
		memory_test(populate_takes_all_of_it_and_makes_it_hot),
		memory_test(its_pages_are_neither_fetched_nor_dropped),
		memory_test(its_generation_never_moves),
		memory_test(a_size_that_no_file_has_is_refused),
		memory_test(read_only_and_inspected_ones_are_as_files_are),
	};

	random_begin();
	if (guard_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Holes: finding them, counting what is allocated, and making and filling them. */
#include "slices.h"

#include "image_internal.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#define KIB 1024UL
#define MIB (1024UL * KIB)
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define LEFT_ALONE 12345U

/* --- SEEK_DATA, SEEK_HOLE and st_blocks against a map of every byte --- */

/* For each byte of the slice whether it counts as data: all that the image below says is data, and
 * all that it has lost. The caller's.
 */
static bool *data_map(const struct made *made, uint64_t size)
{
	bool *data = calloc(size + 1, sizeof(*data));

	assert_non_null(data);
	for (uint32_t i = 0; i < made->slice.extent_count; i++) {
		const struct extent *extent = &made->extents[i];
		uint64_t length = extent->length == EXTENT_TAIL ? size - extent->start
								: extent->length;
		uint64_t held;

		if (!extent->image)
			continue;
		assert_result(image_size(extent->image, &held), 0);
		for (uint64_t j = 0; j < length;) {
			uint64_t offset = extent->offset + j;
			off_t next = offset < held ? lseek(extent->image->fd, offset, SEEK_DATA)
						   : 0;
			bool here = offset >= held || next == (off_t)offset;
			uint64_t run = length - j;

			if (here && offset < held)
				next = lseek(extent->image->fd, offset, SEEK_HOLE);
			else if (!here && next < 0)
				next = held;
			if (offset < held && next - offset < run)
				run = next - offset;
			memset(data + extent->start + j, here, run);
			j += run;
		}
	}
	return data;
}

static uint64_t find_in_map(const bool *data, uint64_t size, uint64_t offset, bool wanted)
{
	while (offset < size && data[offset] != wanted)
		offset++;
	return offset;
}

static void check_seek(const struct made *made, const bool *data, uint64_t size, uint64_t offset)
{
	uint64_t next_data = find_in_map(data, size, offset, true);
	uint64_t next_hole = find_in_map(data, size, offset, false);
	uint64_t found = LEFT_ALONE;

	assert_result(slice_seek(&made->slice, offset, SEEK_DATA, &found),
		      next_data < size ? 0 : -ENXIO);
	assert_int_equal(found, next_data < size ? next_data : LEFT_ALONE);
	found = LEFT_ALONE;
	assert_result(slice_seek(&made->slice, offset, SEEK_HOLE, &found),
		      offset < size ? 0 : -ENXIO);
	assert_int_equal(found, offset < size ? next_hole : LEFT_ALONE);
}

static void check_holes(const struct made *made)
{
	uint64_t size;
	uint64_t allocated = 0;
	bool *data;

	assert_result(slice_size(&made->slice, &size), 0);
	data = data_map(made, size);
	for (uint64_t i = 0; i < size; i++)
		allocated += data[i];
	assert_int_equal(slice_blocks(&made->slice), (allocated + 511) / 512);
	for (uint64_t i = 0; i < size; i++)
		if (i == 0 || data[i] != data[i - 1]) {
			check_seek(made, data, size, i);
			check_seek(made, data, size, i ? i - 1 : 0);
		}
	for (int i = 0; i < 20; i++)
		check_seek(made, data, size, random_below(size + 10));
	check_seek(made, data, size, size);
	check_seek(made, data, size, UINT64_MAX);
	free(data);
}

/* A file of count chunks of 64 KiB, some of them holes. */
static struct image *new_sparse_image(const char *path, unsigned count)
{
	file_resize(path, count * 64 * KIB);
	for (unsigned i = 0; i < count; i++)
		if (random_chance(50))
			file_write_at(path, i * 64 * KIB + random_below(32 * KIB), "data", 4);
	return image_at(path, IMAGE_ACCESS_RW);
}

static void seek_and_blocks_agree_with_the_images(void **state)
{
	random_begin();
	for (int i = 0; i < 12; i++) {
		struct image *a = new_sparse_image("a", 8);
		struct image *b = new_sparse_image("b", 8);
		struct extent extents[6];
		struct made made;

		for (size_t j = 0; j < COUNT(extents); j++) {
			uint64_t offset = random_below(500 * KIB);

			extents[j] = (struct extent){
				.image = random_chance(20)   ? NULL
					 : random_chance(50) ? a
							     : b,
				.offset = offset,
				.length = random_chance(20) ? 0 : random_below(512 * KIB - offset),
			};
		}
		make_slice(&made, true, extents, COUNT(extents));
		check_holes(&made);
		file_resize("a", random_below(512 * KIB)); /* lost is data */
		check_holes(&made);
		make(&made, true, RANGE(a, 5, 100), TAIL(b, 77777));
		check_holes(&made);
		image_unref(a);
		image_unref(b);
		unlink("a");
		unlink("b");
	}
}

static void lost_range_counts_as_data(void **state)
{
	struct image *image;
	struct made made;
	uint64_t found;

	file_resize("image", MIB); /* one hole */
	image = image_at("image", IMAGE_ACCESS_RW);
	make(&made, true, ZEROS(100), RANGE(image, 1000, 500000));
	assert_result(slice_seek(&made.slice, 0, SEEK_DATA, &found), -ENXIO);
	file_resize("image", 201000);
	assert_result(slice_seek(&made.slice, 0, SEEK_DATA, &found), 0);
	assert_int_equal(found, 200100);
	assert_result(slice_seek(&made.slice, 300000, SEEK_DATA, &found), 0);
	assert_int_equal(found, 300000);
	assert_result(slice_seek(&made.slice, 300000, SEEK_HOLE, &found), 0);
	assert_int_equal(found, 500100);
	file_resize("image", 0);
	assert_result(slice_seek(&made.slice, 0, SEEK_DATA, &found), 0);
	assert_int_equal(found, 100);
	image_unref(image);
}

static void zeros_are_a_hole(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	uint64_t found;

	make(&made, true, ZEROS(1000), RANGE(image, 0, 10), ZEROS(2000));
	assert_result(slice_seek(&made.slice, 0, SEEK_DATA, &found), 0);
	assert_int_equal(found, 1000);
	assert_result(slice_seek(&made.slice, 1000, SEEK_HOLE, &found), 0);
	assert_int_equal(found, 1010);
	assert_result(slice_seek(&made.slice, 1010, SEEK_DATA, &found), -ENXIO);
	assert_int_equal(slice_blocks(&made.slice), 1);
	make(&made, true, ZEROS(1ULL << 60));
	assert_result(slice_seek(&made.slice, 1ULL << 59, SEEK_HOLE, &found), 0);
	assert_int_equal(found, 1ULL << 59);
	assert_int_equal(slice_blocks(&made.slice), 0);
	image_unref(image);
}

static void end_is_the_last_hole(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	uint64_t found;

	make(&made, true, RANGE(image, 100, 5000));
	assert_result(slice_seek(&made.slice, 0, SEEK_HOLE, &found), 0);
	assert_int_equal(found, 5000);
	assert_result(slice_seek(&made.slice, 5000, SEEK_HOLE, &found), -ENXIO);
	assert_result(slice_seek(&made.slice, 5000, SEEK_DATA, &found), -ENXIO);
	image_unref(image);
}

static void other_whence_is_refused(void **state)
{
	struct image *image = new_image("image", 10000);
	uint64_t found = LEFT_ALONE;
	struct made made;

	make(&made, true, RANGE(image, 100, 5000));
	assert_result(slice_seek(&made.slice, 0, SEEK_SET, &found), -EINVAL);
	assert_result(slice_seek(&made.slice, 0, SEEK_END, &found), -EINVAL);
	assert_result(slice_seek(&made.slice, 0, -1, &found), -EINVAL);
	assert_int_equal(found, LEFT_ALONE);
	image_unref(image);
}

static void blocks_of_a_fragmented_slice_are_bounded(void **state)
{
	const unsigned runs = 2000; /* more than one stat() cares to look at */
	struct image *image;
	struct made made;
	uint64_t blocks;

	file_resize("image", runs * 64 * KIB);
	for (unsigned i = 0; i < runs; i++)
		file_write_at("image", i * 64 * KIB, "x", 1);
	image = image_at("image", IMAGE_ACCESS_RW);
	make(&made, true, RANGE(image, 0, runs * 64 * KIB));
	blocks = slice_blocks(&made.slice);
	assert_true(blocks * 512 >= runs * 4 * KIB);
	assert_true(blocks * 512 <= runs * 64 * KIB);
	image_unref(image);
}

static void blocks_of_many_extents_in_holes_are_bounded(void **state)
{
	struct extent extents[2000];
	struct slice slice = { .extents = extents, .extent_count = COUNT(extents) };
	struct image *image;

	file_resize("image", COUNT(extents) * 4 * KIB);
	image = image_at("image", IMAGE_ACCESS_RW);
	for (size_t i = 0; i < COUNT(extents); i++)
		extents[i] = (struct extent){ i * 512, i * 4 * KIB, 512, image };
	/* After 1024 looks the rest is taken for allocated. */
	assert_int_equal(slice_blocks(&slice), COUNT(extents) - 1024);
	image_unref(image);
}

/* --- fallocate --- */

/* The call fails so, and changes neither the slice nor the size of its image. */
static void assert_allocate(const struct made *made, int mode, uint64_t offset, uint64_t length,
			    int wanted)
{
	size_t size;
	size_t size_after;
	char *before = slice_expect(made, &size);
	char *after;

	assert_result(slice_allocate(&made->slice, mode, offset, length), wanted);
	after = slice_expect(made, &size_after);
	assert_int_equal(size_after, size);
	assert_memory_equal(after, before, size);
	free(before);
	free(after);
}

/* Zeroes the range of the slice and of the model of its image by punching. */
static void punch_holes_in_model(struct made *made, char *model, uint64_t image_offset)
{
	size_t size;
	char *bytes = slice_expect(made, &size);

	free(bytes);
	for (int i = 0; i < 50; i++) {
		uint64_t offset = random_below(size);
		uint64_t length = 1 + random_below(size);
		uint64_t end = length > size - offset ? size : offset + length;

		assert_result(slice_allocate(&made->slice, PUNCH, offset, length), 0);
		memset(model + image_offset + offset, 0, end - offset);
		random_bytes(model + image_offset + offset, (end - offset) / 2);
		assert_writes(made, offset, model + image_offset + offset, (end - offset) / 2);
	}
}

static void punching_zeroes_the_slice_and_nothing_around_it(void **state)
{
	struct image *image = new_image("image", 300000);
	char *model = malloc(300000);
	struct made made;

	random_begin();
	assert_non_null(model);
	file_read_at("image", 0, model, 300000);
	make(&made, true, RANGE(image, 12345, 200001));
	punch_holes_in_model(&made, model, 12345);
	file_assert("image", model, 300000);
	assert_slice_reads(&made);
	free(model);
	image_unref(image);
}

static void punching_frees_what_it_covers(void **state)
{
	struct image *image = new_image("image", 4 * MIB);
	struct made made;

	make(&made, true, RANGE(image, 100, 2 * MIB), RANGE(image, 3 * MIB, MIB));
	assert_int_equal(slice_blocks(&made.slice), 3 * MIB / 512);
	assert_result(slice_allocate(&made.slice, PUNCH, 0, 3 * MIB), 0);
	assert_true(slice_blocks(&made.slice) <= 2 * 64 * KIB / 512);
	assert_slice_reads(&made);
	image_unref(image);
}

static void punched_pages_are_cold(void **state)
{
	struct image *image = new_image("image", MIB);
	struct made made;

	make(&made, true, RANGE(image, 0, MIB));
	assert_writes(&made, 500000, "x", 1);
	assert_true(map_is_hot(&image->map, 500000, 1));
	assert_result(slice_allocate(&made.slice, PUNCH, 400000, 200000), 0);
	assert_false(map_is_hot(&image->map, 500000, 1));
	image_unref(image);
}

static void zeroing_a_range_zeroes_it(void **state)
{
	struct image *image = new_image("image", 300000);
	char *model = malloc(300000);
	struct made made;
	int result;

	assert_non_null(model);
	file_read_at("image", 0, model, 300000);
	make(&made, true, RANGE(image, 12345, 100000), ZEROS(1000));
	result = slice_allocate(&made.slice, FALLOC_FL_ZERO_RANGE, 77, 99999);
	/* tmpfs cannot. */
	if (result != -EOPNOTSUPP) {
		assert_result(result, 0);
		memset(model + 12345 + 77, 0, 99999 - 76);
	}
	file_assert("image", model, 300000);
	free(model);
	image_unref(image);
}

static void allocating_keeps_the_bytes_and_gives_them_blocks(void **state)
{
	struct image *image;
	struct made made;

	file_resize("image", 4 * MIB);
	file_write_at("image", MIB, "data", 4);
	image = image_at("image", IMAGE_ACCESS_RW);
	make(&made, true, RANGE(image, 100, 3 * MIB));
	assert_allocate(&made, 0, 0, 3 * MIB, 0);
	assert_allocate(&made, FALLOC_FL_KEEP_SIZE, 0, 3 * MIB, 0);
	assert_slice_reads(&made);
	image_unref(image);
}

static void modes_that_move_bytes_are_refused(void **state)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE,
		FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE,
		FALLOC_FL_UNSHARE_RANGE,
		FALLOC_FL_NO_HIDE_STALE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		-1,
	};
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, true, RANGE(image, 0, 100000));
	for (size_t i = 0; i < COUNT(modes); i++)
		assert_allocate(&made, modes[i], 0, 4096, -EOPNOTSUPP);
	image_unref(image);
}

static void read_only_slice_is_not_allocated(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, false, RANGE(image, 0, 100000));
	assert_allocate(&made, 0, 0, 4096, -EROFS);
	assert_allocate(&made, PUNCH, 0, 4096, -EROFS);
	image_unref(image);
}

static void fixed_slice_is_clipped_or_full(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, true, RANGE(image, 0, 50000));
	assert_allocate(&made, 0, 40000, 20000, -ENOSPC);
	assert_allocate(&made, 0, 50000, 1, -ENOSPC);
	assert_allocate(&made, FALLOC_FL_ZERO_RANGE, 40000, 20000, -ENOSPC);
	assert_allocate(&made, FALLOC_FL_KEEP_SIZE, 40000, 20000, 0);
	assert_allocate(&made, FALLOC_FL_KEEP_SIZE, 50000, 20000, 0);
	assert_allocate(&made, PUNCH, 50000, 20000, 0);
	assert_allocate(&made, PUNCH, 1ULL << 62, 1ULL << 62, 0);
	assert_int_equal(file_size("image"), 100000);
	image_unref(image);
}

static void zeros_can_be_zeroed_but_not_filled(void **state)
{
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, true, ZEROS(10000), RANGE(image, 0, 50000));
	assert_allocate(&made, 0, 0, 1, -ENOSPC);
	assert_allocate(&made, FALLOC_FL_KEEP_SIZE, 9999, 2, -ENOSPC);
	assert_allocate(&made, PUNCH, 0, 10000, 0);
	assert_allocate(&made, FALLOC_FL_ZERO_RANGE, 0, 10000, 0);
	assert_allocate(&made, 0, 10000, 50000, 0);
	image_unref(image);
}

static void lost_range_is_not_allocated_and_not_regrown(void **state)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE, PUNCH, FALLOC_FL_ZERO_RANGE };
	struct image *image = new_image("image", 100000);
	struct made made;

	make(&made, true, RANGE(image, 1000, 90000));
	file_resize("image", 50000);
	for (size_t i = 0; i < COUNT(modes); i++) {
		assert_result(slice_allocate(&made.slice, modes[i], 60000, 1000), -EIO);
		assert_result(slice_allocate(&made.slice, modes[i], 48999, 2), -EIO);
		assert_int_equal(file_size("image"), 50000);
	}
	image_unref(image);
}

static void allocating_past_the_end_resizes_where_it_may(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;

	make(&made, true, TAIL(image, 1000));
	made.slice.resize = true;
	assert_result(slice_allocate(&made.slice, FALLOC_FL_KEEP_SIZE, 0, 50000), 0);
	assert_int_equal(file_size("image"), 10000);
	assert_result(slice_allocate(&made.slice, 0, 5000, 45000), 0);
	assert_int_equal(file_size("image"), 51000);
	assert_slice_reads(&made);
	assert_result(slice_allocate(&made.slice, 0, INT64_MAX, 1), -EFBIG);
	assert_result(slice_allocate(&made.slice, 0, image->map.length, 1), -EFBIG);
	assert_int_equal(file_size("image"), 51000);
	image_unref(image);
}

/* However it is done: where the image cannot, the zeros may be written. */
static void zeroing_with_keep_size_never_moves_the_end(void **state)
{
	struct image *image = new_image("image", 10000);
	struct made made;
	int result;

	make(&made, true, ZEROS(100), TAIL(image, 1000));
	made.slice.resize = true;
	result = slice_allocate(&made.slice, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 50000);
	assert_true(result == 0 || result == -EOPNOTSUPP);
	assert_int_equal(file_size("image"), 10000);
	if (result == 0)
		assert_slice_holds(&made, 0, (char[9100]){ 0 }, 9100);
	image_unref(image);
}

/* --- the holes of an image --- */

static void assert_hole(const struct image *image, uint64_t offset, uint64_t start, uint64_t end)
{
	uint64_t got_start;
	uint64_t got_end;

	assert_result(image_next_hole(image, offset, &got_start, &got_end), 0);
	assert_int_equal(got_start, start);
	assert_int_equal(got_end, end);
}

static void holes_of_an_image_come_in_order(void **state)
{
	const unsigned flags[] = { IMAGE_NO_LOCK, IMAGE_INSPECT };
	uint64_t start = LEFT_ALONE;
	uint64_t end = LEFT_ALONE;

	file_resize("image", 4 * MIB);
	file_write_at("image", MIB, "data", 4);
	file_write_at("image", 3 * MIB, "data", 4);
	for (size_t i = 0; i < COUNT(flags); i++) {
		struct image *image;
		uint64_t block;

		assert_result(image_open("image", IMAGE_ACCESS_RO, flags[i], &image), 0);
		assert_hole(image, 0, 0, MIB);
		assert_hole(image, MIB - 1, MIB - 1, MIB);
		assert_result(image_next_hole(image, MIB, &start, &block), 0);
		block = start - MIB; /* that the file system gave for four bytes */
		assert_hole(image, start, MIB + block, 3 * MIB);
		assert_hole(image, 3 * MIB, 3 * MIB + block, 4 * MIB);
		assert_hole(image, 4 * MIB - 1, 4 * MIB - 1, 4 * MIB);
		assert_result(image_next_hole(image, 4 * MIB, &start, &end), -ENXIO);
		assert_result(image_next_hole(image, UINT64_MAX, &start, &end), -ENXIO);
		image_unref(image);
	}
}

static void an_image_without_holes_has_none(void **state)
{
	struct image *image;
	uint64_t start = LEFT_ALONE;
	uint64_t end = LEFT_ALONE;

	file_fill("image", 100000);
	assert_result(image_open("image", IMAGE_ACCESS_RO, IMAGE_INSPECT, &image), 0);
	assert_result(image_next_hole(image, 0, &start, &end), -ENXIO);
	assert_result(image_next_hole(image, 99999, &start, &end), -ENXIO);
	assert_int_equal(start, LEFT_ALONE);
	assert_int_equal(end, LEFT_ALONE);
	image_unref(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(seek_and_blocks_agree_with_the_images),
		scratch_test(lost_range_counts_as_data),
		scratch_test(zeros_are_a_hole),
		scratch_test(end_is_the_last_hole),
		scratch_test(other_whence_is_refused),
		scratch_test(blocks_of_a_fragmented_slice_are_bounded),
		scratch_test(blocks_of_many_extents_in_holes_are_bounded),
		scratch_test(punching_zeroes_the_slice_and_nothing_around_it),
		scratch_test(punching_frees_what_it_covers),
		scratch_test(punched_pages_are_cold),
		scratch_test(zeroing_a_range_zeroes_it),
		scratch_test(allocating_keeps_the_bytes_and_gives_them_blocks),
		scratch_test(modes_that_move_bytes_are_refused),
		scratch_test(read_only_slice_is_not_allocated),
		scratch_test(fixed_slice_is_clipped_or_full),
		scratch_test(zeros_can_be_zeroed_but_not_filled),
		scratch_test(lost_range_is_not_allocated_and_not_regrown),
		scratch_test(allocating_past_the_end_resizes_where_it_may),
		scratch_test(holes_of_an_image_come_in_order),
		scratch_test(an_image_without_holes_has_none),
		scratch_test(zeroing_with_keep_size_never_moves_the_end),
	};

	return run_on_both(tests);
}

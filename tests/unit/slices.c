/* SPDX-License-Identifier: MIT */
#include "slices.h"

#include "image_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

void make_slice(struct made *made, bool writable, const struct extent *extents, size_t count)
{
	uint64_t start = 0;

	assert_in_range(count, 1, EXTENTS_MAX);
	*made = (struct made){
		.slice = {
			.extents = made->extents,
			.extent_count = count,
			.mode = 0644,
			.writable = writable,
			.tail = extents[count - 1].length == EXTENT_TAIL,
		},
	};
	for (size_t i = 0; i < count; i++) {
		made->extents[i] = extents[i];
		made->extents[i].start = start;
		if (extents[i].length != EXTENT_TAIL)
			start += extents[i].length;
	}
}

struct image *image_at(const char *path, enum image_access access)
{
	struct image *image = NULL;

	assert_result(image_open(path, access, 0, &image), 0);
	return image;
}

struct image *new_image(const char *path, size_t size)
{
	file_fill(path, size);
	return image_at(path, IMAGE_ACCESS_RW);
}

static uint64_t extent_length(const struct extent *extent)
{
	uint64_t size;

	if (extent->length != EXTENT_TAIL)
		return extent->length;
	size = lseek(extent->image->fd, 0, SEEK_END);
	return size > extent->offset ? size - extent->offset : 0;
}

char *slice_expect(const struct made *made, size_t *ret_size)
{
	size_t size = 0;
	size_t at = 0;
	char *bytes;

	for (uint32_t i = 0; i < made->slice.extent_count; i++)
		size += extent_length(&made->extents[i]);
	bytes = calloc(1, size + 1);
	assert_non_null(bytes);
	for (uint32_t i = 0; i < made->slice.extent_count; i++) {
		const struct extent *extent = &made->extents[i];
		size_t length = extent_length(extent);

		if (extent->image)
			assert_int_equal(pread(extent->image->fd, bytes + at, length,
					       extent->offset),
					 length);
		at += length;
	}
	*ret_size = size;
	return bytes;
}

int read_as_reply(const struct slice *slice, uint64_t offset, void *buf, size_t size, bool partial,
		  size_t *ret_size)
{
	struct slice_ranges ranges;
	int result = slice_read_map(slice, offset, size, partial, &ranges);
	int fd;

	if (result == -E2BIG)
		return slice_read(slice, offset, buf, size, partial, ret_size);
	if (result < 0)
		return result;
	fd = memfd_create("reply", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_in_range(ranges.count, 0, SLICE_RANGES_MAX);
	assert_int_equal(writev(fd, ranges.ranges, ranges.count), ranges.size);
	assert_int_equal(pread(fd, buf, size, 0), ranges.size);
	close(fd);
	*ret_size = ranges.size;
	return 0;
}

void assert_slice_holds(const struct made *made, uint64_t offset, const void *bytes, size_t size)
{
	char *buf = malloc(size + 1);
	size_t got = SIZE_MAX;

	assert_non_null(buf);
	assert_result(slice_read(&made->slice, offset, buf, size, false, &got), 0);
	assert_int_equal(got, size);
	assert_memory_equal(buf, bytes, size);
	assert_result(read_as_reply(&made->slice, offset, buf, size, false, &got), 0);
	assert_int_equal(got, size);
	assert_memory_equal(buf, bytes, size);
	free(buf);
}

void assert_slice_reads(const struct made *made)
{
	size_t size;
	char *bytes = slice_expect(made, &size);

	assert_slice_size(made, size);
	assert_slice_holds(made, 0, bytes, size);
	free(bytes);
}

void assert_slice_size(const struct made *made, uint64_t size)
{
	uint64_t found;

	assert_result(slice_size(&made->slice, &found), 0);
	assert_int_equal(found, size);
}

void assert_writes(const struct made *made, uint64_t offset, const void *buf, size_t size)
{
	size_t written = SIZE_MAX;

	assert_result(slice_write(&made->slice, offset, buf, size, &written), 0);
	assert_int_equal(written, size);
}

/* SPDX-License-Identifier: MIT */
/* An image's one mapping: longer than its file, and with a bitmap of hot pages. */
#include "support.h"

#include "map.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGES 300

static uint64_t page_size(void)
{
	return 1ULL << page_shift();
}

/* The file at path, size bytes of it, mapped. */
static struct map map_file(const char *path, bool writable)
{
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	struct map map = { 0 };

	assert_true(fd >= 0);
	assert_result(map_create(fd, file_size(path), writable, &map), 0);
	close(fd);
	return map;
}

static void mapping_shows_the_file(void **state)
{
	struct map map;

	file_write("image", "hello", 5);
	map = map_file("image", true);
	assert_memory_equal(map.base, "hello\0\0", 7);
	memcpy(map.base + 1, "i", 1);
	file_assert("image", "hillo", 5);
	file_write_at("image", 2, "..", 2);
	assert_memory_equal(map.base, "hi..o", 5);
	map_destroy(&map);
	assert_null(map.base);
	map_destroy(&map);
}

static void growth_needs_no_new_mapping(void **state)
{
	struct map map;
	char *base;

	file_write("image", "hello", 5);
	map = map_file("image", true);
	base = map.base;
	assert_int_equal(map.length % page_size(), 0);
	assert_true(map.length >= MAP_HEADROOM);
	file_resize("image", 1 << 30);
	file_write_at("image", (1 << 30) - 5, "world", 5);
	assert_memory_equal(map.base, "hello", 5);
	assert_memory_equal(map.base + (1 << 30) - 5, "world", 5);
	assert_ptr_equal(map.base, base);
	map_destroy(&map);
}

static void empty_file_can_be_mapped_and_grow(void **state)
{
	struct map map;

	file_resize("image", 0);
	map = map_file("image", true);
	file_write_at("image", 0, "hello", 5);
	assert_memory_equal(map.base, "hello", 5);
	map_destroy(&map);
}

static void failure_leaves_the_output_alone(void **state)
{
	struct map map = { .length = 42 };
	int fd;

	assert_result(map_create(-1, 4096, false, &map), -EBADF);
	file_fill("image", 5000);
	fd = open("image", O_RDONLY | O_CLOEXEC);
	assert_result(map_create(fd, SIZE_MAX / 2, false, &map), -EFBIG);
	assert_result(map_create(fd, 1ULL << 61, false, &map), -ENOMEM);
	/* A descriptor to read cannot be mapped to write. */
	assert_result(map_create(fd, 5000, true, &map), -EACCES);
	close(fd);
	assert_int_equal(map.length, 42);
	assert_null(map.base);
}

static uint64_t address_space_in_use(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	fclose(file);
	return pages * page_size();
}

static void map_with_little_room(void *context)
{
	const struct rlimit limit = { address_space_in_use() + (1ULL << 30), RLIM_INFINITY };
	struct map map;

	assert_return_code(setrlimit(RLIMIT_AS, &limit), errno);
	map = map_file("image", true);
	/* By halves: no more than that is given away; but sanitizers map memory beside ours. */
	assert_true(map.length >= 1ULL << (sanitized() ? 20 : 28));
	assert_true(map.length < 1ULL << 30);
	assert_memory_equal(map.base, "hello", 5);
	map_destroy(&map);
}

static void headroom_shrinks_where_addresses_are_scarce(void **state)
{
	file_write("image", "hello", 5);
	file_resize("image", 5000);
	assert_in_child(map_with_little_room, NULL);
}

/* --- hot pages --- */

static void nothing_is_hot_at_first(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	for (uint64_t i = 0; i < PAGES; i++)
		assert_false(map_is_hot(&map, i * page_size(), 1));
	map_destroy(&map);
}

static void read_only_mapping_is_never_hot(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", false);
	map_set_hot(&map, 0, PAGES * page_size());
	assert_false(map_is_hot(&map, 0, 1));
	map_clear_hot(&map, 0, PAGES * page_size());
	assert_result(map_flush(&map, 0, PAGES * page_size()), 0);
	map_destroy(&map);
}

static void touching_a_byte_makes_its_page_hot(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	map_set_hot(&map, 2 * page_size() - 1, 2);
	assert_false(map_is_hot(&map, page_size() - 1, 1));
	assert_true(map_is_hot(&map, page_size(), 2 * page_size()));
	assert_false(map_is_hot(&map, page_size() - 1, 2));
	assert_false(map_is_hot(&map, 3 * page_size() - 1, 2));
	assert_false(map_is_hot(&map, 3 * page_size(), 1));
	map_destroy(&map);
}

static void clearing_a_byte_clears_its_page(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	map_set_hot(&map, 0, 10);
	map_clear_hot(&map, 100, 50); /* another byte of the last hot page */
	assert_false(map_is_hot(&map, 0, 1));
	map_destroy(&map);
}

static void random_range(uint64_t *ret_offset, uint64_t *ret_length)
{
	*ret_offset = random_below(PAGES * page_size() + 1);
	*ret_length = random_below(PAGES * page_size() - *ret_offset + 1);
	if (random_chance(60))
		*ret_length %= 3 * page_size();
	if (random_chance(30))
		*ret_offset &= ~(page_size() - 1);
	if (random_chance(30))
		*ret_length &= ~(page_size() - 1);
}

/* base is where in the mapping the model's pages lie. */
static void check_hot_pages(struct map *map, uint64_t base)
{
	bool hot[PAGES] = { 0 };

	map_clear_hot(map, 0, map->length);
	for (int i = 0; i < 20000; i++) {
		uint64_t offset;
		uint64_t length;
		uint64_t first;
		uint64_t end;
		bool all = true;

		random_range(&offset, &length);
		first = offset / page_size();
		end = length ? (offset + length - 1) / page_size() + 1 : first;
		switch (random_below(4)) {
		case 0:
			map_clear_hot(map, base + offset, length);
			for (uint64_t j = first; j < end; j++)
				hot[j] = false;
			break;
		case 1:
			map_set_hot(map, base + offset, length);
			for (uint64_t j = first; j < end; j++)
				hot[j] = true;
			break;
		default:
			for (uint64_t j = first; j < end; j++)
				all &= hot[j];
			assert_int_equal(map_is_hot(map, base + offset, length), all);
		}
	}
	for (uint64_t j = 0; j < PAGES; j++)
		assert_int_equal(map_is_hot(map, base + j * page_size(), 1), hot[j]);
}

static void hot_pages_agree_with_an_array_of_bools(void **state)
{
	struct map map;

	random_begin();
	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	check_hot_pages(&map, 0);
	/* Up to the last page, the words of the bitmap cut elsewhere. */
	check_hot_pages(&map, map.length - PAGES * page_size());
	check_hot_pages(&map, 37 * page_size());
	map_destroy(&map);
}

static void ranges_past_the_mapping_are_clipped(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	map_set_hot(&map, map.length - page_size(), 10 * page_size());
	assert_true(map_is_hot(&map, map.length - page_size(), 10 * page_size()));
	map_clear_hot(&map, map.length - 1, page_size());
	assert_false(map_is_hot(&map, map.length - page_size(), 1));
	map_set_hot(&map, map.length + page_size(), page_size());
	map_clear_hot(&map, map.length, page_size());
	map_destroy(&map);
}

static void flush_makes_its_pages_cold(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	map_set_hot(&map, 0, PAGES * page_size());
	assert_result(map_flush(&map, 10 * page_size() + 5, page_size()), 0);
	assert_true(map_is_hot(&map, 0, 10 * page_size()));
	assert_false(map_is_hot(&map, 10 * page_size(), 1));
	assert_false(map_is_hot(&map, 11 * page_size(), 1));
	assert_true(map_is_hot(&map, 12 * page_size(), (PAGES - 12) * page_size()));
	assert_result(map_flush(&map, 20 * page_size(), UINT64_MAX), 0);
	assert_true(map_is_hot(&map, 12 * page_size(), 8 * page_size()));
	assert_false(map_is_hot(&map, 20 * page_size(), 1));
	assert_false(map_is_hot(&map, (PAGES - 1) * page_size(), 1));
	map_destroy(&map);
}

static void flush_of_nothing_does_nothing(void **state)
{
	struct map map;

	file_resize("image", PAGES * page_size());
	map = map_file("image", true);
	map_set_hot(&map, 0, page_size());
	assert_result(map_flush(&map, 0, 0), 0);
	assert_result(map_flush(&map, map.length, 100), 0);
	assert_result(map_flush(&map, UINT64_MAX, UINT64_MAX), 0);
	assert_true(map_is_hot(&map, 0, page_size()));
	map_destroy(&map);
}

static void flush_past_a_shrunken_file_is_fine(void **state)
{
	struct map map;

	file_fill("image", PAGES * page_size());
	map = map_file("image", true);
	map.base[0] = 'x';
	file_resize("image", 100);
	assert_result(map_flush(&map, 0, PAGES * page_size()), 0);
	assert_int_equal(file_size("image"), 100);
	map_destroy(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(mapping_shows_the_file),
		scratch_test(growth_needs_no_new_mapping),
		scratch_test(empty_file_can_be_mapped_and_grow),
		scratch_test(failure_leaves_the_output_alone),
		scratch_test(headroom_shrinks_where_addresses_are_scarce),
		scratch_test(nothing_is_hot_at_first),
		scratch_test(read_only_mapping_is_never_hot),
		scratch_test(touching_a_byte_makes_its_page_hot),
		scratch_test(clearing_a_byte_clears_its_page),
		scratch_test(hot_pages_agree_with_an_array_of_bools),
		scratch_test(ranges_past_the_mapping_are_clipped),
		scratch_test(flush_makes_its_pages_cold),
		scratch_test(flush_of_nothing_does_nothing),
		scratch_test(flush_past_a_shrunken_file_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

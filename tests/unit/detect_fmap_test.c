/* SPDX-License-Identifier: MIT */
#include "blob.h"
#include "members.h"

#include <sys/mman.h>

#define AREA_SIZE 42

static void add_map(struct blob *blob, uint32_t size, uint16_t count)
{
	blob_text(blob, "__FMAP__");
	blob_number(blob, 1, 1);
	blob_number(blob, 1, 1);
	blob_number(blob, 8, 0xff800000);
	blob_number(blob, 4, size);
	blob_text(blob, "FLASH");
	blob_grow(blob, blob->size + 32 - 5);
	blob_number(blob, 2, count);
}

static void add_area(struct blob *blob, const char *name, uint32_t offset, uint32_t size,
		     uint16_t flags)
{
	size_t end = blob->size + 40;

	blob_number(blob, 4, offset);
	blob_number(blob, 4, size);
	blob_text(blob, name);
	blob_grow(blob, end);
	blob_number(blob, 2, flags);
}

/* Of 8 KiB, with its map at an odd place. */
static struct blob make_image(void)
{
	struct blob blob = { 0 };

	blob_grow(&blob, 4097);
	add_map(&blob, 8192, 4);
	add_area(&blob, "RW", 0, 4096, 0x9);
	add_area(&blob, "RW_A/main", 16, 1000, 0x2);
	add_area(&blob, "EMPTY", 5000, 0, 0);
	add_area(&blob, "", 8000, 192, 0x4);
	blob_grow(&blob, 8192);
	return blob;
}

static const char wanted[] = "file RW 0+4096 [fmap flags=static,preserve]\n"
			     "file RW_A_main 16+1000 [fmap flags=compressed]\n"
			     "file area3 8000+192 [fmap flags=ro]\n"
			     "left out 1 empty\n";

static void test_areas_are_files_side_by_side(void **state)
{
	struct blob image = make_image();
	struct members members = members_of(&detector_fmap, image.data, image.size, NULL, true);

	assert_result(members.result, 0);
	assert_string_equal(members.text, wanted);
	members_clear(&members);
	blob_clear(&image);
}

/* In whatever way the search divides the image. */
static void test_a_map_is_found_everywhere(void **state)
{
	const size_t step = 16 << 20;
	const size_t size = 64 << 20;
	unsigned char *area =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const size_t places[] = {
		0, 1, step - 8, step - 7, step - 1, step, 2 * step - 4, size - 98
	};

	assert_ptr_not_equal(area, MAP_FAILED);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct blob map = { 0 };

		add_map(&map, size, 1);
		add_area(&map, "ALL", 0, size, 0);
		memcpy(area + places[i], map.data, map.size);
		assert_members(&detector_fmap, area, size, NULL, "file ALL 0+67108864\n");
		memset(area + places[i], 0, map.size);
		blob_clear(&map);
	}
	assert_not_for(&detector_fmap, area, size);
	assert_int_equal(munmap(area, size), 0);
}

static void test_a_large_image_is_searched_only_when_asked_to(void **state)
{
	const struct detector forced = { .detect = detector_fmap.detect };
	const size_t size = (64 << 20) + 1;
	unsigned char *area =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct blob map = { 0 };

	assert_ptr_not_equal(area, MAP_FAILED);
	add_map(&map, size, 1);
	add_area(&map, "ALL", 0, size, 0);
	memcpy(area + 50000, map.data, map.size);
	assert_not_for(&detector_fmap, area, size);
	assert_members(&forced, area, size, NULL, "file ALL 0+67108865\n");
	assert_int_equal(munmap(area, size), 0);
	blob_clear(&map);
}

static void test_a_map_of_another_size_is_at_home_where_it_says_so(void **state)
{
	struct blob image = { 0 };

	add_map(&image, 1 << 20, 2);
	add_area(&image, "FMAP", 0, 2048, 0);
	add_area(&image, "REST", 2048, (1 << 20) - 2048, 0);
	blob_grow(&image, 4096);
	assert_members(&detector_fmap, image.data, image.size, NULL,
		       "note the flash map is of 1048576 bytes, the image has 4096\n"
		       "file FMAP 0+2048\nfile REST 2048+1046528\n");
	/* As where a file system holds that image. */
	blob_set(&image, 56, 4, 1);
	assert_not_for(&detector_fmap, image.data, image.size);
	blob_clear(&image);
}

static void test_a_wrong_map_is_passed_over(void **state)
{
	static const struct {
		size_t offset; /* behind the signature's start */
		size_t size;
		uint64_t value;
	} wrong[] = {
		{ 8, 1, 2 },                  /* version */
		{ 9, 1, 2 },                  /* version */
		{ 18, 4, 0 },                 /* size */
		{ 18, 4, 8000 },              /* an area ends behind it */
		{ 22, 1, 7 },                 /* name */
		{ 54, 2, 0 },                 /* areas */
		{ 54, 2, 1000 },              /* areas that are not in the image */
		{ 56, 4, 8193 },              /* an area's offset */
		{ 60, 4, 8193 },              /* its size */
		{ 56 + 8, 1, 0x80 },          /* its name */
		{ 56 + AREA_SIZE + 8, 1, 1 }, /* the next one's */
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct blob image = make_image();

		blob_set(&image, 4097 + wrong[i].offset, wrong[i].size, wrong[i].value);
		assert_not_for(&detector_fmap, image.data, image.size);
		blob_clear(&image);
	}
}

static void test_a_name_that_does_not_end_is_wrong(void **state)
{
	struct blob image = make_image();

	memset(image.data + 4097 + 56 + 8, 'x', 32);
	assert_not_for(&detector_fmap, image.data, image.size);
	image.data[4097 + 56 + 8 + 31] = '\0';
	assert_members(&detector_fmap, image.data, image.size, NULL,
		       "file xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0+4096\nfile RW_A_main 16+1000\n"
		       "file area3 8000+192\nleft out 1 empty\n");
	blob_clear(&image);
}

static void test_a_wrong_map_does_not_hide_the_right_one(void **state)
{
	struct blob image = make_image();

	memcpy(image.data + 100, "__FMAP____FMAP__\1\1", 18);
	assert_members(&detector_fmap, image.data, image.size, NULL,
		       "file RW 0+4096\nfile RW_A_main 16+1000\nfile area3 8000+192\n"
		       "left out 1 empty\n");
	blob_clear(&image);
}

/* Looking at all of them would take for ever in an image that is full of them. */
static void test_maps_that_almost_hold_are_not_all_looked_at(void **state)
{
	const size_t count = UINT16_MAX;

	for (size_t wrong = 15; wrong <= 17; wrong++) {
		struct blob image = { 0 };

		for (size_t i = 0; i < wrong; i++) {
			add_map(&image, 4096, count);
			blob_grow(&image, image.size + (count - 1) * AREA_SIZE);
			add_area(&image, "BEHIND", 4097, 0, 0);
		}
		add_map(&image, image.size + 56 + AREA_SIZE, 1);
		add_area(&image, "ALL", 0, image.size, 0);
		if (wrong == 17)
			assert_not_for(&detector_fmap, image.data, image.size);
		else
			assert_true(detector_fmap.probe(&(struct bytes){ image.data, image.size },
							&(struct detector_options){ 0 }));
		blob_clear(&image);
	}
}

static void test_a_cut_map_is_not_read_beyond_the_end(void **state)
{
	struct blob image = make_image();

	for (size_t size = 0; size < 4097 + 56 + 4 * AREA_SIZE; size++) {
		unsigned char *exact = malloc(size ?: 1);

		assert_non_null(exact);
		memcpy(exact, image.data, size);
		assert_not_for(&detector_fmap, exact, size);
		free(exact);
	}
	blob_clear(&image);
}

static void test_without_a_map(void **state)
{
	const struct detector forced = { .detect = detector_fmap.detect };
	struct members members = members_of(&forced, "__FMAP__", 8, NULL, false);

	assert_result(members.result, -EINVAL);
	assert_string_equal(members.text, "note no flash map (FMAP) is in these bytes\n");
	members_clear(&members);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_areas_are_files_side_by_side),
		cmocka_unit_test(test_a_map_is_found_everywhere),
		cmocka_unit_test(test_a_large_image_is_searched_only_when_asked_to),
		cmocka_unit_test(test_a_map_of_another_size_is_at_home_where_it_says_so),
		cmocka_unit_test(test_a_wrong_map_is_passed_over),
		cmocka_unit_test(test_a_name_that_does_not_end_is_wrong),
		cmocka_unit_test(test_a_wrong_map_does_not_hide_the_right_one),
		cmocka_unit_test(test_maps_that_almost_hold_are_not_all_looked_at),
		cmocka_unit_test(test_a_cut_map_is_not_read_beyond_the_end),
		cmocka_unit_test(test_without_a_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

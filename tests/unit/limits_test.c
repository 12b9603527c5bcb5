/* SPDX-License-Identifier: MIT */
/* Tables without end, and what is too much of one: a limit ends each, and says so. */
#include "trees.h"

#include "mmapfs/layout.h"

#include <string.h>
#include <unistd.h>

/* --- lines, by the builder --- */

static void images_are_counted(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	tree_builder_limits(scene.builder)->images = 2;
	assert_result(add_image(&scene, "a", "x", IMAGE_ACCESS_RO), 0);
	assert_result(add_image(&scene, "b", "x", IMAGE_ACCESS_RO), 0);
	assert_result(add_image(&scene, "c", "x", IMAGE_ACCESS_RO), -E2BIG);
	assert_messages(&scene.error, "t:3: more than 2 images");
	scene_end(&scene);
}

static void slices_are_counted(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	tree_builder_limits(scene.builder)->nodes = 2;
	assert_result(add_slice(&scene, "a", NULL, 0, 1), 0);
	assert_result(add_slice(&scene, "b", NULL, 0, 1), 0);
	assert_result(add_slice(&scene, "c", NULL, 0, 1), -E2BIG);
	assert_messages(&scene.error, "t:3: more than 2 slices");
	scene_end(&scene);
}

static void extents_are_counted(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	tree_builder_limits(scene.builder)->extents = 2;
	assert_result(add_slice(&scene, "a", NULL, 0, 1), 0);
	assert_result(add_extent(&scene, NULL, 0, 1), 0);
	assert_result(add_extent(&scene, NULL, 0, 1), -E2BIG);
	assert_messages(&scene.error, "t:3: more than 2 extents");
	scene_end(&scene);
}

static void bytes_of_names_are_counted(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	tree_builder_limits(scene.builder)->names = 8;
	assert_result(add_slice(&scene, "abc", NULL, 0, 1), 0);
	assert_result(add_slice(&scene, "def", NULL, 0, 1), 0);
	assert_result(add_slice(&scene, "g", NULL, 0, 1), -E2BIG);
	assert_messages(&scene.error, "t:3: more than 8 bytes of names");
	scene_end(&scene);
}

static void folders_count_as_well(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	tree_builder_limits(scene.builder)->nodes = 5;
	assert_result(add_slice(&scene, "a/b/c", NULL, 0, 1), 0);
	assert_result(add_slice(&scene, "a/d/e", NULL, 0, 1), 0);
	assert_result(add_slice(&scene, "a/d/f", NULL, 0, 1), 0);
	assert_result(tree_build(scene.builder, &scene.defaults, false, &scene.error, &scene.tree),
		      -E2BIG);
	assert_null(scene.tree);
	assert_messages(&scene.error, "t:3: more than 5 slices and folders");
	scene_end(&scene);
}

static void limits_can_be_reached(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	*tree_builder_limits(scene.builder) =
		(struct tree_limits){ .images = 1, .nodes = 4, .extents = 3, .names = 8 };
	add_disk(&scene);
	assert_result(add_slice(&scene, "a/b", NULL, 0, 1), 0);
	assert_result(add_extent(&scene, "disk", 0, 1), 0);
	assert_result(add_slice(&scene, "c/d", "disk", 0, 1), 0);
	build_tree(&scene);
	assert_int_equal(tree_node_count(scene.tree), 5);
	scene_end(&scene);
}

static void limits_fit_into_numbers_of_32_bits(void **state)
{
	static const struct tree_limits limits = TREE_LIMITS;

	/* A few numbers are taken: that of zeros, that of no node, and that of the root. */
	assert_true(limits.images < UINT32_MAX - 2);
	assert_true(limits.nodes < UINT32_MAX - 2);
	assert_true(limits.extents < UINT32_MAX - 2);
	assert_true(limits.names <= UINT32_MAX);
}

/* --- tables without end --- */

/* What is there once, and what comes after it for ever. */
struct endless {
	const char *once;
	const char *forever;
	size_t at;
};

static ssize_t read_endless(void *cookie, char *buf, size_t size)
{
	struct endless *endless = cookie;
	size_t once = strlen(endless->once);

	for (size_t i = 0; i < size; i++, endless->at++)
		buf[i] =
			endless->at < once
				? endless->once[endless->at]
				: endless->forever[(endless->at - once) % strlen(endless->forever)];
	return size;
}

/* Reading ends by itself, with these messages. */
#define assert_given_up(once, forever, ...)                                                        \
	do {                                                                                       \
		struct scene scene_;                                                               \
		begin_endless(&scene_, once, forever);                                             \
		assert_messages(&scene_.error, __VA_ARGS__);                                       \
		scene_end(&scene_);                                                                \
	} while (0)

static void begin_endless(struct scene *scene, const char *once, const char *forever)
{
	struct endless endless = { once, forever, 0 };
	FILE *in = fopencookie(&endless, "r", (cookie_io_functions_t){ .read = read_endless });

	assert_non_null(in);
	scene_begin(scene, "t");
	*tree_builder_limits(scene->builder) = (struct tree_limits){ .images = 4,
								     .nodes = 5,
								     .extents = 6,
								     .names = 40,
								     .errors = 60,
								     .lines = 1000,
								     .text = 60000 };
	assert_result(table_read(in, ".", NULL, scene->builder, &scene->error), -E2BIG);
	fclose(in);
}

static void endless_lines_are_given_up(void **state)
{
	assert_given_up("", "x", "t:1: line is longer than 16777216 bytes");
	assert_given_up("#\n#", "x", "t:2: line is longer than 16777216 bytes");
	assert_given_up("slice a - 0 1\nslice ", "b/", "t:2: line is longer than 16777216 bytes");
}

static void endless_text_is_given_up(void **state)
{
	assert_given_up("", "\n", "t:1001: more than 1000 lines");
	assert_given_up("", "# nothing\n", "t:1001: more than 1000 lines");
	assert_given_up("slice a - 0 1\n",
			"                                                            # blanks\n",
			"t:871: more than 60000 bytes");
}

static void endless_entries_are_given_up(void **state)
{
	assert_given_up("image a x\nimage b x\nimage c x\nimage d x\n", "image e x\n",
			"t:5: more than 4 images");
	assert_given_up("slice a - 0 1\n", "extent - 0 1\n", "t:7: more than 6 extents");
	assert_given_up("", "slice a - 0 1\n", "t:6: more than 5 slices");
	assert_given_up("", "slice abc/abc/abc/abc - 0 1\n", "t:3: more than 40 bytes of names");
}

static void endless_errors_are_given_up(void **state)
{
	static const char *const forever[] = {
		"x\n",         "slice\n",          "extent - 0 1\n", "slice a b 0 x\n",
		"image - x\n", "slice a/ - 0 1\n",
	};

	for (size_t i = 0; i < COUNT(forever); i++) {
		struct scene scene;

		begin_endless(&scene, "", forever[i]);
		assert_int_equal(scene.error.count, ERROR_MESSAGES_MAX);
		/* A line may have two. */
		assert_in_range(scene.error.count + scene.error.omitted, 60, 61);
		scene_end(&scene);
	}
}

static void endless_nul_bytes_are_given_up(void **state)
{
	/* As /dev/zero gives them. */
	static char zeros[18 << 20];
	FILE *in = fmemopen(zeros, sizeof(zeros), "r");
	struct scene scene;

	assert_non_null(in);
	scene_begin(&scene, "t");
	assert_result(table_read(in, ".", NULL, scene.builder, &scene.error), -E2BIG);
	assert_messages(&scene.error, "t:1: line is longer than 16777216 bytes");
	assert_true(ftell(in) <= 17 << 20);
	scene_end(&scene);
	fclose(in);
}

/* --- the command line --- */

static void images_of_the_command_line_are_counted(void **state)
{
	struct scene scene;
	struct spec_reader *reader;

	scene_begin(&scene, NULL);
	tree_builder_limits(scene.builder)->images = 2;
	reader = spec_reader_new(scene.builder, NULL);
	assert_non_null(reader);
	assert_result(spec_read(reader, "a=x@0", &scene.error), 0);
	assert_result(spec_read(reader, "b=y@0", &scene.error), 0);
	assert_result(spec_read(reader, "c=x@0", &scene.error), 0);
	assert_result(spec_read(reader, "d=z@0", &scene.error), -E2BIG);
	assert_messages(&scene.error, "more than 2 images");
	spec_reader_free(reader);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_are_counted),
		cmocka_unit_test(slices_are_counted),
		cmocka_unit_test(extents_are_counted),
		cmocka_unit_test(bytes_of_names_are_counted),
		cmocka_unit_test(folders_count_as_well),
		scratch_test(limits_can_be_reached),
		cmocka_unit_test(limits_fit_into_numbers_of_32_bits),
		cmocka_unit_test(endless_lines_are_given_up),
		cmocka_unit_test(endless_text_is_given_up),
		cmocka_unit_test(endless_entries_are_given_up),
		cmocka_unit_test(endless_errors_are_given_up),
		cmocka_unit_test(endless_nul_bytes_are_given_up),
		cmocka_unit_test(images_of_the_command_line_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

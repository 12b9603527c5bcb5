/* SPDX-License-Identifier: MIT */
/* Slices of the command line: NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]. */
#include "trees.h"

#include "mmapfs/layout.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1UL << 20)

/* Read the specs, one a string, NULL at the end; the default image may be NULL. Returns the last
 * error.
 */
static int read_specs(struct scene *scene, const char *image, const char *const *specs)
{
	struct spec_reader *reader;
	int result = 0;

	scene_begin(scene, NULL);
	reader = spec_reader_new(scene->builder, image);
	assert_non_null(reader);
	for (; *specs; specs++)
		result = spec_read(reader, *specs, &scene->error) ?: result;
	spec_reader_free(reader);
	return result;
}

#define SPECS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void read_good(struct scene *scene, const char *image, const char *const *specs)
{
	int result = read_specs(scene, image, specs);

	assert_no_messages(&scene->error);
	assert_result(result, 0);
	build_tree(scene);
}

/* The one spec is refused with these messages. */
#define assert_refused(spec, ...)                                                                  \
	do {                                                                                       \
		struct scene scene_;                                                               \
		assert_result(read_specs(&scene_, NULL, SPECS(spec)), -EINVAL);                    \
		assert_messages(&scene_.error, __VA_ARGS__);                                       \
		scene_end(&scene_);                                                                \
	} while (0)

static void assert_slice(const struct scene *scene, const char *name, const char *path,
			 uint64_t offset, uint64_t length)
{
	const struct slice *slice = find_slice(scene->tree, name);
	const struct extent *extent = &slice->extents[0];
	char *resolved = realpath(path, NULL);
	size_t index = tree_image_index(scene->tree, extent->image);

	assert_int_equal(slice->extent_count, 1);
	assert_int_equal(extent->offset, offset);
	assert_int_equal(extent->length, length);
	assert_string_equal(tree_image_at(scene->tree, index).path, resolved);
	free(resolved);
}

static void parts_are_understood(void **state)
{
	struct scene scene;

	file_resize("disk.img", 2 * MIB);
	read_good(&scene, NULL,
		  SPECS("a=disk.img@0+4K", "d/b=disk.img@1M", "c=./disk.img@2s+0x10,ro"));
	assert_slice(&scene, "a", "disk.img", 0, 4096);
	assert_slice(&scene, "d/b", "disk.img", MIB, EXTENT_TAIL);
	assert_slice(&scene, "c", "disk.img", 1024, 16);
	assert_true(find_slice(scene.tree, "a")->writable);
	assert_false(find_slice(scene.tree, "c")->writable);
	assert_int_equal(tree_image_count(scene.tree), 1);
	assert_string_equal(tree_image_at(scene.tree, 0).name, "disk.img");
	scene_end(&scene);
}

static void name_ends_at_the_first_equals_sign(void **state)
{
	struct scene scene;

	file_resize("b=c=", MIB);
	read_good(&scene, NULL, SPECS("a=b=c=@0+1"));
	assert_slice(&scene, "a", "b=c=", 0, 1);
	scene_end(&scene);
}

static void image_ends_at_the_last_at_sign(void **state)
{
	struct scene scene;

	file_resize("we@ird", MIB);
	file_resize("a@0+1", MIB);
	file_resize("with,comma +1", MIB);
	read_good(&scene, NULL, SPECS("x=we@ird@5+1", "y@z=a@0+1@7+2", "w=with,comma +1@3+4,ro"));
	assert_slice(&scene, "x", "we@ird", 5, 1);
	assert_slice(&scene, "y@z", "a@0+1", 7, 2);
	assert_slice(&scene, "w", "with,comma +1", 3, 4);
	scene_end(&scene);
}

static void options_follow_the_size(void **state)
{
	const struct slice *slice;
	struct scene scene;

	file_resize("disk.img", MIB);
	read_good(&scene, NULL,
		  SPECS("a=disk.img@0,rw,resize,mode=0600,uid=7,gid=8", "b=disk.img@0+1,ro"));
	slice = find_slice(scene.tree, "a");
	assert_true(slice->writable);
	assert_true(slice->resize);
	assert_int_equal(slice->mode, 0600);
	assert_int_equal(slice->uid, 7);
	assert_int_equal(slice->gid, 8);
	scene_end(&scene);
}

static void image_may_be_left_out(void **state)
{
	struct scene scene;

	file_resize("disk.img", MIB);
	file_resize("other.img", MIB);
	read_good(&scene, "disk.img", SPECS("a=@0+10", "b=other.img@5", "c=@20,ro"));
	assert_slice(&scene, "a", "disk.img", 0, 10);
	assert_slice(&scene, "b", "other.img", 5, EXTENT_TAIL);
	assert_slice(&scene, "c", "disk.img", 20, EXTENT_TAIL);
	scene_end(&scene);
	assert_refused("a=@0+10", "slice 'a=@0+10': names no image, and no IMAGE is given");
}

static void missing_parts_are_refused(void **state)
{
	static const char *const specs[] = { "",    "a",      "=",     "@",     "a@0+1", "@0",
					     "a=b", "a=b,ro", "a=0+1", "a@b=c", "+1" };

	for (size_t i = 0; i < COUNT(specs); i++) {
		char wanted[100];

		snprintf(wanted, sizeof(wanted),
			 "slice '%s': is not NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]", specs[i]);
		assert_refused(specs[i], wanted);
	}
}

static void bad_sizes_are_refused(void **state)
{
	assert_refused("a=b@", "slice 'a=b@': offset '' is not a size");
	assert_refused("a=b@+1", "slice 'a=b@+1': offset '' is not a size");
	assert_refused("a=b@0+", "slice 'a=b@0+': length '' is not a size");
	assert_refused("a=b@-1+1", "slice 'a=b@-1+1': offset '-1' is not a size");
	assert_refused("a=b@1+2+3", "slice 'a=b@1+2+3': length '2+3' is not a size");
	assert_refused("a=b@0+-", "slice 'a=b@0+-': length '-' is not a size");
	assert_refused("a=b@0 +1", "slice 'a=b@0 +1': offset '0 ' is not a size");
	assert_refused("a=b@8E", "slice 'a=b@8E': offset '8E' is too large");
}

static void everything_wrong_with_one_is_said_at_once(void **state)
{
	assert_refused("a=@x+y,rx,mode=9", "slice 'a=@x+y,rx,mode=9': offset 'x' is not a size",
		       "slice 'a=@x+y,rx,mode=9': length 'y' is not a size",
		       "slice 'a=@x+y,rx,mode=9': unknown slice option 'rx'",
		       "slice 'a=@x+y,rx,mode=9': slice option 'mode=9': bad value",
		       "slice 'a=@x+y,rx,mode=9': names no image, and no IMAGE is given");
	assert_refused("a=b@0,", "slice 'a=b@0,': unknown slice option ''");
}

static void bad_names_are_refused(void **state)
{
	assert_refused("=b@0", "slice '': name is empty");
	assert_refused("a/=b@0", "slice 'a/': name has an empty component");
	assert_refused(".mmapfs=b@0", "slice '.mmapfs': name is reserved");
}

static void message_stays_one_line(void **state)
{
	assert_refused("a\nb", "slice 'a\\012b': is not NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]");
}

static void one_wrong_spec_does_not_hide_the_next(void **state)
{
	struct scene scene;

	file_resize("disk.img", MIB);
	assert_result(read_specs(&scene, "disk.img", SPECS("a", "b=@0+1", "c=@1Q")), -EINVAL);
	assert_messages(&scene.error, "slice 'a': is not NAME=IMAGE@OFFSET[+LENGTH][,OPTION...]",
			"slice 'c=@1Q': offset '1Q' is not a size");
	scene_end(&scene);
}

static void missing_image_is_found_when_it_is_built(void **state)
{
	struct scene scene;
	char wanted[200];

	assert_result(read_specs(&scene, NULL, SPECS("a=missing@0+1")), 0);
	snprintf(wanted, sizeof(wanted), "image 'missing': ./missing: No such file or directory");
	assert_build_fails(&scene, wanted);
	scene_end(&scene);
}

/* --- one image for each file --- */

static void one_file_is_one_image_however_it_is_called(void **state)
{
	struct scene scene;

	assert_return_code(mkdir("d", 0755), errno);
	file_resize("d/disk.img", MIB);
	assert_return_code(symlink("d/disk.img", "link"), errno);
	read_good(&scene, "d/disk.img",
		  SPECS("a=@0+1", "b=d/disk.img@0+1", "c=d/../d//disk.img@0+1", "e=link@0+1"));
	assert_int_equal(tree_image_count(scene.tree), 1);
	assert_string_equal(tree_image_at(scene.tree, 0).name, "disk.img");
	scene_end(&scene);
}

static void images_of_the_same_name_are_told_apart(void **state)
{
	struct scene scene;
	char *resolved;

	assert_return_code(mkdir("d", 0755), errno);
	file_resize("disk.img", MIB);
	file_resize("d/disk.img", MIB);
	file_resize("-", MIB);
	read_good(&scene, NULL, SPECS("a=disk.img@0+1", "b=d/disk.img@0+2", "c=-@0+3"));
	assert_int_equal(tree_image_count(scene.tree), 3);
	assert_slice(&scene, "a", "disk.img", 0, 1);
	assert_slice(&scene, "b", "d/disk.img", 0, 2);
	assert_slice(&scene, "c", "-", 0, 3);
	assert_string_equal(tree_image_at(scene.tree, 0).name, "disk.img");
	resolved = realpath("d/disk.img", NULL);
	assert_string_equal(tree_image_at(scene.tree, 1).name, resolved);
	free(resolved);
	scene_end(&scene);
}

/* --- IMAGE alone --- */

static void read_whole(struct scene *scene, const char *image, int wanted)
{
	struct spec_reader *reader;

	scene_begin(scene, NULL);
	reader = spec_reader_new(scene->builder, image);
	assert_non_null(reader);
	assert_result(spec_whole_image(reader, &scene->error), wanted);
	spec_reader_free(reader);
}

static void whole_image_is_one_tail_slice(void **state)
{
	struct scene scene;

	assert_return_code(mkdir("d", 0755), errno);
	file_resize("d/disk.img", MIB);
	read_whole(&scene, "d/disk.img", 0);
	build_tree(&scene);
	assert_int_equal(tree_item_count(scene.tree), 1);
	assert_slice(&scene, "disk.img", "d/disk.img", 0, EXTENT_TAIL);
	assert_false(find_slice(scene.tree, "disk.img")->resize);
	scene_end(&scene);
	read_whole(&scene, "d/../d/disk.img", 0);
	build_tree(&scene);
	assert_slice(&scene, "disk.img", "d/disk.img", 0, EXTENT_TAIL);
	scene_end(&scene);
}

static void whole_image_needs_a_name_for_its_slice(void **state)
{
	struct scene scene;

	file_resize(".mmapfs", MIB);
	read_whole(&scene, ".mmapfs", -EINVAL);
	assert_messages(&scene.error, "slice '.mmapfs': name is reserved");
	scene_end(&scene);
	spec_reader_free(NULL);
}

static void random_specs_do_no_harm(void **state)
{
	static const char *const words[] = { "a",  "=",        "@", "+",  ",",   "0",  "1M",
					     "ro", "rw",       "-", "/",  ".",   "\n", "mode",
					     "x",  "disk.img", "#", "\\", "\xff" };

	random_begin();
	file_resize("disk.img", MIB);
	for (int i = 0; i < 20000; i++) {
		char spec[200] = "";
		struct scene scene;
		int result;

		if (random_chance(50))
			strcpy(spec, "a=disk.img@0");
		for (size_t j = random_below(12); j > 0; j--)
			strcat(spec, words[random_below(COUNT(words))]);
		result = read_specs(&scene, random_chance(50) ? "disk.img" : NULL, SPECS(spec));
		assert_int_equal(result == 0, scene.error.count == 0);
		if (result == 0)
			(void)tree_build(scene.builder, &scene.defaults, true, &scene.error,
					 &scene.tree);
		scene_end(&scene);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(parts_are_understood),
		scratch_test(name_ends_at_the_first_equals_sign),
		scratch_test(image_ends_at_the_last_at_sign),
		scratch_test(options_follow_the_size),
		scratch_test(image_may_be_left_out),
		scratch_test(missing_parts_are_refused),
		scratch_test(bad_sizes_are_refused),
		scratch_test(everything_wrong_with_one_is_said_at_once),
		scratch_test(bad_names_are_refused),
		scratch_test(message_stays_one_line),
		scratch_test(one_wrong_spec_does_not_hide_the_next),
		scratch_test(missing_image_is_found_when_it_is_built),
		scratch_test(one_file_is_one_image_however_it_is_called),
		scratch_test(images_of_the_same_name_are_told_apart),
		scratch_test(whole_image_is_one_tail_slice),
		scratch_test(whole_image_needs_a_name_for_its_slice),
		scratch_test(random_specs_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

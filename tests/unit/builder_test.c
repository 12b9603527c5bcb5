/* SPDX-License-Identifier: MIT */
/* What a tree builder accepts, and what it says of everything else. */
#include "trees.h"

#include "size.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KIB 1024UL
#define MIB (1024UL * KIB)

static const struct slice_options plain = { 0 };
static const struct slice_options read_write = { .access = IMAGE_ACCESS_RW };
static const struct slice_options read_only = { .access = IMAGE_ACCESS_RO };
static const struct slice_options resizing = { .resize = true };

/* --- lines that are wrong by themselves --- */

static void images_need_a_name_and_a_path(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	assert_result(add_image(&scene, "", "x", IMAGE_ACCESS_RO), -EINVAL);
	assert_result(add_image(&scene, "-", "x", IMAGE_ACCESS_RO), -EINVAL);
	assert_result(add_image(&scene, "a", "", IMAGE_ACCESS_RO), -EINVAL);
	assert_messages(&scene.error, "t:1: image '': not a name for an image",
			"t:2: image '-': not a name for an image", "t:3: image 'a': empty path");
	scene_end(&scene);
}

static void image_name_given_twice_is_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	assert_result(add_image(&scene, "a", "x", IMAGE_ACCESS_RO), 0);
	assert_result(add_image(&scene, "a", "y", IMAGE_ACCESS_RO), -EINVAL);
	assert_messages(&scene.error, "t:2: image 'a': name given twice");
	scene_end(&scene);
}

static void bad_slice_names_are_refused(void **state)
{
	char component[300];
	char expected[400];
	struct scene scene;

	memset(component, 'x', sizeof(component));
	component[256] = '\0';
	snprintf(expected, sizeof(expected),
		 "t:5: slice '%s': name has a component longer than 255 bytes", component);
	scene_begin(&scene, "t");
	assert_result(add_slice(&scene, "", NULL, 0, 1), -EINVAL);
	assert_result(add_slice(&scene, "a//b", NULL, 0, 1), -EINVAL);
	assert_result(add_slice(&scene, "a/../b", NULL, 0, 1), -EINVAL);
	assert_result(add_slice(&scene, ".mmapfs/x", NULL, 0, 1), -EINVAL);
	assert_result(add_slice(&scene, component, NULL, 0, 1), -EINVAL);
	assert_messages(&scene.error, "t:1: slice '': name is empty",
			"t:2: slice 'a//b': name has an empty component",
			"t:3: slice 'a/../b': name has a '.' or '..' component",
			"t:4: slice '.mmapfs/x': name is reserved", expected);
	scene_end(&scene);
}

static void overlong_name_is_cut_in_its_message(void **state)
{
	char *name = malloc(100001);
	struct scene scene;

	assert_non_null(name);
	memset(name, 'x', 100000);
	name[100000] = '\0';
	scene_begin(&scene, "t");
	assert_result(add_slice(&scene, name, NULL, 0, 1), -EINVAL);
	assert_int_equal(scene.error.count, 1);
	assert_non_null(strstr(scene.error.messages[0], "name is longer than 4095 bytes"));
	assert_true(strlen(scene.error.messages[0]) < 400);
	scene_end(&scene);
	free(name);
}

static void extent_needs_a_slice(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	assert_result(add_extent(&scene, NULL, 0, 1), -EINVAL);
	assert_messages(&scene.error, "t:1: extent without a slice before it");
	scene_end(&scene);
}

static void extent_needs_a_known_image(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	assert_result(add_slice(&scene, "x", "disk", 0, 1), -EINVAL);
	assert_messages(&scene.error, "t:1: slice 'x': unknown image 'disk'");
	scene_end(&scene);
}

static void zeros_need_a_length(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	assert_result(add_slice(&scene, "x", NULL, 0, EXTENT_TAIL), -EINVAL);
	assert_messages(&scene.error, "t:1: slice 'x': zeros need a length");
	scene_end(&scene);
}

static void nothing_follows_a_tail(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	assert_result(add_slice(&scene, "x", "disk", 0, EXTENT_TAIL), 0);
	assert_result(add_extent(&scene, "disk", 0, 10), -EINVAL);
	assert_result(add_extent(&scene, NULL, 0, 10), -EINVAL);
	assert_result(add_slice(&scene, "y", "disk", 0, EXTENT_TAIL), 0);
	assert_messages(&scene.error, "t:3: slice 'x': nothing can follow a tail extent",
			"t:4: slice 'x': nothing can follow a tail extent");
	scene_end(&scene);
}

static void command_line_has_no_lines(void **state)
{
	struct scene scene;

	scene_begin(&scene, NULL);
	assert_null(tree_builder_file(scene.builder));
	assert_result(add_slice(&scene, "", NULL, 0, 1), -EINVAL);
	assert_result(add_slice(&scene, "x", "disk", 0, 1), -EINVAL);
	assert_messages(&scene.error, "slice '': name is empty", "slice 'x': unknown image 'disk'");
	scene_end(&scene);
}

/* --- images that cannot be opened --- */

static void unopenable_images_are_told_why(void **state)
{
	struct image *writer = NULL;
	struct scene scene;

	file_fill("busy", 1000);
	assert_result(image_open("busy", IMAGE_ACCESS_RW, 0, &writer), 0);
	assert_return_code(mkfifo("fifo", 0666), errno);
	scene_begin(&scene, "t");
	add_image(&scene, "a", "missing", IMAGE_ACCESS_AUTO);
	add_image(&scene, "b", ".", IMAGE_ACCESS_RW);
	add_image(&scene, "c", "fifo", IMAGE_ACCESS_RO);
	add_image(&scene, "d", "busy", IMAGE_ACCESS_RO);
	assert_build_fails(&scene, "t:1: image 'a': missing: No such file or directory",
			   "t:2: image 'b': .: Is a directory",
			   "t:3: image 'c': fifo: neither a regular file nor a block device",
			   "t:4: image 'd': busy: in use by another program (lock=off overrides a "
			   "lock)");
	scene_end(&scene);
	image_unref(writer);
}

static void lock_can_be_left_out(void **state)
{
	struct image *writer = NULL;
	struct scene scene;

	file_fill("busy", 1000);
	assert_result(image_open("busy", IMAGE_ACCESS_RW, 0, &writer), 0);
	scene_begin(&scene, "t");
	scene.defaults.no_lock = true;
	add_image(&scene, "d", "busy", IMAGE_ACCESS_RW);
	build_tree(&scene);
	scene_end(&scene);
	image_unref(writer);
}

static void slices_of_a_broken_image_are_not_reported_as_well(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_image(&scene, "a", "missing", IMAGE_ACCESS_AUTO);
	add_slice_with(&scene, "x", &read_write, "a", 5, 5);
	add_slice_with(&scene, "y", &resizing, "a", 5, EXTENT_TAIL);
	assert_build_fails(&scene, "t:1: image 'a': missing: No such file or directory");
	scene_end(&scene);
}

static void empty_image_is_for_resizing_only(void **state)
{
	struct scene scene;

	file_resize("empty", 0);
	scene_begin(&scene, "t");
	add_image(&scene, "a", "empty", IMAGE_ACCESS_AUTO);
	add_slice(&scene, "x", "a", 0, EXTENT_TAIL);
	assert_build_fails(&scene, "t:1: image 'a': empty: is empty; only a tail slice with resize "
				   "can use it");
	scene_end(&scene);

	scene_begin(&scene, "t");
	add_image(&scene, "a", "empty", IMAGE_ACCESS_AUTO);
	add_slice_with(&scene, "x", &resizing, "a", 0, EXTENT_TAIL);
	build_tree(&scene);
	assert_true(find_slice(scene.tree, "x")->resize);
	scene_end(&scene);
}

/* --- one file under two names --- */

static void one_file_under_two_names_is_one_image(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	assert_return_code(link("disk.img", "hard"), errno);
	assert_return_code(symlink("disk.img", "soft"), errno);
	add_image(&scene, "hard", "hard", IMAGE_ACCESS_AUTO);
	add_image(&scene, "soft", "soft", IMAGE_ACCESS_AUTO);
	add_slice(&scene, "x", "disk", 0, 100);
	add_slice(&scene, "y", "hard", 99, 100);
	add_slice(&scene, "z", "soft", 200, 100);
	build_tree(&scene);
	assert_ptr_equal(tree_image_at(scene.tree, 0).image, tree_image_at(scene.tree, 1).image);
	assert_ptr_equal(tree_image_at(scene.tree, 0).image, tree_image_at(scene.tree, 2).image);
	assert_true(find_slice(scene.tree, "x")->alias);
	assert_true(find_slice(scene.tree, "y")->alias);
	assert_false(find_slice(scene.tree, "z")->alias);
	scene_end(&scene);
}

static void one_file_with_two_accesses_is_refused(void **state)
{
	struct scene scene;

	file_fill("disk.img", 1000);
	scene_begin(&scene, "t");
	add_image(&scene, "a", "disk.img", IMAGE_ACCESS_RO);
	add_image(&scene, "b", "disk.img", IMAGE_ACCESS_RW);
	assert_build_fails(&scene, "t:2: image 'b': the same file as image 'a'; give both the same "
				   "access");
	scene_end(&scene);
}

/* Who gives none for both has given both the same. */
static void one_file_with_no_access_given_serves_readers_and_writers(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	assert_return_code(link("disk.img", "hard"), errno);
	add_image(&scene, "hard", "hard", IMAGE_ACCESS_AUTO);
	add_slice_with(&scene, "x", &read_only, "disk", 0, 100);
	add_slice_with(&scene, "y", &plain, "hard", 200, 100);
	build_tree(&scene);
	assert_false(find_slice(scene.tree, "x")->writable);
	assert_true(find_slice(scene.tree, "y")->writable);
	scene_end(&scene);
}

static void one_file_is_as_writable_as_one_name_wants_it(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	assert_return_code(link("disk.img", "hard"), errno);
	add_image(&scene, "hard", "hard", IMAGE_ACCESS_RW);
	add_slice_with(&scene, "x", &read_only, "disk", 0, 100);
	build_tree(&scene);
	assert_int_equal(tree_image_at(scene.tree, 0).access, IMAGE_ACCESS_RW);
	assert_ptr_equal(tree_image_at(scene.tree, 0).image, tree_image_at(scene.tree, 1).image);
	scene_end(&scene);
}

/* --- extents against their images --- */

static void extents_outside_their_image_are_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene, "disk.table");
	add_disk(&scene);
	add_slice(&scene, "a", "disk", 0, MIB + 1);
	add_slice(&scene, "b", "disk", MIB, 1);
	add_slice(&scene, "c", "disk", 512 * KIB, MIB);
	add_slice(&scene, "d", "disk", MIB + 1, EXTENT_TAIL);
	add_slice(&scene, "e", "disk", SIZE_LIMIT, SIZE_LIMIT);
	add_slice(&scene, "f", "disk", 0, 10);
	add_extent(&scene, "disk", 2 * MIB, 0);
	assert_build_fails(
		&scene,
		"disk.table:2: slice 'a': offset 0 + length 1048577 exceeds image 'disk' (1M)",
		"disk.table:3: slice 'b': offset 1M + length 1 exceeds image 'disk' (1M)",
		"disk.table:4: slice 'c': offset 512K + length 1M exceeds image 'disk' (1M)",
		"disk.table:5: slice 'd': offset 1048577 is past the end of image 'disk' (1M)",
		"disk.table:6: slice 'e': offset 9223372036854775807 + length 9223372036854775807 "
		"exceeds image 'disk' (1M)",
		"disk.table:8: slice 'f': offset 2M + length 0 exceeds image 'disk' (1M)");
	scene_end(&scene);
}

static void extents_up_to_the_end_are_fine(void **state)
{
	struct scene scene;
	uint64_t size;

	scene_begin(&scene, "t");
	add_disk(&scene);
	add_slice(&scene, "a", "disk", 0, MIB);
	add_slice(&scene, "b", "disk", MIB - 1, 1);
	add_slice(&scene, "c", "disk", MIB, 0);
	add_slice(&scene, "d", "disk", MIB, EXTENT_TAIL);
	build_tree(&scene);
	assert_result(slice_size(find_slice(scene.tree, "a"), &size), 0);
	assert_int_equal(size, MIB);
	assert_result(slice_size(find_slice(scene.tree, "d"), &size), 0);
	assert_int_equal(size, 0);
	scene_end(&scene);
}

static void slice_larger_than_any_file_is_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_slice(&scene, "a", NULL, 0, SIZE_LIMIT);
	add_slice(&scene, "b", NULL, 0, SIZE_LIMIT);
	add_extent(&scene, NULL, 0, 1);
	add_slice(&scene, "c", NULL, 0, SIZE_LIMIT);
	add_extent(&scene, NULL, 0, SIZE_LIMIT);
	assert_build_fails(&scene, "t:3: slice 'b': is too large", "t:5: slice 'c': is too large");
	scene_end(&scene);
}

static void tail_that_makes_a_slice_too_large_is_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	add_slice(&scene, "a", NULL, 0, SIZE_LIMIT - 10);
	add_extent(&scene, "disk", 0, EXTENT_TAIL);
	assert_build_fails(&scene, "t:3: slice 'a': is too large");
	scene_end(&scene);
}

static void slice_without_an_extent_is_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	tree_builder_set_line(scene.builder, 2);
	assert_result(tree_builder_slice(scene.builder, "a", &plain, &scene.error), 0);
	add_slice(&scene, "b", "disk", 0, 10);
	assert_build_fails(&scene, "t:2: slice 'a': has no extent");
	scene_end(&scene);
}

static void every_slice_without_an_extent_is_reported(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	for (int line = 1; line <= 2; line++) {
		tree_builder_set_line(scene.builder, line);
		assert_result(tree_builder_slice(scene.builder, line == 1 ? "a" : "b", &plain,
						 &scene.error),
			      0);
	}
	assert_build_fails(&scene, "t:1: slice 'a': has no extent",
			   "t:2: slice 'b': has no extent");
	scene_end(&scene);
}

/* --- names against each other --- */

static void slice_name_given_twice_is_refused(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_slice(&scene, "d/a", NULL, 0, 1);
	add_slice(&scene, "b", NULL, 0, 1);
	add_slice(&scene, "d/a", NULL, 0, 2);
	add_slice(&scene, "d/a", NULL, 0, 3);
	assert_build_fails(&scene, "t:3: slice 'd/a': name given twice, first in line 1",
			   "t:4: slice 'd/a': name given twice, first in line 1");
	scene_end(&scene);

	scene_begin(&scene, NULL);
	add_slice(&scene, "a", NULL, 0, 1);
	add_slice(&scene, "a", NULL, 0, 2);
	assert_build_fails(&scene, "slice 'a': name given twice");
	scene_end(&scene);
}

static void file_and_folder_cannot_share_a_name(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_slice(&scene, "a", NULL, 0, 1);
	add_slice(&scene, "a/b", NULL, 0, 1);
	add_slice(&scene, "c/d/e", NULL, 0, 1);
	add_slice(&scene, "c/d", NULL, 0, 1);
	assert_build_fails(&scene,
			   "t:2: slice 'a/b': 'a' is the name of a slice, and cannot be a folder, "
			   "too",
			   "t:4: slice 'c/d/e': 'c/d' is the name of a slice, and cannot be a "
			   "folder, too");
	scene_end(&scene);
}

static void names_that_only_begin_alike_do_not_conflict(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_slice(&scene, "a/b", NULL, 0, 1);
	add_slice(&scene, "a!", NULL, 0, 1);
	add_slice(&scene, "a.b", NULL, 0, 1);
	add_slice(&scene, "a/b!", NULL, 0, 1);
	add_slice(&scene, "A", NULL, 0, 1);
	add_slice(&scene, "aa/b", NULL, 0, 1);
	build_tree(&scene);
	scene_end(&scene);
}

/* --- access and attributes --- */

static void slices_are_as_writable_as_their_images(void **state)
{
	struct scene scene;

	file_fill("rw", 1000);
	file_fill("ro", 1000);
	scene_begin(&scene, "t");
	add_image(&scene, "rw", "rw", IMAGE_ACCESS_RW);
	add_image(&scene, "ro", "ro", IMAGE_ACCESS_RO);
	add_slice(&scene, "a", "rw", 0, 10);
	add_slice(&scene, "b", "ro", 0, 10);
	add_slice(&scene, "c", "rw", 0, 10);
	add_extent(&scene, "ro", 0, 10);
	add_slice(&scene, "d", "rw", 0, 10);
	add_extent(&scene, NULL, 0, 10);
	add_slice(&scene, "e", NULL, 0, 10);
	add_slice_with(&scene, "f", &read_only, "rw", 0, 10);
	build_tree(&scene);
	assert_true(find_slice(scene.tree, "a")->writable);
	assert_false(find_slice(scene.tree, "b")->writable);
	assert_false(find_slice(scene.tree, "c")->writable);
	assert_true(find_slice(scene.tree, "d")->writable);
	assert_false(find_slice(scene.tree, "e")->writable);
	assert_false(find_slice(scene.tree, "f")->writable);
	scene_end(&scene);
}

static void writing_a_read_only_image_is_refused(void **state)
{
	struct scene scene;

	file_fill("rw", 1000);
	file_fill("ro", 1000);
	scene_begin(&scene, "t");
	add_image(&scene, "rw", "rw", IMAGE_ACCESS_RW);
	add_image(&scene, "ro", "ro", IMAGE_ACCESS_RO);
	add_slice_with(&scene, "a", &read_write, "ro", 0, 10);
	add_slice_with(&scene, "b", &read_write, "rw", 0, 10);
	add_extent(&scene, "ro", 0, 10);
	assert_build_fails(&scene, "t:3: slice 'a': rw, but image 'ro' is read-only",
			   "t:4: slice 'b': rw, but image 'ro' is read-only");
	scene_end(&scene);
}

static void image_that_nobody_writes_is_opened_to_read(void **state)
{
	struct scene scene;

	file_fill("other", 1000);
	scene_begin(&scene, "t");
	add_disk(&scene);
	add_image(&scene, "other", "other", IMAGE_ACCESS_AUTO);
	add_slice_with(&scene, "a", &read_only, "disk", 0, 10);
	add_slice_with(&scene, "b", &read_only, "other", 0, 10);
	add_slice(&scene, "c", "other", 0, 10);
	build_tree(&scene);
	assert_int_equal(tree_image_at(scene.tree, 0).access, IMAGE_ACCESS_RO);
	assert_int_equal(tree_image_at(scene.tree, 1).access, IMAGE_ACCESS_RW);
	scene_end(&scene);
}

static void resizing_is_for_writable_tails(void **state)
{
	const struct slice_options resizing_read_only = { .access = IMAGE_ACCESS_RO,
							  .resize = true };
	struct scene scene;

	file_fill("ro", 1000);
	scene_begin(&scene, "t");
	add_disk(&scene);
	add_image(&scene, "ro", "ro", IMAGE_ACCESS_RO);
	add_slice_with(&scene, "a", &resizing, "disk", 0, MIB);
	add_slice_with(&scene, "b", &resizing, "ro", 0, EXTENT_TAIL);
	add_slice_with(&scene, "c", &resizing_read_only, "disk", 0, EXTENT_TAIL);
	add_slice_with(&scene, "d", &resizing, NULL, 0, 100);
	add_slice_with(&scene, "e", &resizing, "disk", 0, EXTENT_TAIL);
	assert_build_fails(&scene,
			   "t:3: slice 'a': resize needs a writable tail slice of a regular file",
			   "t:4: slice 'b': resize needs a writable tail slice of a regular file",
			   "t:5: slice 'c': resize needs a writable tail slice of a regular file",
			   "t:6: slice 'd': resize needs a writable tail slice of a regular file");
	scene_end(&scene);
}

static void read_only_mount_is_read_only_throughout(void **state)
{
	const struct slice_options everything = { .access = IMAGE_ACCESS_RW, .resize = true };
	struct scene scene;
	const struct slice *slice;

	file_fill("image", 1000);
	scene_begin(&scene, "t");
	scene.defaults.read_only = true;
	add_image(&scene, "image", "image", IMAGE_ACCESS_RW);
	add_image(&scene, "again", "image", IMAGE_ACCESS_RO);
	add_slice_with(&scene, "a", &everything, "image", 0, EXTENT_TAIL);
	build_tree(&scene);
	slice = find_slice(scene.tree, "a");
	assert_false(slice->writable);
	assert_false(slice->resize);
	assert_true(slice->tail);
	assert_int_equal(tree_image_at(scene.tree, 0).access, IMAGE_ACCESS_RO);
	scene_end(&scene);
}

static void modes_and_owners_have_their_defaults(void **state)
{
	const struct slice_options own = {
		.has_mode = true, .mode = 0604, .has_uid = true, .uid = 7, .has_gid = true, .gid = 8
	};
	struct scene scene;
	const struct slice *slice;

	file_fill("open", 1000);
	file_fill("private", 1000);
	assert_return_code(chmod("open", 0755), errno);
	assert_return_code(chmod("private", 0660), errno);
	scene_begin(&scene, "t");
	add_image(&scene, "open", "open", IMAGE_ACCESS_AUTO);
	add_image(&scene, "private", "private", IMAGE_ACCESS_AUTO);
	add_slice(&scene, "a", "open", 0, 10);
	add_slice(&scene, "b", "open", 20, 10);
	add_extent(&scene, "private", 0, 10);
	add_slice(&scene, "c", NULL, 0, 10);
	add_slice_with(&scene, "d", &own, "open", 0, 10);
	build_tree(&scene);
	slice = find_slice(scene.tree, "a");
	assert_int_equal(slice->mode, 0644);
	assert_int_equal(slice->uid, 1000);
	assert_int_equal(slice->gid, 1001);
	/* Who may not read one image may not read it through a slice either. */
	assert_int_equal(find_slice(scene.tree, "b")->mode, 0640);
	assert_int_equal(find_slice(scene.tree, "c")->mode, 0666);
	slice = find_slice(scene.tree, "d");
	assert_int_equal(slice->mode, 0604);
	assert_int_equal(slice->uid, 7);
	assert_int_equal(slice->gid, 8);
	assert_true(tree_item_at(scene.tree, 3).has_mode);
	assert_true(tree_item_at(scene.tree, 3).has_uid);
	assert_true(tree_item_at(scene.tree, 3).has_gid);
	assert_false(tree_item_at(scene.tree, 0).has_mode);
	scene_end(&scene);
}

static void mode_of_the_mount_comes_before_the_images(void **state)
{
	const struct slice_options own = { .has_mode = true, .mode = 0604 };
	struct scene scene;

	scene_begin(&scene, "t");
	scene.defaults.has_mode = true;
	scene.defaults.mode = 0400;
	add_disk(&scene);
	add_slice(&scene, "a", "disk", 0, 10);
	add_slice_with(&scene, "b", &own, "disk", 0, 10);
	build_tree(&scene);
	assert_int_equal(find_slice(scene.tree, "a")->mode, 0400);
	assert_int_equal(find_slice(scene.tree, "b")->mode, 0604);
	assert_false(tree_item_at(scene.tree, 0).has_mode);
	scene_end(&scene);
}

/* --- as a whole --- */

static void everything_wrong_is_said_at_once(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	add_disk(&scene);
	add_image(&scene, "gone", "missing", IMAGE_ACCESS_RO);
	add_slice(&scene, "a/", "disk", 0, 10);
	add_slice(&scene, "b", "disk", 0, 2 * MIB);
	add_slice(&scene, "c", "nowhere", 0, 10);
	add_slice(&scene, "d", "disk", 0, 10);
	add_slice(&scene, "d", "disk", 0, 10);
	assert_build_fails(&scene, "t:3: slice 'a/': name has an empty component",
			   "t:5: slice 'c': unknown image 'nowhere'",
			   "t:2: image 'gone': missing: No such file or directory",
			   "t:4: slice 'b': offset 0 + length 2M exceeds image 'disk' (1M)",
			   "t:7: slice 'd': name given twice, first in line 6");
	scene_end(&scene);
}

static void thousands_of_errors_take_little_memory(void **state)
{
	struct scene scene;
	char name[20];

	scene_begin(&scene, "t");
	add_disk(&scene);
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		add_slice(&scene, name, "disk", 2 * MIB, 10);
	}
	assert_result(tree_build(scene.builder, &scene.defaults, false, &scene.error, &scene.tree),
		      -EINVAL);
	assert_int_equal(scene.error.count, ERROR_MESSAGES_MAX);
	assert_int_equal(scene.error.omitted, 10000 - ERROR_MESSAGES_MAX);
	scene_end(&scene);
}

/* Processor time to find out that none of so many images can be opened, in microseconds. */
static int64_t time_to_refuse(int count)
{
	struct scene scene;
	char name[20];
	clock_t start = clock();

	scene_begin(&scene, "t");
	tree_builder_limits(scene.builder)->images = count;
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%d", i);
		add_image(&scene, name, i % 2 ? "." : "missing", IMAGE_ACCESS_AUTO);
	}
	assert_result(tree_build(scene.builder, &scene.defaults, false, &scene.error, &scene.tree),
		      -EINVAL);
	scene_end(&scene);
	return (clock() - start) * 1000000 / CLOCKS_PER_SEC;
}

static void time_for_many_images_grows_with_their_number(void **state)
{
	/* On a busy machine a measurement can go wrong; a quadratic one never comes out right. */
	for (int i = 0; i < 3; i++) {
		int64_t few = time_to_refuse(1000);
		int64_t many = time_to_refuse(16 * 1000);

		if (many < 40 * few)
			return;
		print_message("1000 images: %d us, 16000: %d us\n", (int)few, (int)many);
	}
	fail();
}

static void errors_of_omitted_messages_still_count(void **state)
{
	struct scene scene;

	scene_begin(&scene, "t");
	for (int i = 0; i < ERROR_MESSAGES_MAX; i++)
		add_slice(&scene, "/", NULL, 0, 1);
	add_slice(&scene, "x", NULL, 0, 1);
	add_slice(&scene, "x", NULL, 0, 1);
	assert_result(tree_build(scene.builder, &scene.defaults, false, &scene.error, &scene.tree),
		      -EINVAL);
	assert_null(scene.tree);
	assert_int_equal(scene.error.omitted, 1);
	scene_end(&scene);
}

static void inspection_opens_nothing_for_good(void **state)
{
	struct image *writer = NULL;
	struct scene scene;

	scene_begin(&scene, "t");
	scene.inspect = true;
	add_disk(&scene);
	add_slice(&scene, "a", "disk", 0, 10);
	assert_result(image_open("disk.img", IMAGE_ACCESS_RW, 0, &writer), 0);
	build_tree(&scene);
	assert_true(find_slice(scene.tree, "a")->writable);
	scene_end(&scene);
	image_unref(writer);
}

struct visited {
	int count;
	int stop_at;
};

static int visit(void *context, const struct extent_view *extent)
{
	struct visited *visited = context;

	switch (visited->count++) {
	case 0:
		assert_string_equal(extent->path, "disk.img");
		assert_int_equal(extent->offset, 5 * MIB); /* unchecked */
		assert_int_equal(extent->length, 10);
		break;
	case 1:
		assert_null(extent->path);
		assert_int_equal(extent->length, 20);
		break;
	default:
		assert_string_equal(extent->path, "disk.img");
		assert_int_equal(extent->offset, 7);
		assert_int_equal(extent->length, EXTENT_TAIL);
	}
	return visited->count == visited->stop_at ? 42 : 0;
}

static void extents_of_a_name_can_be_visited_unopened(void **state)
{
	struct visited visited = { 0 };
	struct scene scene;

	scene_begin(&scene, "t");
	add_image(&scene, "disk", "disk.img", IMAGE_ACCESS_AUTO); /* there is no such file */
	add_slice(&scene, "other", "disk", 0, 10);
	add_slice(&scene, "d/a", "disk", 5 * MIB, 10);
	add_extent(&scene, NULL, 0, 20);
	add_extent(&scene, "disk", 7, EXTENT_TAIL);
	add_slice(&scene, "d/ab", "disk", 0, 10);
	assert_result(tree_builder_visit(scene.builder, "d/a", visit, &visited), 0);
	assert_int_equal(visited.count, 3);
	visited = (struct visited){ .stop_at = 2 };
	assert_int_equal(tree_builder_visit(scene.builder, "d/a", visit, &visited), 42);
	assert_int_equal(visited.count, 2);
	assert_result(tree_builder_visit(scene.builder, "d", visit, &visited), -ENOENT);
	assert_result(tree_builder_visit(scene.builder, "", visit, &visited), -ENOENT);
	/* One that comes later is found as well. */
	assert_result(add_slice(&scene, "c", "disk", 5 * MIB, 10), 0);
	visited = (struct visited){ 0 };
	assert_result(tree_builder_visit(scene.builder, "c", visit, &visited), 0);
	assert_int_equal(visited.count, 1);
	assert_result(tree_builder_visit(scene.builder, "z", visit, &visited), -ENOENT);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(images_need_a_name_and_a_path),
		cmocka_unit_test(image_name_given_twice_is_refused),
		cmocka_unit_test(bad_slice_names_are_refused),
		cmocka_unit_test(overlong_name_is_cut_in_its_message),
		cmocka_unit_test(extent_needs_a_slice),
		cmocka_unit_test(extent_needs_a_known_image),
		cmocka_unit_test(zeros_need_a_length),
		scratch_test(nothing_follows_a_tail),
		cmocka_unit_test(command_line_has_no_lines),
		scratch_test(unopenable_images_are_told_why),
		scratch_test(lock_can_be_left_out),
		scratch_test(slices_of_a_broken_image_are_not_reported_as_well),
		scratch_test(empty_image_is_for_resizing_only),
		scratch_test(one_file_under_two_names_is_one_image),
		scratch_test(one_file_with_two_accesses_is_refused),
		scratch_test(one_file_is_as_writable_as_one_name_wants_it),
		scratch_test(one_file_with_no_access_given_serves_readers_and_writers),
		scratch_test(extents_outside_their_image_are_refused),
		scratch_test(extents_up_to_the_end_are_fine),
		cmocka_unit_test(slice_larger_than_any_file_is_refused),
		scratch_test(tail_that_makes_a_slice_too_large_is_refused),
		scratch_test(slice_without_an_extent_is_refused),
		cmocka_unit_test(every_slice_without_an_extent_is_reported),
		cmocka_unit_test(slice_name_given_twice_is_refused),
		cmocka_unit_test(file_and_folder_cannot_share_a_name),
		cmocka_unit_test(names_that_only_begin_alike_do_not_conflict),
		scratch_test(slices_are_as_writable_as_their_images),
		scratch_test(writing_a_read_only_image_is_refused),
		scratch_test(image_that_nobody_writes_is_opened_to_read),
		scratch_test(resizing_is_for_writable_tails),
		scratch_test(read_only_mount_is_read_only_throughout),
		scratch_test(modes_and_owners_have_their_defaults),
		scratch_test(mode_of_the_mount_comes_before_the_images),
		scratch_test(everything_wrong_is_said_at_once),
		scratch_test(thousands_of_errors_take_little_memory),
		scratch_test(time_for_many_images_grows_with_their_number),
		cmocka_unit_test(errors_of_omitted_messages_still_count),
		scratch_test(inspection_opens_nothing_for_good),
		cmocka_unit_test(extents_of_a_name_can_be_visited_unopened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What is done for memory policies at the mount: for which bytes, within which limits. */
#include "trees.h"

#include "available.h"
#include "mmapfs/layout.h"

#include <string.h>
#include <sys/resource.h>

#define KIB 1024UL
#define MIB (1024 * KIB)

static struct done {
	char what; /* Lock, Populate, Huge pages */
	uint64_t offset;
	uint64_t length;
} done[16];

static size_t done_count;
static struct available_memory available;
static int lock_error;
static int populate_error;
static int huge_error;
static char noted[256];

static int note_done(char what, uint64_t offset, uint64_t length, int error)
{
	if (error == 0 && done_count < COUNT(done))
		done[done_count] = (struct done){ what, offset, length };
	done_count += error == 0;
	return error;
}

int __wrap_image_lock(struct image *image, uint64_t offset, uint64_t length);
int __wrap_image_lock(struct image *image, uint64_t offset, uint64_t length)
{
	return note_done('L', offset, length, lock_error);
}

int __wrap_image_populate(struct image *image, uint64_t offset, uint64_t length);
int __wrap_image_populate(struct image *image, uint64_t offset, uint64_t length)
{
	return note_done('P', offset, length, populate_error);
}

int __wrap_image_use_hugepages(struct image *image, uint64_t offset, uint64_t length);
int __wrap_image_use_hugepages(struct image *image, uint64_t offset, uint64_t length)
{
	return note_done('H', offset, length, huge_error);
}

struct available_memory __wrap_available_memory(void);
struct available_memory __wrap_available_memory(void)
{
	return available;
}

int __wrap_setrlimit64(int resource, const struct rlimit *limit);
int __wrap_setrlimit64(int resource, const struct rlimit *limit)
{
	assert_int_equal(resource, RLIMIT_MEMLOCK);
	return 0;
}

static void take_note(const char *text)
{
	assert_string_equal(noted, "");
	snprintf(noted, sizeof(noted), "%s", text);
}

static int enter(void **state)
{
	done_count = 0;
	available = (struct available_memory){ UINT64_MAX, UINT64_MAX };
	lock_error = populate_error = huge_error = 0;
	*noted = '\0';
	return scratch_enter(state);
}

#define prepare_test(function) cmocka_unit_test_setup_teardown(function, enter, scratch_leave)

/* Image 'disk', of 64 MiB of data, which says this. */
static void begin(struct scene *scene, uint8_t bits)
{
	char *bytes = calloc(1, MIB);

	assert_non_null(bytes);
	file_resize("disk.img", 0);
	for (size_t i = 0; i < 64; i++)
		file_write_at("disk.img", i * MIB, bytes, MIB);
	free(bytes);
	scene_begin(scene, NULL);
	assert_result(add_image(scene, "disk", "disk.img", IMAGE_ACCESS_RO), 0);
	tree_builder_policy(scene->builder, (struct memory_policy){ bits, bits });
}

static void add_with(struct scene *scene, const char *name, uint8_t said, uint8_t on,
		     uint64_t offset, uint64_t length)
{
	const struct slice_options options = { .policy = { said, on } };

	assert_result(add_slice_with(scene, name, &options, "disk", offset, length), 0);
}

static void add(struct scene *scene, const char *name, uint64_t offset, uint64_t length)
{
	add_with(scene, name, 0, 0, offset, length);
}

#define assert_done(...)                                                                           \
	assert_done_((const struct done[]){ __VA_ARGS__ },                                         \
		     COUNT(((const struct done[]){ __VA_ARGS__ })))
static void assert_done_(const struct done *wanted, size_t count)
{
	assert_int_equal(done_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(done[i].what, wanted[i].what);
		assert_int_equal(done[i].offset, wanted[i].offset);
		assert_int_equal(done[i].length, wanted[i].length);
	}
}

static void prepare(struct scene *scene)
{
	build_tree(scene);
	assert_result(tree_prepare(scene->tree, take_note, &scene->error), 0);
	assert_no_messages(&scene->error);
}

static void nothing_is_done_unasked(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_RANDOM | POLICY_DROP_BEHIND);
	add(&scene, "a", 0, EXTENT_TAIL);
	prepare(&scene);
	assert_int_equal(done_count, 0);
	scene_end(&scene);
}

static void only_what_slices_show_and_in_whole_pages(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_LOCK);
	add(&scene, "a", 5000, 10000);
	add(&scene, "b", 60 * MIB + 1, EXTENT_TAIL);
	prepare(&scene);
	assert_done({ 'L', 4096, 12288 }, { 'L', 60 * MIB, 4 * MIB });
	scene_end(&scene);
}

static void ranges_that_touch_are_one(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_POPULATE);
	add(&scene, "d", 40000, 1000);
	add(&scene, "c", 20000, 10000);
	add(&scene, "a", 0, 5000);
	add(&scene, "b", 5100, 15000);
	add(&scene, "inside", 21000, 100);
	prepare(&scene);
	assert_done({ 'P', 0, 32768 }, { 'P', 36864, 8192 });
	scene_end(&scene);
}

static void a_slice_goes_before_its_image_and_that_before_all(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_POPULATE);
	scene.defaults.policy =
		(struct memory_policy){ POLICY_LOCK | POLICY_POPULATE, POLICY_LOCK };
	add(&scene, "a", 0, 4096);
	add_with(&scene, "b", POLICY_POPULATE | POLICY_LOCK, 0, 8192, 4096);
	add_with(&scene, "c", POLICY_HUGEPAGES, POLICY_HUGEPAGES, 16 * MIB + 5, 4096);
	prepare(&scene);
	assert_done({ 'H', 16 * MIB, 2 * MIB }, { 'P', 0, 4096 }, { 'P', 16 * MIB, 8192 },
		    { 'L', 0, 4096 }, { 'L', 16 * MIB, 8192 });
	scene_end(&scene);
}

static void assert_refused(struct scene *scene, const char *message)
{
	build_tree(scene);
	assert_result(tree_prepare(scene->tree, take_note, &scene->error), -EINVAL);
	assert_messages(&scene->error, message);
	scene_end(scene);
}

static void more_than_there_is_memory_is_refused(void **state)
{
	struct scene scene;

	available.left = 3 * MIB;
	begin(&scene, POLICY_POPULATE);
	add(&scene, "a", 0, 2 * MIB);
	add(&scene, "b", 10 * MIB, 2 * MIB);
	assert_refused(&scene, "populate: wants 4M of memory, and 3M are available");
	begin(&scene, POLICY_LOCK);
	add(&scene, "a", 0, EXTENT_TAIL);
	assert_refused(&scene, "lock-memory: wants 64M of memory, and 3M are available");
	assert_int_equal(done_count, 0);
}

static void the_limit_on_locked_memory_is_named(void **state)
{
	struct rlimit limit = { MIB, MIB };
	struct scene scene;

	begin(&scene, POLICY_LOCK);
	add(&scene, "a", 0, 2 * MIB);
	assert_int_equal(prlimit(0, RLIMIT_MEMLOCK, &limit, NULL), 0);
	lock_error = -ENOMEM;
	assert_refused(&scene, "lock-memory: wants 2M, and RLIMIT_MEMLOCK permits 1M: see ulimit "
			       "-l");
	begin(&scene, POLICY_LOCK);
	add(&scene, "a", 0, 4096);
	assert_refused(&scene, "image 'disk': lock-memory: Cannot allocate memory");
}

static void a_page_that_cannot_be_read_is_said(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_POPULATE);
	add(&scene, "a", 0, 4096);
	populate_error = -EFAULT;
	assert_refused(&scene, "image 'disk': populate: Input/output error");
}

static void huge_pages_that_are_not_to_be_had_are_noted_once(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_HUGEPAGES);
	add(&scene, "a", 0, 4096);
	add(&scene, "b", 8 * MIB, 4096);
	huge_error = -EINVAL;
	prepare(&scene);
	assert_string_equal(noted, "image 'disk': hugepages: Invalid argument");
	scene_end(&scene);
}

/* A sparse image, so that ranges may lie far apart; none of it is read. */
static void too_many_ranges_of_locked_memory_are_refused(void **state)
{
	struct scene scene;
	char name[16];

	for (int count = 8192; count <= 8193; count++) {
		done_count = 0;
		file_resize("disk.img", 1024 * MIB);
		scene_begin(&scene, NULL);
		scene.defaults.policy = (struct memory_policy){ POLICY_LOCK, POLICY_LOCK };
		assert_result(add_image(&scene, "disk", "disk.img", IMAGE_ACCESS_RO), 0);
		for (int i = 0; i < count; i++) {
			snprintf(name, sizeof(name), "%d", i);
			add(&scene, name, i * 16384UL, 10);
		}
		if (count == 8192) {
			prepare(&scene);
			assert_int_equal(done_count, 8192);
			scene_end(&scene);
		} else {
			assert_refused(&scene, "lock-memory: of 8193 ranges that lie apart; there "
					       "may be 8192");
		}
	}
}

static void what_lies_outside_of_its_image_is_left_out(void **state)
{
	struct scene scene;

	begin(&scene, POLICY_LOCK);
	scene.defaults.lenient = true;
	add(&scene, "half", 63 * MIB, 4 * MIB);
	add(&scene, "out", 100 * MIB, 4 * MIB);
	prepare(&scene);
	assert_done({ 'L', 63 * MIB, MIB });
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		prepare_test(nothing_is_done_unasked),
		prepare_test(only_what_slices_show_and_in_whole_pages),
		prepare_test(ranges_that_touch_are_one),
		prepare_test(a_slice_goes_before_its_image_and_that_before_all),
		prepare_test(more_than_there_is_memory_is_refused),
		prepare_test(the_limit_on_locked_memory_is_named),
		prepare_test(a_page_that_cannot_be_read_is_said),
		prepare_test(huge_pages_that_are_not_to_be_had_are_noted_once),
		prepare_test(too_many_ranges_of_locked_memory_are_refused),
		prepare_test(what_lies_outside_of_its_image_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

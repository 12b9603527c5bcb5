/* SPDX-License-Identifier: MIT */
/* Running out of memory: each allocation in turn fails, and every way out is clean.
 *
 * What is not freed then, AddressSanitizer reports at the end.
 */
#include "trees.h"

#include "mmapfs/layout.h"
#include "options.h"
#include "picture.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

/* Which allocation fails, counted from 0; negative: none. */
static int failing = -1;
static bool failed;

static bool fails(void)
{
	if (failing < 0 || failing-- > 0)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *data, size_t size);
void *__wrap_realloc(void *data, size_t size);
void *__wrap_realloc(void *data, size_t size)
{
	return fails() ? NULL : __real_realloc(data, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

int __real_vasprintf(char **ret, const char *format, va_list arguments);
int __wrap_vasprintf(char **ret, const char *format, va_list arguments);
__attribute__((format(printf, 2, 0))) int __wrap_vasprintf(char **ret, const char *format,
							   va_list arguments)
{
	return fails() ? -1 : __real_vasprintf(ret, format, arguments);
}

char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved)
{
	return fails() ? NULL : __real_realpath(path, resolved);
}

/* Run body with each of its allocations failing once. It returns 0 or what went wrong, which must
 * be something when an allocation failed, unless the work can be done without.
 */
static void fail_each(int (*body)(struct error *error), int wanted)
{
	for (int i = 0;; i++) {
		struct error error = ERROR_INIT;
		int result;

		failing = i;
		failed = false;
		result = body(&error);
		failing = -1;
		if (!failed)
			assert_result(result, wanted);
		else if (result == -EINVAL)
			assert_true(error.count + error.omitted > 0);
		else if (result != 0)
			assert_result(result, -ENOMEM);
		error_clear(&error);
		if (!failed)
			break;
		assert_true(i < 100000);
	}
}

static const char *table_text;

/* Read, build, look up and write the table. */
static int use_table(struct error *error)
{
	const struct tree_defaults defaults = { 0 };
	struct tree_builder *builder = tree_builder_new("t");
	struct tree *tree = NULL;
	FILE *in = fmemopen((void *)table_text, strlen(table_text), "r");
	FILE *out = fopen("/dev/null", "we");
	int result = -ENOMEM;

	if (builder && in && out)
		result = table_read(in, ".", NULL, builder, error);
	if (result == 0)
		result = tree_build(builder, &defaults, false, error, &tree);
	if (result == 0)
		result = table_write(tree, out);
	tree_free(tree);
	tree_builder_free(builder);
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	return result;
}

static void good_table_survives_every_failure(void **state)
{
	file_resize("disk.img", 1 << 20);
	file_resize("other.img", 1 << 20);
	table_text =
		"image disk disk.img rw\n"
		"image other other.img\n"
		"slice a/b/c disk 0 4K mode=0600\n"
		"extent - 0 4K\n"
		"extent disk 100 4K\n"
		"slice a/b/d other 0 -\n"
		"slice 3 - 0 1\nslice 4 - 0 1\nslice 5 - 0 1\nslice 6 - 0 1\nslice 7 - 0 1\n"
		"slice 8 - 0 1\nslice 9 - 0 1\nslice 10 - 0 1\nslice 11 - 0 1\nslice 12 - 0 1\n"
		"slice 1 - 0 1\nslice 2 - 0 1\nslice 13 - 0 1\nslice 14 - 0 1\nslice 15 - 0 1\n"
		"slice 16 - 0 1\nslice 17 - 0 1\nslice 18 - 0 1\nslice 19 - 0 1\n";
	fail_each(use_table, 0);
}

static void bad_table_survives_every_failure(void **state)
{
	file_resize("disk.img", 1 << 20);
	table_text = "image disk disk.img rw\n"
		     "image disk disk.img rw\n"
		     "slice a/../c disk 0 4K mode=0600\n"
		     "extent - 0 4K\n"
		     "slice x disk 0 4X modes=0600\n"
		     "nothing\n";
	fail_each(use_table, -EINVAL);
}

static void table_that_cannot_be_built_survives_every_failure(void **state)
{
	file_resize("disk.img", 1 << 20);
	table_text = "image disk disk.img rw\n"
		     "image gone gone.img\n"
		     "slice a/b disk 0 4K\n"
		     "slice a/b disk 0 4K\n"
		     "slice a disk 0 4G\n"
		     "slice b gone 0 4G\n";
	fail_each(use_table, -EINVAL);
}

/* Whatever reading came to, building what has been read must not crash. */
static int build_after_failure(struct error *error)
{
	const struct tree_defaults defaults = { 0 };
	struct tree_builder *builder = tree_builder_new("t");
	struct slice_options options = { 0 };
	struct tree *tree = NULL;
	int result = -ENOMEM;

	if (!builder)
		return -ENOMEM;
	result = tree_builder_image(builder, "disk", "disk.img", IMAGE_ACCESS_AUTO, error);
	result = tree_builder_image(builder, "other", "other.img", IMAGE_ACCESS_AUTO, error)
			 ?: result;
	result = tree_builder_slice(builder, "a", &options, error)
			 ?: tree_builder_extent(builder, "other", 0, 5000, error)
			 ?: result;
	failing = -1;
	if (tree_build(builder, &defaults, false, error, &tree) == 0 && tree_item_count(tree) > 0) {
		struct tree_item slice = tree_item_at(tree, 0);
		uint64_t size;

		assert_result(slice_size(slice.slice, &size), 0);
		assert_int_equal(size, 5000);
		assert_true(slice.slice->writable);
	}
	tree_free(tree);
	tree_builder_free(builder);
	return result;
}

static void builder_stays_usable_after_every_failure(void **state)
{
	file_resize("disk.img", 1000); /* too small for what the other one holds */
	file_resize("other.img", 1 << 20);
	fail_each(build_after_failure, 0);
}

static int use_specs(struct error *error)
{
	static const char *const specs[] = { "a=disk.img@0+10", "b=@5,ro", "c=other.img@7+1",
					     "d=disk.img@9" };
	const struct tree_defaults defaults = { 0 };
	struct tree_builder *builder = tree_builder_new(NULL);
	struct spec_reader *reader = builder ? spec_reader_new(builder, "disk.img") : NULL;
	struct tree *tree = NULL;
	int result = reader ? 0 : -ENOMEM;

	for (size_t i = 0; i < COUNT(specs) && result == 0; i++)
		result = spec_read(reader, specs[i], error);
	if (result == 0)
		result = tree_build(builder, &defaults, false, error, &tree);
	tree_free(tree);
	spec_reader_free(reader);
	tree_builder_free(builder);
	return result;
}

static void specs_survive_every_failure(void **state)
{
	file_resize("disk.img", 1 << 20);
	file_resize("other.img", 1 << 20);
	fail_each(use_specs, 0);
}

static int use_options(struct error *error)
{
	char *arguments[] = { (char *)"mmapfs",
			      (char *)"-s",
			      (char *)"a=@0",
			      (char *)"-o",
			      (char *)"ro,allow_other,fsname=x,uid=5",
			      (char *)"mnt",
			      NULL };
	struct options options;
	int result;

	optind = 0;
	result = options_parse(COUNT(arguments) - 1, arguments, &options, error);
	options_clear(&options);
	return result;
}

static void command_line_survives_every_failure(void **state)
{
	fail_each(use_options, 0);
}

static void describe(void *context, uint32_t slice, struct picture_slice *ret)
{
	*ret = (struct picture_slice){ .name = "slice" };
}

static int use_pictures(struct error *error)
{
	static const struct picture_range hole = { 10, 20 };
	struct picture_piece pieces[] = { { 10, 50, 0 }, { 40, 60, 1 } };
	const struct picture_input input = { .name = "i",
					     .path = "/i",
					     .size = 100,
					     .pieces = pieces,
					     .piece_count = COUNT(pieces),
					     .slice_count = COUNT(pieces),
					     .holes = &hole,
					     .hole_count = 1,
					     .describe = describe };
	struct picture picture;
	int result = picture_make(&input, 10, &picture);

	picture_clear(&picture);
	return result;
}

static void pictures_survive_every_failure(void **state)
{
	fail_each(use_pictures, 0);
}

static int add_errors(struct error *error)
{
	const struct location at = { "t", 1 };

	error_add(error, &at, "first %d", 1);
	error_add(error, NULL, "second\n");
	return 0;
}

static void lost_message_is_counted(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct error error = ERROR_INIT;

		failing = i;
		add_errors(&error);
		failing = -1;
		assert_int_equal(error.count + error.omitted, 2);
		error_clear(&error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(good_table_survives_every_failure),
		scratch_test(bad_table_survives_every_failure),
		scratch_test(table_that_cannot_be_built_survives_every_failure),
		scratch_test(builder_stays_usable_after_every_failure),
		scratch_test(specs_survive_every_failure),
		cmocka_unit_test(command_line_survives_every_failure),
		cmocka_unit_test(pictures_survive_every_failure),
		cmocka_unit_test(lost_message_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

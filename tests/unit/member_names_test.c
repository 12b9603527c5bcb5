/* SPDX-License-Identifier: MIT */
#include "support.h"

#include "member_names.h"

#include <string.h>

struct step {
	enum name_kind kind;
	const char *raw;
	const char *wanted; /* NULL: -EEXIST */
};

/* Names made one after the other. */
static void assert_steps(const char *directory, const struct step *steps, size_t count)
{
	struct member_names names = { .directory = directory };

	for (size_t i = 0; i < count; i++) {
		const char *name = NULL;
		int result = member_names_make(&names, steps[i].raw, steps[i].kind, &name);

		if (!steps[i].wanted) {
			assert_result(result, -EEXIST);
			continue;
		}
		assert_result(result, 0);
		assert_string_equal(name, steps[i].wanted);
	}
	member_names_clear(&names);
}

#define assert_names(directory, ...)                                                               \
	assert_steps((directory), (const struct step[]){ __VA_ARGS__ },                            \
		     COUNT(((const struct step[]){ __VA_ARGS__ })))

static void test_names_are_made_safe(void **state)
{
	assert_names("", { NAME_FILE, "a/b", "a/b" }, { NAME_FILE, "/etc/passwd", "etc/passwd" },
		     { NAME_FILE, "./x//y/./z", "x/y/z" },
		     { NAME_FILE, "../../secret", "__/__/secret" },
		     { NAME_FILE, "tab\there\x7f\n", "tab_here__" },
		     { NAME_FILE, "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		     { NAME_FILE, ".mmapfs", "_mmapfs" },
		     { NAME_FILE, ".mmapfs/stats", "_mmapfs~2/stats" },
		     { NAME_FILE, ".mmapfs2", ".mmapfs2" });
}

static void test_what_has_no_name_gets_one(void **state)
{
	assert_names("", { NAME_FILE, "", "_" }, { NAME_FILE, "/", "_~2" },
		     { NAME_FILE, "././", "_~3" }, { NAME_DIRECTORY, "./", NULL });
	assert_names("d/e", { NAME_FILE, "", "d/e/_" }, { NAME_DIRECTORY, "", NULL });
}

static void test_a_taken_name_gets_a_number(void **state)
{
	assert_names("d", { NAME_FILE, "a", "d/a" }, { NAME_FILE, "a", "d/a~2" },
		     { NAME_FILE, "./a", "d/a~3" }, { NAME_FILE, "a~4", "d/a~4" },
		     { NAME_OTHER, "a", "d/a~5" }, { NAME_FILE, "b/a", "d/b/a" });
}

static void test_the_name_of_a_file_is_no_directory(void **state)
{
	assert_names("", { NAME_FILE, "a", "a" }, { NAME_FILE, "a/b", "a~2/b" },
		     { NAME_FILE, "a/c/d", "a~2/c/d" }, { NAME_DIRECTORY, "a", "a~2" },
		     { NAME_DIRECTORY, "a/c", "a~2/c" }, { NAME_FILE, "x/y", "x/y" },
		     { NAME_FILE, "x", "x~2" });
}

static void test_a_directory_is_made_once(void **state)
{
	assert_names("", { NAME_DIRECTORY, "a/", "a" }, { NAME_DIRECTORY, "a", NULL },
		     { NAME_FILE, "b/c", "b/c" }, { NAME_DIRECTORY, "b", "b" },
		     { NAME_DIRECTORY, "./b/", NULL });
}

static void test_long_components_are_cut_and_stay_apart(void **state)
{
	char raw[2][301] = { { 0 } };
	char wanted[2][256] = { { 0 } };
	struct member_names names = { .directory = "" };
	const char *name;

	memset(raw[0], 'x', 300);
	memset(raw[1], 'x', 300);
	raw[1][299] = 'y';
	memset(wanted[0], 'x', 255);
	memset(wanted[1], 'x', 253);
	memcpy(wanted[1] + 253, "~2", 2);
	for (size_t i = 0; i < 2; i++) {
		assert_result(member_names_make(&names, raw[i], NAME_FILE, &name), 0);
		assert_memory_equal(name, wanted[i], 255);
		assert_int_equal(strlen(name), 255);
	}
	member_names_clear(&names);
}

static void test_paths_that_are_too_long_are_refused(void **state)
{
	struct member_names names = { .directory = "d" };
	const char *name;
	char raw[4200];

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = i % 2 ? '/' : 'a';
	raw[4093] = '\0';
	assert_result(member_names_make(&names, raw, NAME_FILE, &name), 0);
	assert_int_equal(strlen(name), 4095);
	raw[4093] = '/';
	raw[4095] = '\0';
	assert_result(member_names_make(&names, raw, NAME_FILE, &name), -ENAMETOOLONG);
	member_names_clear(&names);
}

static void test_links_find_the_file_that_was_last_so_called(void **state)
{
	struct member_names names = { .directory = "d" };
	const char *name;
	const char *target;

	assert_result(member_names_link(&names, "l", "a", &name, &target), -ENOENT);
	assert_result(member_names_make(&names, "a", NAME_FILE, &name), 0);
	assert_result(member_names_link(&names, "l", "./a", &name, &target), 0);
	assert_string_equal(name, "d/l");
	assert_string_equal(target, "d/a");
	assert_result(member_names_make(&names, "a", NAME_FILE, &name), 0);
	assert_result(member_names_link(&names, "l", "a", &name, &target), 0);
	assert_string_equal(name, "d/l~2");
	assert_string_equal(target, "d/a~2");
	/* Through a link, too. */
	assert_result(member_names_link(&names, "m", "l", &name, &target), 0);
	assert_string_equal(target, "d/a~2");
	/* Neither directories nor symbolic links. */
	assert_result(member_names_make(&names, "s", NAME_OTHER, &name), 0);
	assert_result(member_names_make(&names, "dir", NAME_DIRECTORY, &name), 0);
	assert_result(member_names_link(&names, "n", "s", &name, &target), -ENOENT);
	assert_result(member_names_link(&names, "n", "dir", &name, &target), -ENOENT);
	member_names_clear(&names);
}

static void test_links_know_files_by_what_the_image_calls_them(void **state)
{
	struct member_names names = { .directory = "d" };
	const char *name;
	const char *target;

	assert_result(member_names_make(&names, "a\001", NAME_FILE, &name), 0);
	assert_string_equal(name, "d/a_");
	assert_result(member_names_make(&names, "a_", NAME_FILE, &name), 0);
	assert_string_equal(name, "d/a_~2");
	assert_result(member_names_link(&names, "l", "a\001", &name, &target), 0);
	assert_string_equal(target, "d/a_");
	assert_result(member_names_link(&names, "m", "a_", &name, &target), 0);
	assert_string_equal(target, "d/a_~2");
	member_names_clear(&names);
}

static void test_what_lies_in_a_file_has_names_of_its_own(void **state)
{
	struct member_names names = { .directory = "d" };
	const char *name;
	const char *target;

	assert_result(member_names_make(&names, "a.d/b", NAME_FILE, &name), 0);
	assert_result(member_names_make(&names, "a", NAME_FILE, &name), 0);
	assert_result(member_names_enter(&names, name), 0);
	assert_result(member_names_make(&names, "./", NAME_DIRECTORY, &name), 0);
	assert_string_equal(name, "d/a.d");
	assert_result(member_names_make(&names, "./", NAME_FILE, &name), 0);
	assert_string_equal(name, "d/a.d/_");
	assert_result(member_names_make(&names, "b", NAME_FILE, &name), 0);
	assert_string_equal(name, "d/a.d/b~2");
	assert_result(member_names_link(&names, "l", "b", &name, &target), 0);
	assert_string_equal(name, "d/a.d/l");
	assert_string_equal(target, "d/a.d/b~2");
	assert_result(member_names_enter(&names, ""), 0);
	assert_result(member_names_link(&names, "l", "a.d/b", &name, &target), 0);
	assert_string_equal(name, "d/l");
	assert_string_equal(target, "d/a.d/b");
	assert_result(member_names_enter(&names, "d/nobody"), -ENOENT);
	member_names_clear(&names);
}

static void test_the_directory_of_a_long_name_is_not_the_file(void **state)
{
	struct member_names names = { .directory = "" };
	const char *name;
	char raw[256] = "";
	char wanted[300];

	memset(raw, 'x', 255);
	assert_result(member_names_make(&names, raw, NAME_FILE, &name), 0);
	assert_result(member_names_enter(&names, name), 0);
	snprintf(wanted, sizeof(wanted), "%.253s~2/f", raw);
	assert_result(member_names_make(&names, "f", NAME_FILE, &name), 0);
	assert_string_equal(name, wanted);
	member_names_clear(&names);
}

/* Directories above a name take memory of the length of that name, each. */
static void test_names_that_are_too_long_take_no_directories(void **state)
{
	struct member_names names = { .directory = "" };
	const char *name;
	char raw[60001];

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = i % 2 ? '/' : 'a';
	raw[sizeof(raw) - 2] = '\0';
	assert_result(member_names_make(&names, raw, NAME_FILE, &name), -ENAMETOOLONG);
	assert_in_range(names.bytes, 0, sizeof(raw));
	names.bytes = MEMBER_NAMES_MAX + 1;
	assert_result(member_names_make(&names, "a", NAME_FILE, &name), -E2BIG);
	member_names_clear(&names);
}

/* 100,000 names in pairs, which are all the same where their numbers go. If each looked for a free
 * number from the first on, it would take minutes.
 */
static void test_many_names_that_are_cut_alike_are_no_more_work(void **state)
{
	struct member_names names = { .directory = "" };
	const char *name;
	char raw[256];

	memset(raw, 'x', 250);
	for (int i = 0; i < 100000; i++) {
		snprintf(raw + 250, 6, "%05d", i / 2);
		assert_result(member_names_make(&names, raw, NAME_FILE, &name), 0);
		assert_int_equal(strlen(name), 255);
	}
	member_names_clear(&names);
}

/* Whatever comes: names are apart, fit for a tree, and no file is a directory. */
static void test_random_names_make_a_tree(void **state)
{
	static const char *const parts[] = { "a", "b", "a~2", "..", ".", "", "b~2", ".mmapfs", "c" };

	random_begin();
	for (int round = 0; round < 300; round++) {
		struct member_names names = { .directory = random_chance(50) ? "" : "a" };
		struct error error = ERROR_INIT;
		struct tree_builder *builder = tree_builder_new(NULL);
		const struct tree_defaults defaults = { 0 };
		const struct slice_options options = { 0 };
		struct tree *tree = NULL;

		for (int i = 0; i < 40; i++) {
			char raw[64] = "";
			const char *name;
			enum name_kind kind = NAME_DIRECTORY + random_below(3);
			int result;

			for (size_t j = random_below(4); j-- > 0;) {
				strcat(raw, parts[random_below(COUNT(parts))]);
				strcat(raw, "/");
			}
			strcat(raw, parts[random_below(COUNT(parts))]);
			result = member_names_make(&names, raw, kind, &name);
			if (kind == NAME_DIRECTORY && result == -EEXIST)
				continue;
			assert_result(result, 0);
			if (kind == NAME_DIRECTORY)
				result = tree_builder_directory(builder, name, &options, &error);
			else
				result = tree_builder_symlink(builder, name, "t", &options, &error);
			assert_result(result, 0);
		}
		(void)tree_build(builder, &defaults, false, &error, &tree);
		assert_no_messages(&error);
		tree_free(tree);
		tree_builder_free(builder);
		member_names_clear(&names);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_made_safe),
		cmocka_unit_test(test_what_has_no_name_gets_one),
		cmocka_unit_test(test_a_taken_name_gets_a_number),
		cmocka_unit_test(test_the_name_of_a_file_is_no_directory),
		cmocka_unit_test(test_a_directory_is_made_once),
		cmocka_unit_test(test_long_components_are_cut_and_stay_apart),
		cmocka_unit_test(test_paths_that_are_too_long_are_refused),
		cmocka_unit_test(test_links_find_the_file_that_was_last_so_called),
		cmocka_unit_test(test_links_know_files_by_what_the_image_calls_them),
		cmocka_unit_test(test_what_lies_in_a_file_has_names_of_its_own),
		cmocka_unit_test(test_the_directory_of_a_long_name_is_not_the_file),
		cmocka_unit_test(test_names_that_are_too_long_take_no_directories),
		cmocka_unit_test(test_many_names_that_are_cut_alike_are_no_more_work),
		cmocka_unit_test(test_random_names_make_a_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

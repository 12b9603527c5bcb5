/* SPDX-License-Identifier: MIT */
/* Finished trees: numbers, listings and look-ups, against a plain list of names. */
#include "trees.h"

#include <string.h>

/* --- random trees against a list of paths --- */

#define PATHS_MAX 80

struct paths {
	char names[PATHS_MAX][64];
	size_t count;
};

/* Whether one of the two is the other, or a folder above it. */
static bool conflict(const char *a, const char *b)
{
	size_t length = strlen(a) < strlen(b) ? strlen(a) : strlen(b);

	return strncmp(a, b, length) == 0 && (a[length] == '\0' || a[length] == '/') &&
	       (b[length] == '\0' || b[length] == '/');
}

static void random_paths(struct paths *paths)
{
	static const char *const components[] = {
		"a",        "b",   "aa", "a!",   "a.",   "a-b",  "A",     " ",
		"#",        "~",   "\\", "\x01", "\x7f", "\xff", "\x80",  "z",
		"\xc3\xa9", "a\n", "0",  "...",  ".x",   "*",    "a\xff", "a\x01",
	};
	size_t wanted = 1 + random_below(PATHS_MAX);

	paths->count = 0;
	for (size_t i = 0; i < wanted; i++) {
		char *name = paths->names[paths->count];
		size_t depth = 1 + random_below(random_chance(30) ? 6 : 2);
		bool taken = false;

		name[0] = '\0';
		for (size_t j = 0; j < depth; j++) {
			strcat(name, j ? "/" : "");
			strcat(name, components[random_below(COUNT(components))]);
		}
		for (size_t j = 0; j < paths->count; j++)
			taken |= conflict(name, paths->names[j]);
		paths->count += !taken;
	}
}

static void build_paths(struct scene *scene, const struct paths *paths)
{
	scene_begin(scene, "t");
	for (size_t i = 0; i < paths->count; i++)
		assert_result(add_slice(scene, paths->names[i], NULL, 0, i), 0);
	build_tree(scene);
}

/* The entries of the folder (a path with its '/', or ""), each once and in order of bytes. */
static size_t list_paths(const struct paths *paths, const char *folder, const char *ret[PATHS_MAX],
			 size_t lengths[PATHS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < paths->count; i++) {
		const char *entry = paths->names[i] + strlen(folder);
		size_t length;
		size_t at = 0;

		if (strncmp(paths->names[i], folder, strlen(folder)) != 0)
			continue;
		length = strcspn(entry, "/");
		for (; at < count; at++) {
			size_t shorter = length < lengths[at] ? length : lengths[at];
			int order = memcmp(entry, ret[at], shorter);

			if (order == 0 && length == lengths[at])
				break;
			if (order < 0 || (order == 0 && length < lengths[at])) {
				memmove(ret + at + 1, ret + at, (count - at) * sizeof(*ret));
				memmove(lengths + at + 1, lengths + at,
					(count - at) * sizeof(*lengths));
				count++;
				ret[at] = entry;
				lengths[at] = length;
				break;
			}
		}
		if (at == count) {
			ret[count] = entry;
			lengths[count++] = length;
		}
	}
	return count;
}

/* Check the listing of one folder and of those below; returns how many nodes there are. */
static size_t check_folder(const struct tree *tree, const struct paths *paths, uint32_t node,
			   const char *folder)
{
	const char *entries[PATHS_MAX];
	size_t lengths[PATHS_MAX];
	size_t count = list_paths(paths, folder, entries, lengths);
	size_t nodes = 1;
	uint32_t first = 0;
	struct tree_item item;

	assert_int_equal(tree_kind(tree, node), TREE_DIRECTORY);
	assert_null(tree_slice(tree, node));
	assert_false(tree_item(tree, node, &item));
	for (size_t i = 0; i < count; i++) {
		char name[TREE_COMPONENT_MAX + 1];
		char path[80];
		uint32_t entry = tree_entry(tree, node, i, name);

		assert_int_equal(strlen(name), lengths[i]);
		assert_memory_equal(name, entries[i], lengths[i]);
		assert_int_equal(tree_lookup(tree, node, name), entry);
		assert_int_equal(tree_parent(tree, entry), node);
		first = i == 0 ? entry : first;
		assert_int_equal(entry, first + i); /* in a row */
		if (tree_kind(tree, entry) != TREE_DIRECTORY) {
			nodes++;
			continue;
		}
		snprintf(path, sizeof(path), "%s%s/", folder, name);
		nodes += check_folder(tree, paths, entry, path);
	}
	assert_int_equal(tree_entry(tree, node, count, (char[TREE_COMPONENT_MAX + 1]){ 0 }), 0);
	return nodes;
}

static void random_trees_agree_with_their_list_of_names(void **state)
{
	struct paths *paths = malloc(sizeof(*paths));
	struct scene scene;

	assert_non_null(paths);
	random_begin();
	for (int i = 0; i < 2000; i++) {
		random_paths(paths);
		build_paths(&scene, paths);
		assert_int_equal(check_folder(scene.tree, paths, TREE_ROOT, ""),
				 tree_node_count(scene.tree));
		for (size_t j = 0; j < paths->count; j++) {
			struct tree_item entry = tree_item_at(scene.tree, j);

			assert_string_equal(entry.name, paths->names[j]);
			uint32_t node = find_path(scene.tree, paths->names[j]);

			assert_ptr_equal(tree_slice(scene.tree, node), entry.slice);
			assert_true(tree_item(scene.tree, node, &entry));
			assert_string_equal(entry.name, paths->names[j]);
			assert_int_equal(entry.slice->extents[0].length, j);
		}
		scene_end(&scene);
	}
	free(paths);
}

/* Every directory's entries follow those of the directories before it. */
static void nodes_are_numbered_level_by_level(void **state)
{
	struct paths *paths = malloc(sizeof(*paths));
	char name[TREE_COMPONENT_MAX + 1];
	struct scene scene;

	assert_non_null(paths);
	random_begin();
	for (int i = 0; i < 500; i++) {
		uint32_t next = TREE_ROOT + 1;

		random_paths(paths);
		build_paths(&scene, paths);
		assert_int_equal(tree_parent(scene.tree, TREE_ROOT), TREE_ROOT);
		for (uint32_t node = TREE_ROOT; node <= tree_node_count(scene.tree); node++)
			for (uint64_t j = 0; tree_entry(scene.tree, node, j, name) != 0; j++)
				assert_int_equal(tree_entry(scene.tree, node, j, name), next++);
		assert_int_equal(next, tree_node_count(scene.tree) + 1);
		scene_end(&scene);
	}
	free(paths);
}

static void numbers_do_not_depend_on_the_order_of_the_table(void **state)
{
	struct paths *paths = malloc(sizeof(*paths));
	struct paths *shuffled = malloc(sizeof(*shuffled));
	struct scene first;
	struct scene second;

	assert_non_null(paths);
	assert_non_null(shuffled);
	random_begin();
	for (int i = 0; i < 500; i++) {
		random_paths(paths);
		*shuffled = *paths;
		for (size_t j = shuffled->count; j > 1; j--) {
			size_t k = random_below(j);
			char swap[sizeof(shuffled->names[0])];

			memcpy(swap, shuffled->names[j - 1], sizeof(swap));
			memcpy(shuffled->names[j - 1], shuffled->names[k], sizeof(swap));
			memcpy(shuffled->names[k], swap, sizeof(swap));
		}
		build_paths(&first, paths);
		build_paths(&second, shuffled);
		assert_int_equal(tree_node_count(first.tree), tree_node_count(second.tree));
		for (size_t j = 0; j < paths->count; j++)
			assert_int_equal(find_path(first.tree, paths->names[j]),
					 find_path(second.tree, paths->names[j]));
		scene_end(&first);
		scene_end(&second);
	}
	free(paths);
	free(shuffled);
}

/* --- look-ups --- */

static void names_that_are_not_there_are_not_found(void **state)
{
	struct scene scene;
	uint32_t folder;

	scene_begin(&scene, "t");
	add_slice(&scene, "dir/file", NULL, 0, 1);
	add_slice(&scene, "file", NULL, 0, 1);
	build_tree(&scene);
	folder = tree_lookup(scene.tree, TREE_ROOT, "dir");
	assert_int_equal(tree_kind(scene.tree, folder), TREE_DIRECTORY);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, ""), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "."), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, ".."), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "fil"), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "files"), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "File"), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "dir/file"), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "\xff"), 0);
	assert_int_not_equal(tree_lookup(scene.tree, folder, "file"), 0);
	scene_end(&scene);
}

static void file_has_no_entries(void **state)
{
	char name[TREE_COMPONENT_MAX + 1] = "untouched";
	struct scene scene;
	uint32_t file;

	scene_begin(&scene, "t");
	add_slice(&scene, "file", NULL, 0, 1);
	build_tree(&scene);
	file = tree_lookup(scene.tree, TREE_ROOT, "file");
	assert_int_equal(tree_lookup(scene.tree, file, "file"), 0);
	assert_int_equal(tree_entry(scene.tree, file, 0, name), 0);
	assert_int_equal(tree_entry(scene.tree, TREE_ROOT, 1, name), 0);
	assert_int_equal(tree_entry(scene.tree, TREE_ROOT, UINT64_MAX, name), 0);
	/* 2^32 must not come round to the first again. */
	assert_int_equal(tree_entry(scene.tree, TREE_ROOT, 1ULL << 32, name), 0);
	assert_string_equal(name, "untouched");
	scene_end(&scene);
}

static void listing_resumes_at_any_entry(void **state)
{
	char wanted[TREE_COMPONENT_MAX + 1];
	char name[TREE_COMPONENT_MAX + 1];
	struct scene scene;

	random_begin();
	scene_begin(&scene, "t");
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		add_slice(&scene, name, NULL, 0, 1);
	}
	build_tree(&scene);
	for (int i = 0; i < 1000; i++) {
		uint64_t index = random_below(1000);
		uint32_t node = tree_entry(scene.tree, TREE_ROOT, index, name);

		assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, name), node);
		if (index > 0) {
			assert_int_equal(tree_entry(scene.tree, TREE_ROOT, index - 1, wanted),
					 node - 1);
			assert_true(strcmp(wanted, name) < 0);
		}
	}
	scene_end(&scene);
}

#define MANY 100000U

/* 7919 is coprime to MANY: every number comes once, far from sorted. */
static void make_name(uint32_t i, char text[32])
{
	uint32_t number = (uint64_t)i * 7919 % MANY;

	snprintf(text, 32, "d%u/file%u", number % 10, number);
}

static void every_one_of_100000_names_is_found(void **state)
{
	struct scene scene;
	char name[32];

	scene_begin(&scene, "t");
	for (uint32_t i = 0; i < MANY; i++) {
		make_name(i, name);
		assert_result(add_slice(&scene, name, NULL, 0, i), 0);
	}
	build_tree(&scene);
	assert_int_equal(tree_node_count(scene.tree), 1 + 10 + MANY);
	assert_int_equal(tree_item_count(scene.tree), MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		make_name(i, name);
		assert_int_equal(find_slice(scene.tree, name)->extents[0].length, i);
		strcat(name, "x");
		assert_int_equal(find_path(scene.tree, name), 0);
	}
	scene_end(&scene);
}

static void deepest_path_is_reached(void **state)
{
	char path[TREE_PATH_MAX + 1];
	struct scene scene;
	uint32_t node;

	for (size_t i = 0; i < TREE_PATH_MAX; i++)
		path[i] = i % 2 ? '/' : 'a' + i / 2 % 26;
	path[TREE_PATH_MAX] = '\0';
	scene_begin(&scene, "t");
	assert_result(add_slice(&scene, path, NULL, 0, 1), 0);
	path[TREE_PATH_MAX - 1] = '!';
	assert_result(add_slice(&scene, path, NULL, 0, 2), 0);
	build_tree(&scene);
	assert_int_equal(tree_node_count(scene.tree), TREE_PATH_MAX / 2 + 1 + 2);
	node = find_path(scene.tree, path);
	assert_int_equal(tree_slice(scene.tree, node)->extents[0].length, 2);
	for (size_t i = 0; i < TREE_PATH_MAX / 2 + 1; i++)
		node = tree_parent(scene.tree, node);
	assert_int_equal(node, TREE_ROOT);
	scene_end(&scene);
}

static void longest_component_is_listed_whole(void **state)
{
	char component[TREE_COMPONENT_MAX + 1];
	char name[TREE_COMPONENT_MAX + 1];
	struct scene scene;
	uint32_t node;

	memset(component, 0xff, TREE_COMPONENT_MAX);
	component[TREE_COMPONENT_MAX] = '\0';
	scene_begin(&scene, "t");
	add_slice(&scene, component, NULL, 0, 1);
	build_tree(&scene);
	node = tree_entry(scene.tree, TREE_ROOT, 0, name);
	assert_string_equal(name, component);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, component), node);
	component[TREE_COMPONENT_MAX - 1] = '\0';
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, component), 0);
	scene_end(&scene);
}

static void tree_without_slices_has_a_root(void **state)
{
	char name[TREE_COMPONENT_MAX + 1];
	struct scene scene;

	scene_begin(&scene, "t");
	build_tree(&scene);
	assert_int_equal(tree_node_count(scene.tree), 1);
	assert_int_equal(tree_kind(scene.tree, TREE_ROOT), TREE_DIRECTORY);
	assert_int_equal(tree_entry(scene.tree, TREE_ROOT, 0, name), 0);
	assert_int_equal(tree_lookup(scene.tree, TREE_ROOT, "a"), 0);
	assert_int_equal(tree_total_size(scene.tree), 0);
	scene_end(&scene);
	tree_free(NULL);
	tree_builder_free(NULL);
}

/* --- what went in --- */

static void images_are_kept_in_the_order_of_the_table(void **state)
{
	struct scene scene;

	file_fill("first", 1000);
	file_fill("second", 1000);
	scene_begin(&scene, "t");
	add_image(&scene, "z", "first", IMAGE_ACCESS_RW);
	add_image(&scene, "a", "second", IMAGE_ACCESS_RO);
	add_slice(&scene, "x", "a", 0, 10);
	build_tree(&scene);
	assert_int_equal(tree_image_count(scene.tree), 2);
	assert_string_equal(tree_image_at(scene.tree, 0).name, "z");
	assert_string_equal(tree_image_at(scene.tree, 0).path, "first");
	assert_int_equal(tree_image_at(scene.tree, 0).access, IMAGE_ACCESS_RW);
	assert_string_equal(tree_image_at(scene.tree, 1).name, "a");
	assert_int_equal(tree_image_at(scene.tree, 1).access, IMAGE_ACCESS_RO);
	assert_int_equal(tree_image_index(scene.tree, tree_image_at(scene.tree, 1).image), 1);
	assert_ptr_equal(find_slice(scene.tree, "x")->extents[0].image,
			 tree_image_at(scene.tree, 1).image);
	scene_end(&scene);
}

static void images_are_found_by_what_was_opened(void **state)
{
	struct scene scene;
	char name[20];
	char path[20];

	scene_begin(&scene, "t");
	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "image%d", i);
		snprintf(path, sizeof(path), "file%d", i % 40);
		file_resize(path, 1000);
		assert_result(add_image(&scene, name, path, IMAGE_ACCESS_RO), 0);
	}
	build_tree(&scene);
	/* Two names of one file are one image, which goes by the first. */
	for (size_t i = 0; i < 60; i++)
		assert_int_equal(tree_image_index(scene.tree, tree_image_at(scene.tree, i).image),
				 i % 40);
	scene_end(&scene);
}

static void total_size_saturates(void **state)
{
	struct scene scene;
	char name[10];

	scene_begin(&scene, "t");
	add_disk(&scene);
	add_slice(&scene, "a", "disk", 0, 1000);
	add_slice(&scene, "b", "disk", 0, EXTENT_TAIL);
	build_tree(&scene);
	assert_int_equal(tree_total_size(scene.tree), 1000 + (1 << 20));
	scene_end(&scene);

	scene_begin(&scene, "t");
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%d", i);
		add_slice(&scene, name, NULL, 0, INT64_MAX);
	}
	build_tree(&scene);
	assert_int_equal(tree_total_size(scene.tree), UINT64_MAX);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_trees_agree_with_their_list_of_names),
		cmocka_unit_test(nodes_are_numbered_level_by_level),
		cmocka_unit_test(numbers_do_not_depend_on_the_order_of_the_table),
		cmocka_unit_test(names_that_are_not_there_are_not_found),
		cmocka_unit_test(file_has_no_entries),
		cmocka_unit_test(listing_resumes_at_any_entry),
		cmocka_unit_test(every_one_of_100000_names_is_found),
		cmocka_unit_test(deepest_path_is_reached),
		cmocka_unit_test(longest_component_is_listed_whole),
		cmocka_unit_test(tree_without_slices_has_a_root),
		scratch_test(images_are_kept_in_the_order_of_the_table),
		scratch_test(images_are_found_by_what_was_opened),
		scratch_test(total_size_saturates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

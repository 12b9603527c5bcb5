/* SPDX-License-Identifier: MIT */
/* Names, separated by NULs: as names of images, which are interned, and as names of slices, which
 * make a tree.
 */
#include "fuzz.h"

#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64

static void check_interning(char **names, size_t count)
{
	struct names interned = { 0 };
	uint32_t numbers[NAMES_MAX];
	uint32_t next = 0;
	uint32_t found;

	for (size_t i = 0; i < count; i++) {
		size_t first = 0;

		while (strcmp(names[first], names[i]) != 0)
			first++;
		check(names_find(&interned, names[i], &found) == (first < i ? 0 : -ENOENT));
		check(names_add(&interned, names[i], &numbers[i]) == (first < i ? -EEXIST : 0));
		check(numbers[i] == (first < i ? numbers[first] : next++));
	}
	check(interned.count == next);
	for (size_t i = 0; i < count; i++) {
		check(names_find(&interned, names[i], &found) == 0 && found == numbers[i]);
		check(strcmp(interned.strings[found], names[i]) == 0);
	}
	names_clear(&interned);
}

/* What the manual says of names, in its own words. */
static bool name_allowed(const char *name)
{
	const char *slash;

	if (strlen(name) > 4095 || strcmp(name, ".mmapfs") == 0 ||
	    strncmp(name, ".mmapfs/", 8) == 0)
		return false;
	do {
		slash = strchrnul(name, '/');
		if (slash == name || slash - name > 255 || (slash - name == 1 && *name == '.') ||
		    (slash - name == 2 && name[0] == '.' && name[1] == '.'))
			return false;
		name = slash + 1;
	} while (*slash);
	return true;
}

/* Whether one is the other, or a folder above it. */
static bool names_conflict(const char *a, const char *b)
{
	size_t a_length = strlen(a);
	size_t b_length = strlen(b);
	size_t length = a_length < b_length ? a_length : b_length;

	return strncmp(a, b, length) == 0 && (a[length] == '\0' || a[length] == '/') &&
	       (b[length] == '\0' || b[length] == '/');
}

/* How many files and folders there are, with the root: every beginning of a name, once. */
static size_t count_nodes(char **names, size_t count)
{
	size_t nodes = 1;

	for (size_t i = 0; i < count; i++)
		for (size_t length = 1; length <= strlen(names[i]); length++) {
			size_t j = 0;

			if (names[i][length] != '/' && names[i][length] != '\0')
				continue;
			while (j < i && (strncmp(names[j], names[i], length) != 0 ||
					 (names[j][length] != '/' && names[j][length] != '\0')))
				j++;
			nodes += i == j;
		}
	return nodes;
}

static void check_tree_of(char **names, size_t count)
{
	struct tree_builder *builder = tree_builder_new("t");
	struct tree_defaults defaults = { 0 };
	struct slice_options options = { 0 };
	struct error error = ERROR_INIT;
	struct tree *tree = NULL;
	size_t good = 0;
	bool conflict = false;
	int result;

	check(builder);
	for (size_t i = 0; i < count; i++) {
		bool allowed = name_allowed(names[i]);

		check(allowed == !name_fault(names[i]));
		tree_builder_set_line(builder, i + 1);
		result = tree_builder_slice(builder, names[i], &options, &error);
		check_messages(result, &error);
		check(allowed == (result == 0));
		error_clear(&error);
		if (!allowed)
			continue;
		check(tree_builder_extent(builder, NULL, 0, i, &error) == 0);
		for (size_t j = 0; j < good; j++)
			conflict |= names_conflict(names[j], names[i]);
		names[good++] = names[i];
	}
	result = tree_build(builder, &defaults, false, &error, &tree);
	check_messages(result, &error);
	check(conflict == (result < 0));
	if (tree) {
		check_tree(tree);
		check(tree_item_count(tree) == good);
		check(tree_node_count(tree) == count_nodes(names, good));
		for (size_t i = 0; i < good; i++)
			check(strcmp(tree_item_at(tree, i).name, names[i]) == 0);
	}
	error_clear(&error);
	tree_free(tree);
	tree_builder_free(builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_text(data, size);
	char *names[NAMES_MAX];
	size_t count = split_text(text, size, names, NAMES_MAX);

	check_interning(names, count);
	check_tree_of(names, count);
	free(text);
	return 0;
}

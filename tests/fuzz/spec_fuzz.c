/* SPDX-License-Identifier: MIT */
/* Slices as the command line has them, separated by NULs; the first string is the command line's
 * IMAGE, "" for none. Without a slice it is the whole image that is mounted.
 */
#include "fuzz.h"

#include "images.h"
#include "mmapfs/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STRINGS_MAX 64

/* disk has several, and the tree says which of them came first. */
static bool has_one_name(const char *image, size_t length)
{
	return length > 0 && strchr("soebh", *image) && !memchr(image, '/', length);
}

/* The name ends at the first '=', and the image at the last '@'. */
static void check_entry(const struct tree *tree, size_t index, const char *spec, const char *image)
{
	struct tree_item slice = tree_item_at(tree, index);
	const char *equals = strchr(spec, '=');
	const char *at = strrchr(spec, '@');
	const struct extent *extent = &slice.slice->extents[0];
	const char *path;

	check(equals && at && equals < at);
	check(strlen(slice.name) == (size_t)(equals - spec));
	check(strncmp(slice.name, spec, equals - spec) == 0);
	check(slice.slice->extent_count == 1);
	check((strchr(at, '+') == NULL) >= slice.slice->tail);

	path = tree_image_at(tree, tree_image_index(tree, extent->image)).path;
	path += strlen(IMAGES_FOLDER "/");
	if (at == equals + 1 && has_one_name(image, strlen(image)))
		check(strcmp(path, image) == 0);
	if (has_one_name(equals + 1, at - equals - 1))
		check(strncmp(path, equals + 1, at - equals - 1) == 0);
}

/* plan's output mounts the same. */
static void check_round_trip(const struct tree *tree)
{
	char *written = table_of(tree);
	char *written_again;
	FILE *in = fmemopen(written, strlen(written), "r");
	struct tree_builder *builder = tree_builder_new("t");
	struct tree_defaults defaults = { 0 };
	struct error error = ERROR_INIT;
	struct tree *again = NULL;

	check(in && builder);
	check(table_read(in, "/elsewhere", NULL, builder, &error) == 0);
	check(tree_build(builder, &defaults, true, &error, &again) == 0);
	written_again = table_of(again);
	check(strcmp(written, written_again) == 0);
	tree_free(again);
	tree_builder_free(builder);
	free(written_again);
	free(written);
	fclose(in);
}

static struct tree *read_specs(char **strings, size_t count)
{
	struct tree_builder *builder = tree_builder_new(NULL);
	struct spec_reader *reader = spec_reader_new(builder, *strings[0] ? strings[0] : NULL);
	struct tree_defaults defaults = { 0 };
	struct error error = ERROR_INIT;
	struct tree *tree = NULL;
	int result = 0;

	check(builder && reader);
	if (count == 1 && *strings[0])
		result = spec_whole_image(reader, &error);
	for (size_t i = 1; i < count && result != -E2BIG; i++)
		result = spec_read(reader, strings[i], &error) ?: result;
	check_messages(result, &error);
	if (result != -E2BIG) {
		result = tree_build(builder, &defaults, true, &error, &tree);
		check_messages(result, &error);
	}
	check((result == 0) == (tree != NULL));
	spec_reader_free(reader);
	error_clear(&error);
	tree_builder_free(builder);
	return tree;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = copy_text(data, size);
	char *strings[STRINGS_MAX];
	size_t count = split_text(text, size, strings, STRINGS_MAX);
	struct tree *tree = read_specs(strings, count);

	if (tree) {
		check_tree(tree);
		check(tree_item_count(tree) == (count > 1 ? count - 1 : *strings[0] != '\0'));
		for (size_t i = 1; i < count; i++)
			check_entry(tree, i - 1, strings[i], strings[0]);
		check_round_trip(tree);
	}
	tree_free(tree);
	free(text);
	return 0;
}

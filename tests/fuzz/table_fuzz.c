/* SPDX-License-Identifier: MIT */
/* A table, as text. It is read and built; what is written of it reads as the same table again.
 *
 * A first line of "#ro" stands for -o ro, "#mode" for -o mode=0600.
 */
#include "fuzz.h"

#include "images.h"
#include "mmapfs/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int read_text(const char *text, size_t size, struct tree_builder *builder,
		     struct error *error)
{
	FILE *in = fmemopen((char *)text, size, "r");
	int result;

	check(in);
	result = table_read(in, IMAGES_FOLDER, NULL, builder, error);
	fclose(in);
	return result;
}

/* Within reach of a fuzzer. */
static const struct tree_limits low_limits = { .images = 12,
					       .nodes = 3000,
					       .extents = 100,
					       .names = 8192,
					       .errors = 100,
					       .lines = 500,
					       .text = 65536 };

/* The tree of a table, or NULL when there is something wrong with it. */
static struct tree *read_tree(const char *text, size_t size, const struct tree_defaults *defaults,
			      const struct tree_limits *limits, bool inspect)
{
	struct tree_builder *builder = tree_builder_new("t");
	struct error error = ERROR_INIT;
	struct tree *tree = NULL;
	int result;

	check(builder);
	*tree_builder_limits(builder) = *limits;
	result = read_text(text, size, builder, &error);
	check_messages(result, &error);
	if (result != -E2BIG) {
		result = tree_build(builder, defaults, inspect, &error, &tree);
		check_messages(result, &error);
	}
	check((result == 0) == (tree != NULL));
	error_clear(&error);
	tree_builder_free(builder);
	return tree;
}

static void check_limits(const struct tree *tree)
{
	size_t extents = 0;

	for (size_t i = 0; i < tree_item_count(tree); i++)
		extents += tree_item_at(tree, i).slice->extent_count;
	check(extents <= low_limits.extents);
	check(tree_image_count(tree) <= low_limits.images);
	check(tree_node_count(tree) <= low_limits.nodes + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tree_limits limits = TREE_LIMITS;
	char *text = copy_text(data, size);
	struct tree_defaults defaults = {
		.uid = 1000,
		.gid = 1001,
		.read_only = strncmp(text, "#ro\n", 4) == 0,
		.has_mode = strncmp(text, "#mode\n", 6) == 0,
		.mode = 0600,
	};
	struct tree *tree;

	images_can_be_mapped(); /* begins anew */
	tree = read_tree(text, size, &defaults, &low_limits, true);
	if (tree) {
		bool inspect = !images_can_be_mapped();
		char *written = table_of(tree);
		struct tree *again =
			read_tree(written, strlen(written), &defaults, &limits, inspect);
		char *written_again;

		check_tree(tree);
		check_limits(tree);
		check(again);
		check_tree(again);
		written_again = table_of(again);
		check(strcmp(written, written_again) == 0);
		free(written_again);
		free(written);
		tree_free(again);
	}
	tree_free(tree);
	free(text);
	return 0;
}

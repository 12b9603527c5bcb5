/* SPDX-License-Identifier: MIT */
/* mmapfs plan: what would be mounted, as a table or as JSON. */
#include "cli.h"

#include "cleanup.h"
#include "mmapfs/layout.h"
#include "session.h"

#include <jansson.h>
#include <string.h>

/* A string of the table as JSON, which knows only UTF-8: other bytes become U+FFFD. */
static json_t *json_text(const char *text)
{
	json_t *string = json_string(text);
	_cleanup_(cleanup_free) char *replaced = NULL;
	char *out;

	if (string)
		return string;
	out = replaced = malloc(strlen(text) * 3 + 1);
	for (; out && *text; text++) {
		if ((unsigned char)*text < 0x80)
			*out++ = *text;
		else
			out = stpcpy(out, "\xef\xbf\xbd");
	}
	if (!out)
		return NULL;
	*out = '\0';
	return json_string(replaced);
}

static json_t *json_extent(const struct tree *tree, const struct extent *extent, uint64_t size)
{
	uint64_t length = extent->length == EXTENT_TAIL ? size - extent->start : extent->length;
	json_t *image =
		extent->image
			? json_text(tree_image_at(tree, tree_image_index(tree, extent->image)).name)
			: json_null();

	return json_pack("{s:o, s:I, s:I}", "image", image, "offset", (json_int_t)extent->offset,
			 "length", (json_int_t)length);
}

static json_t *json_slice(const struct tree *tree, const struct tree_slice *entry)
{
	const struct slice *slice = entry->slice;
	json_t *extents = json_array();
	uint64_t size = 0;

	(void)slice_size(slice, &size);
	for (uint32_t i = 0; i < slice->extent_count; i++)
		json_array_append_new(extents, json_extent(tree, &slice->extents[i], size));
	return json_pack("{s:o, s:s, s:I, s:b, s:b, s:b, s:o}", "name", json_text(entry->name),
			 "access", slice->writable ? "rw" : "ro", "size", (json_int_t)size, "tail",
			 slice->tail, "resize", slice->resize, "alias", slice->alias, "extents",
			 extents);
}

static json_t *json_image(const struct tree_image *image)
{
	uint64_t size = 0;

	(void)image_size(image->image, &size);
	return json_pack("{s:o, s:o, s:s, s:I}", "name", json_text(image->name), "path",
			 json_text(image->path), "access",
			 image->access == IMAGE_ACCESS_RW ? "rw" : "ro", "size", (json_int_t)size);
}

/* One element of an array, on a line of its own; frees it. Elements go out one by one, so that a
 * table of a million slices needs the memory of one.
 */
static int print_element(json_t *element, bool first)
{
	int result;

	fputs(first ? "\n  " : ",\n  ", stdout);
	result = element ? json_dumpf(element, stdout, JSON_PRESERVE_ORDER) : -1;
	json_decref(element);
	return result;
}

static int print_json(const struct tree *tree)
{
	int result = 0;

	fputs("{\"images\": [", stdout);
	for (size_t i = 0; i < tree_image_count(tree); i++) {
		struct tree_image image = tree_image_at(tree, i);

		result |= print_element(json_image(&image), i == 0);
	}
	fputs("\n], \"slices\": [", stdout);
	for (size_t i = 0; i < tree_slice_count(tree); i++) {
		struct tree_slice slice = tree_slice_at(tree, i);

		result |= print_element(json_slice(tree, &slice), i == 0);
	}
	fputs("\n]}\n", stdout);
	return result ? -ENOMEM : 0;
}

/* What libfuse would refuse at the mount is refused here. */
static int check_options(const struct options *options)
{
	struct session_options session_options = {
		.source = "mmapfs",
		.fuse_options = options->fuse_options,
	};
	struct session *session = NULL;
	int status = session_start(&session_options, &session);

	session_free(session);
	return status;
}

int verb_plan(const struct options *options)
{
	_cleanup_(cleanup_tree) struct tree *tree = NULL;
	struct source source;
	int result = check_options(options) ?: draw_check(options) ?: source_choose(options, options->argument_count, &source)
			     ?: source_build(&source, options, true, &tree);

	if (result != 0)
		return result;
	if (options->human || options->map || options->svg)
		result = draw(tree, options);
	if (result != 0)
		return result;
	if (options->json)
		result = print_json(tree);
	else if (!options->human && !options->map && !options->svg)
		result = table_write(tree, stdout);
	if (result == -ENOMEM) {
		complain("%s", strerror(-result));
		return EXIT_FAILED;
	}
	return finish_output();
}

/* SPDX-License-Identifier: MIT */
/* mmapfs plan: what would be mounted, as a table or as JSON. */
#include "cli.h"

#include "cleanup.h"
#include "mmapfs/layout.h"
#include "session.h"

#include <inttypes.h>
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

/* Memory options, where there are any, as a table has them. */
static void add_policy(json_t *object, struct memory_policy policy)
{
	_cleanup_(cleanup_free) char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return;
	policy_write(policy, out);
	if (fclose(out) == 0 && length > 0)
		json_object_set_new(object, "memory", json_text(text + 1));
}

/* What else is said of an item, where it is said. */
static void add_details(json_t *object, const struct tree_item *item)
{
	json_t *attributes = item->attributes ? json_object() : NULL;

	if (item->has_mode)
		json_object_set_new(object, "mode", json_sprintf("%04o", item->slice->mode));
	if (item->has_uid)
		json_object_set_new(object, "uid", json_integer(item->slice->uid));
	if (item->has_gid)
		json_object_set_new(object, "gid", json_integer(item->slice->gid));
	if (item->has_mtime)
		json_object_set_new(object, "mtime", json_integer(item->mtime.tv_sec));
	for (const char *at = item->attributes; at && *at; at += strlen(at) + 1) {
		const char *value = strchr(at, '=');
		char key[TREE_KEY_MAX + 1];

		snprintf(key, sizeof(key), "%.*s", (int)(value - at), at);
		json_object_set_new(attributes, key, json_text(value + 1));
	}
	if (attributes)
		json_object_set_new(object, "attributes", attributes);
}

static json_t *json_slice(const struct tree *tree, const struct tree_item *item)
{
	const struct slice *slice = item->slice;
	json_t *extents = json_array();
	json_t *object;
	uint64_t size = 0;

	(void)slice_size(slice, &size);
	for (uint32_t i = 0; i < slice->extent_count; i++)
		json_array_append_new(extents, json_extent(tree, &slice->extents[i], size));
	object = json_pack("{s:o, s:s, s:I, s:b, s:b, s:b, s:b, s:o}", "name",
			   json_text(item->name), "access", slice->writable ? "rw" : "ro", "size",
			   (json_int_t)size, "tail", slice->tail, "resize", slice->resize, "alias",
			   slice->alias, "outside", item->outside, "extents", extents);
	if (object) {
		add_policy(object, slice->policy);
		add_details(object, item);
	}
	return object;
}

/* A directory, symlink or link. */
static json_t *json_other(const struct tree *tree, const struct tree_item *item)
{
	static const char *const kinds[] = {
		[TREE_DIRECTORY] = "directory",
		[TREE_SYMLINK] = "symlink",
		[TREE_LINK] = "link",
	};
	json_t *object =
		json_pack("{s:o, s:s}", "name", json_text(item->name), "kind", kinds[item->kind]);

	if (object && item->target)
		json_object_set_new(object, "target", json_text(item->target));
	if (object && item->kind != TREE_LINK)
		add_details(object, item);
	return object;
}

static json_t *json_finding(const struct layout_finding *finding)
{
	json_t *left_out = json_array();
	json_t *notes = json_array();

	for (size_t i = 0; i < finding->left_out_count; i++)
		json_array_append_new(left_out,
				      json_pack("{s:o, s:I}", "reason",
						json_text(finding->left_out[i].reason), "count",
						(json_int_t)finding->left_out[i].count));
	for (size_t i = 0; i < finding->note_count; i++)
		json_array_append_new(notes, json_text(finding->notes[i]));
	return json_pack("{s:o, s:o, s:o, s:I, s:o, s:o}", "source", json_text(finding->source),
			 "directory", json_text(finding->directory), "layout",
			 finding->format ? json_text(finding->format) : json_null(), "files",
			 (json_int_t)finding->members, "left_out", left_out, "notes", notes);
}

static json_t *json_image(const struct tree_image *image)
{
	uint64_t size = 0;
	json_t *object;

	(void)image_size(image->image, &size);
	object = json_pack("{s:o, s:o, s:s, s:I}", "name", json_text(image->name), "path",
			   json_text(image->path), "access",
			   image->access == IMAGE_ACCESS_RW ? "rw" : "ro", "size",
			   (json_int_t)size);
	if (object)
		add_policy(object, image->policy);
	return object;
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

/* All items that are slices, or all that are not. */
static int print_items(const struct tree *tree, bool slices)
{
	bool first = true;
	int result = 0;

	for (size_t i = 0; i < tree_item_count(tree); i++) {
		struct tree_item item = tree_item_at(tree, i);

		if ((item.kind == TREE_SLICE) != slices)
			continue;
		result |= print_element(slices ? json_slice(tree, &item) : json_other(tree, &item),
					first);
		first = false;
	}
	return result;
}

static int print_json(const struct tree *tree, const struct layout_report *report)
{
	int result = 0;

	fputs("{\"images\": [", stdout);
	for (size_t i = 0; i < tree_image_count(tree); i++) {
		struct tree_image image = tree_image_at(tree, i);

		result |= print_element(json_image(&image), i == 0);
	}
	fputs("\n], \"slices\": [", stdout);
	result |= print_items(tree, true);
	fputs("\n], \"others\": [", stdout);
	result |= print_items(tree, false);
	fputs("\n], \"layouts\": [", stdout);
	for (size_t i = 0; i < report->count; i++)
		result |= print_element(json_finding(&report->findings[i]), i == 0);
	fputs("\n]}\n", stdout);
	return result ? -ENOMEM : 0;
}

/* What the table, or the picture, does not say by itself. */
static void print_findings(const struct tree *tree, const struct layout_report *report,
			   const char *prefix)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct layout_finding *finding = &report->findings[i];

		if (!finding->format && finding->left_out_count == 0 && finding->note_count == 0 &&
		    tree_item_count(tree) > 0)
			continue;
		printf("%s%s: %s, %zu file%s", prefix, finding->source,
		       finding->format ?: "nothing to show", finding->members,
		       finding->members == 1 ? "" : "s");
		for (size_t j = 0; j < finding->left_out_count; j++)
			printf("%s%" PRIu64 " %s", j == 0 ? "; left out: " : ", ",
			       finding->left_out[j].count, finding->left_out[j].reason);
		putchar('\n');
		for (size_t j = 0; j < finding->note_count; j++)
			printf("%s%s: %s\n", prefix, finding->source, finding->notes[j]);
	}
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

/* Something else than a table or JSON is wanted. */
static bool draws(const struct options *options)
{
	return options->human || options->map || options->svg;
}

int verb_plan(const struct options *options)
{
	_cleanup_(cleanup_tree) struct tree *tree = NULL;
	_cleanup_(layout_report_clear) struct layout_report report = { 0 };
	struct source source;
	int result = check_options(options) ?: draw_check(options)
			     ?: source_choose(options, options->argument_count, &source)
			     ?: source_build(&source, options, true, &report, &tree);

	if (result == 0 && draws(options))
		result = draw(tree, options);
	if (result != 0)
		return result;
	if (options->json) {
		result = print_json(tree, &report);
	} else if (!draws(options)) {
		result = table_write(tree, stdout);
		print_findings(tree, &report, "# ");
	} else if (options->human || options->map) {
		print_findings(tree, &report, "");
	}
	if (result == -ENOMEM) {
		complain("%s", strerror(-result));
		return EXIT_FAILED;
	}
	return finish_output();
}

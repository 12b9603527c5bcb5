/* SPDX-License-Identifier: MIT */
/* From the command line's images, slices and tables to a tree. */
#include "cli.h"

#include "cleanup.h"
#include "mmapfs/layout.h"
#include "session.h"

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

static void cleanup_reader(struct spec_reader **reader)
{
	spec_reader_free(*reader);
}

int source_choose(const struct options *options, int argument_count, struct source *ret)
{
	struct source source = { .table = options->table };

	if (argument_count > 1) {
		complain("unexpected argument '%s'; see 'mmapfs --help'", options->arguments[1]);
		return EXIT_USAGE;
	}
	if (argument_count == 1 && options->source_is_table && !source.table)
		source.table = options->arguments[0];
	else if (argument_count == 1)
		source.image = options->arguments[0];
	if (source.table && (source.image || options->slice_count > 0)) {
		complain("a table comes without an image or slices beside it");
		return EXIT_USAGE;
	}
	if (!source.table && !source.image && options->slice_count == 0) {
		if (options->argument_count > argument_count) /* IMAGE alone is taken for it */
			complain("nothing to mount on '%s': give IMAGE, -s SLICE or --table FILE",
				 options->arguments[argument_count]);
		else
			complain("nothing to mount: give IMAGE, -s SLICE or --table FILE");
		return EXIT_USAGE;
	}
	*ret = source;
	return 0;
}

/* The folder that a table's relative paths start from. The caller's. */
static char *folder_of(const char *table)
{
	_cleanup_(cleanup_free) char *path = realpath(table, NULL);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash) /* a pipe, as in --table <(...): it lies nowhere */
		return realpath(".", NULL);
	*(slash == path ? slash + 1 : slash) = '\0';
	return steal_pointer(&path);
}

static int read_file(const char *table, const struct layout_settings *layouts,
		     struct tree_builder *builder, struct error *error)
{
	_cleanup_(cleanup_fclose) FILE *file = fopen(table, "re");
	_cleanup_(cleanup_free) char *folder = file ? folder_of(table) : NULL;

	if (folder)
		return table_read(file, folder, layouts, builder, error);
	error_add(error, NULL, "%s: %s", table, strerror(errno));
	return -EINVAL;
}

static int read_table(const char *table, const struct layout_settings *layouts,
		      struct tree_builder *builder, struct error *error)
{
	_cleanup_(cleanup_free) char *folder = NULL;

	if (strcmp(table, "-") != 0)
		return read_file(table, layouts, builder, error);
	folder = realpath(".", NULL);
	return folder ? table_read(stdin, folder, layouts, builder, error) : -errno;
}

/* Who gives what only one layout takes means that one. */
static const char *layout_of(const struct options *options)
{
	if (options->layout)
		return strcmp(options->layout, "auto") == 0 ? NULL : options->layout;
	return options->mtdparts ? "mtdparts" : options->chunk ? "chunk" : NULL;
}

/* The members of the image, and the image itself where it has none or is asked for. */
static int read_members(const char *image, const struct options *options,
			const struct layout_settings *layouts, struct spec_reader *reader,
			struct tree_builder *builder, struct error *error)
{
	struct layout_request request = {
		.directory = "",
		.type = layout_of(options),
		.mtdparts = options->mtdparts,
		.chunk = options->chunk,
		.sector_size = options->sector_size,
		.depth = options->depth,
		.gaps = options->gaps,
	};
	int result;

	if (options->layout && strcmp(options->layout, "none") == 0)
		return spec_whole_image(reader, error);
	if (options->whole) {
		const char *slash = strrchr(image, '/');

		request.taken = slash ? slash + 1 : image;
		result = spec_whole_image(reader, error);
		if (result < 0)
			return result;
	}
	result = spec_image(reader, error, &request.source)
			 ?: layout_expand(builder, &request, layouts, error);
	if (result == -ENOENT)
		result = options->whole ? 0 : spec_whole_image(reader, error);
	return result;
}

static int read_slices(const struct source *source, const struct options *options,
		       const struct layout_settings *layouts, struct tree_builder *builder,
		       struct error *error)
{
	_cleanup_(cleanup_reader) struct spec_reader *reader =
		spec_reader_new(builder, source->image);
	int result = reader ? 0 : -ENOMEM;

	if (reader && options->slice_count == 0)
		return read_members(source->image, options, layouts, reader, builder, error);
	for (size_t i = 0; reader && i < options->slice_count; i++) {
		int one = spec_read(reader, options->slices[i], error);

		if (one < 0 && one != -EINVAL)
			return one;
		if (one < 0)
			result = one;
	}
	return result;
}

/* As many images as there may be take as many descriptors, more than the usual soft limit
 * leaves.
 */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The option that only the layout of its name takes. */
static int check_own(const struct options *options, const char *name, bool given,
		     struct error *error)
{
	const char *layout = layout_of(options);

	if (!given || (layout && strcmp(layout, name) == 0))
		return 0;
	error_add(error, NULL, "option '%s' is for layout=%s", name, name);
	return -EINVAL;
}

/* Whether what is asked for makes sense before any image is looked at. */
static int check_layout(const struct source *source, const struct options *options,
			struct error *error)
{
	const char *layout = options->layout;
	bool any = layout || options->mtdparts || options->chunk || options->sector_size ||
		   options->depth || options->gaps || options->whole;

	if (any && (!source->image || options->slice_count > 0)) {
		error_add(error, NULL, "a layout is for an IMAGE alone; see mmapfs-layouts(7)");
		return -EINVAL;
	}
	if (layout && strcmp(layout, "none") != 0 && strcmp(layout, "auto") != 0 &&
	    !layout_exists(layout)) {
		error_add(error, NULL,
			  "option 'layout': there is no layout '%s'; see mmapfs-layouts(7)",
			  layout);
		return -EINVAL;
	}
	return check_own(options, "chunk", options->chunk > 0, error)
		       ?: check_own(options, "mtdparts", options->mtdparts, error);
}

static int build(const struct source *source, const struct options *options, bool inspect,
		 const struct layout_settings *layouts, struct error *error, struct tree **ret)
{
	const char *file = source->table && strcmp(source->table, "-") == 0 ? "standard input"
									    : source->table;
	_cleanup_(cleanup_builder) struct tree_builder *builder = tree_builder_new(file);
	struct tree_defaults defaults = {
		.uid = options->uid,
		.gid = options->gid,
		.has_uid = options->has_uid,
		.has_gid = options->has_gid,
		.lenient = options->lenient,
		.has_mode = options->has_mode,
		.mode = options->mode,
		.read_only = options->read_only,
		.no_lock = options->no_lock,
		.policy = options->policy,
		.writeback = options->writeback,
	};
	int result;

	if (!builder)
		return -ENOMEM;
	raise_descriptor_limit();
	result = source->table ? read_table(source->table, layouts, builder, error)
			       : read_slices(source, options, layouts, builder, error);
	if (result < 0 && (result != -EINVAL || (!source->table && options->slice_count == 0)))
		return result;
	/* Even after a bad line: what is wrong with the good ones is worth saying at once. */
	return tree_build(builder, &defaults, inspect, error, ret);
}

/* What whoever mounts should know, unless a plan says it. */
static void print_notes(const struct layout_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		for (size_t j = 0; j < report->findings[i].note_count; j++)
			complain("%s: %s", report->findings[i].source,
				 report->findings[i].notes[j]);
}

/* A mount that comes out empty is a riddle to who has made it. */
static void print_nothing_shown(const struct layout_report *report, const struct tree *tree)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct layout_finding *finding = &report->findings[i];

		if (finding->members == 0 && finding->left_out_count > 0)
			complain("%s: nothing in it can be shown as it lies there: %" PRIu64
				 " %s%s",
				 finding->source, finding->left_out[0].count,
				 finding->left_out[0].reason,
				 finding->left_out_count > 1 ? ", and others" : "");
		else if (tree_item_count(tree) == 0)
			complain("%s: nothing is found in it", finding->source);
	}
}

int source_build(const struct source *source, const struct options *options, bool inspect,
		 struct layout_report *report, struct tree **ret)
{
	struct layout_report own_report = { 0 };
	struct progress progress = progress_begin();
	const struct layout_settings layouts = {
		.report = report ?: &own_report,
		.progress = progress_show,
		.context = &progress,
	};
	struct error error = ERROR_INIT;
	int result = check_layout(source, options, &error);
	int status = result < 0 ? EXIT_USAGE : EXIT_FAILED;

	if (result == 0)
		result = build(source, options, inspect, &layouts, &error, ret);
	progress_end(&progress);
	if (result == 0) {
		print_notes(&own_report);
		print_nothing_shown(&own_report, *ret);
	}
	layout_report_clear(&own_report);
	if (result == 0)
		return 0;
	if (result != -EINVAL && result != -E2BIG)
		error_add(&error, NULL, "%s", strerror(-result));
	complain_all(&error);
	return status;
}

int session_start(const struct session_options *options, struct session **ret)
{
	struct error error = ERROR_INIT;
	int result = session_new(options, &error, ret);

	if (result == 0)
		return 0;
	if (result != -EINVAL)
		error_add(&error, NULL, "%s", strerror(-result));
	complain_all(&error);
	return EXIT_USAGE;
}

/* SPDX-License-Identifier: MIT */
/* Reading table files: mmapfs.table(5).
 *
 * One entry a line, split at blanks into columns that are unescaped in place. A line is checked as
 * far as it goes alone; the builder checks it against the others.
 */
#include "mmapfs/layout.h"

#include "cleanup.h"
#include "column.h"

#include <string.h>

#define COLUMNS_MAX 32

/* Of a line that is too long already: what has no end by then is no table. */
#define LINE_PATIENCE (16 << 20)

/* What the extent lines that come belong to. */
enum context {
	CONTEXT_NONE,
	CONTEXT_SLICE,
	CONTEXT_BROKEN, /* a slice that was refused: its extents are passed over */
};

struct reader {
	FILE *in;
	const char *folder;
	const struct layout_settings *layouts; /* NULL: there are to be none */
	struct tree_builder *builder;
	struct error *error;
	struct location at;
	const struct tree_limits *limits;
	size_t text; /* bytes so far */
	enum context context;
	char line[TABLE_LINE_MAX];
	char *columns[COLUMNS_MAX];
	int count;
};

#define fail(reader, ...)                                                                          \
	({                                                                                         \
		error_add((reader)->error, &(reader)->at, __VA_ARGS__);                            \
		-EINVAL;                                                                           \
	})

/* Report a limit that is passed. */
#define give_up(reader, ...)                                                                       \
	({                                                                                         \
		(void)fail(reader, __VA_ARGS__);                                                   \
		-E2BIG;                                                                            \
	})

/* 1 and the next line in reader->line; 0 at the end; -EINVAL for a line that is none. */
static int read_line(struct reader *reader)
{
	size_t length = 0;
	bool nul = false;
	int c = getc_unlocked(reader->in);

	if (c == EOF)
		return 0;
	if (reader->at.line++ == reader->limits->lines)
		return give_up(reader, "more than %zu lines", reader->limits->lines);
	for (; c != EOF && c != '\n'; c = getc_unlocked(reader->in)) {
		nul |= c == '\0';
		if (length < sizeof(reader->line))
			reader->line[length] = c;
		if (length++ == LINE_PATIENCE)
			return give_up(reader, "line is longer than %d bytes", LINE_PATIENCE);
	}
	reader->text += length + 1;
	if (reader->text > reader->limits->text)
		return give_up(reader, "more than %zu bytes", reader->limits->text);
	if (length >= sizeof(reader->line))
		return fail(reader, "line is longer than %d bytes", TABLE_LINE_MAX - 1);
	if (nul)
		return fail(reader, "line holds a NUL byte");
	reader->line[length] = '\0';
	return 1;
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* \ooo becomes the byte, in place. -EINVAL for \000. */
static int unescape(char *text)
{
	char *out = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && is_octal(text[2]) &&
		    is_octal(text[3])) {
			*out = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				      (text[3] - '0'));
			if (*out == '\0')
				return -EINVAL;
			out++;
			text += 4;
		} else {
			*out++ = *text++;
		}
	}
	*out = '\0';
	return 0;
}

static int split_columns(struct reader *reader)
{
	static const char blanks[] = " \t\r\v\f";
	char *at = reader->line;

	reader->count = 0;
	for (;;) {
		at += strspn(at, blanks);
		if (*at == '\0' || *at == '#')
			return 0;
		if (reader->count == COLUMNS_MAX)
			return fail(reader, "too many columns");
		reader->columns[reader->count++] = at;
		at += strcspn(at, blanks);
		if (*at)
			*at++ = '\0';
		if (unescape(reader->columns[reader->count - 1]) < 0)
			return fail(reader, "column holds \\000");
	}
}

static int add_image(struct reader *reader, const struct image_options *options)
{
	_cleanup_(cleanup_free) char *path = NULL;
	const char *name = reader->columns[1];

	if (strcmp(reader->columns[2], "memory") == 0) {
		if (!options->has_size)
			return fail(reader, "image '%s': memory wants size=SIZE", name);
		return tree_builder_memory(reader->builder, name, options->size, options->access,
					   reader->error);
	}
	if (options->has_size)
		return fail(reader, "image '%s': size is for images in memory", name);
	path = column_path(reader->folder, reader->columns[2]);
	if (!path)
		return -ENOMEM;
	return tree_builder_image(reader->builder, name, path, options->access, reader->error);
}

static int read_image(struct reader *reader)
{
	struct image_options options = { 0 };
	int result = 0;

	reader->context = CONTEXT_NONE;
	if (reader->count < 3 || reader->count > 4)
		return fail(reader, "image wants NAME PATH|memory [OPTIONS]");
	if (reader->count == 4)
		result = column_image_options(reader->columns[3], &reader->at, reader->error,
					      &options);
	result = result ?: add_image(reader, &options);
	if (result == 0)
		tree_builder_policy(reader->builder, options.policy);
	return result;
}

/* IMAGE OFFSET LENGTH, beginning at the given column. */
static int read_extent_columns(struct reader *reader, int column)
{
	const char *image = reader->columns[column];
	const char *length_text = reader->columns[column + 2];
	uint64_t offset = 0;
	uint64_t length = EXTENT_TAIL;
	int result;

	result = column_size(reader->columns[column + 1], "offset", &reader->at, reader->error,
			     &offset);
	if (strcmp(length_text, "-") != 0)
		result = column_size(length_text, "length", &reader->at, reader->error, &length)
				 ?: result;
	if (reader->context == CONTEXT_BROKEN)
		return result;
	if (result < 0) {
		tree_builder_extent_unread(reader->builder);
		return result;
	}
	return tree_builder_extent(reader->builder, strcmp(image, "-") == 0 ? NULL : image, offset,
				   length, reader->error);
}

/* KEY=VALUE, in the columns behind a slice's options. */
static int read_attributes(struct reader *reader, int column)
{
	int result = 0;

	for (int i = column; i < reader->count; i++) {
		char *value = strchr(reader->columns[i], '=');
		int one;

		if (!value) {
			result = fail(reader, "attribute '%.80s' is not KEY=VALUE",
				      reader->columns[i]);
			continue;
		}
		*value++ = '\0';
		one = tree_builder_attribute(reader->builder, reader->columns[i], value,
					     reader->error);
		if (one < 0 && one != -EINVAL)
			return one;
		result = one ?: result;
	}
	return result;
}

static int read_slice(struct reader *reader)
{
	struct slice_options options = { 0 };
	int result = 0;

	reader->context = CONTEXT_BROKEN;
	if (reader->count < 5)
		return fail(reader,
			    "slice wants NAME IMAGE OFFSET LENGTH|- [OPTIONS [KEY=VALUE...]]");
	if (reader->count >= 6)
		result = column_slice_options(reader->columns[5], &reader->at, reader->error,
					      &options);
	if (result == 0)
		result = tree_builder_slice(reader->builder, reader->columns[1], &options,
					    reader->error);
	if (result == 0) {
		reader->context = CONTEXT_SLICE;
		result = read_attributes(reader, 6);
		if (result < 0 && result != -EINVAL)
			return result;
	}
	return read_extent_columns(reader, 2) ?: result;
}

static int read_extent(struct reader *reader)
{
	if (reader->count != 4)
		return fail(reader, "extent wants IMAGE OFFSET LENGTH|-");
	if (reader->context == CONTEXT_NONE)
		return fail(reader, "extent without a slice before it");
	return read_extent_columns(reader, 1);
}

/* The options of a directory or symlink, in the given column if there is one. */
static int read_owner(struct reader *reader, int column, struct slice_options *ret)
{
	if (reader->count <= column)
		return 0;
	if (column_slice_options(reader->columns[column], &reader->at, reader->error, ret) < 0)
		return -EINVAL;
	if (ret->resize || ret->access != IMAGE_ACCESS_AUTO)
		return fail(reader, "ro, rw and resize are for slices");
	if (ret->policy.said)
		return fail(reader, "memory options are for images and slices");
	return 0;
}

static int read_directory(struct reader *reader)
{
	struct slice_options options = { 0 };

	reader->context = CONTEXT_NONE;
	if (reader->count < 2 || reader->count > 3)
		return fail(reader, "directory wants NAME [OPTIONS]");
	return read_owner(reader, 2, &options)
		       ?: tree_builder_directory(reader->builder, reader->columns[1], &options,
						 reader->error);
}

static int read_symlink(struct reader *reader)
{
	struct slice_options options = { 0 };

	reader->context = CONTEXT_NONE;
	if (reader->count < 3 || reader->count > 4)
		return fail(reader, "symlink wants NAME TARGET [OPTIONS]");
	return read_owner(reader, 3, &options)
		       ?: tree_builder_symlink(reader->builder, reader->columns[1],
					       reader->columns[2], &options, reader->error);
}

static int read_link(struct reader *reader)
{
	reader->context = CONTEXT_NONE;
	if (reader->count != 3)
		return fail(reader, "link wants NAME SLICE");
	return tree_builder_link(reader->builder, reader->columns[1], reader->columns[2],
				 reader->error);
}

/* layout DIRECTORY IMAGE|SLICE [KEY=VALUE...] */
static int read_layout(struct reader *reader)
{
	struct layout_request request = { 0 };
	int result = 0;

	reader->context = CONTEXT_NONE;
	if (reader->count < 3)
		return fail(reader, "layout wants DIRECTORY IMAGE|SLICE [KEY=VALUE...]");
	if (!reader->layouts)
		return fail(reader, "layout lines have no place here");
	request.directory = strcmp(reader->columns[1], "/") == 0 ? "" : reader->columns[1];
	request.source = reader->columns[2];
	request.at = &reader->at;
	for (int i = 3; i < reader->count; i++)
		result = column_layout_option(reader->columns[i], &reader->at, reader->error,
					      &request)
				 ?: result;
	result = result ?: layout_expand(reader->builder, &request, reader->layouts, reader->error);
	if (result == -ENOENT)
		return fail(reader, "layout of '%s': none is recognised", request.source);
	return result;
}

static int read_entry(struct reader *reader)
{
	static const struct {
		const char *keyword;
		int (*read)(struct reader *reader);
	} entries[] = {
		{ "slice", read_slice },     { "extent", read_extent },
		{ "image", read_image },     { "directory", read_directory },
		{ "symlink", read_symlink }, { "link", read_link },
		{ "layout", read_layout },
	};

	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		if (strcmp(reader->columns[0], entries[i].keyword) == 0)
			return entries[i].read(reader);
	return fail(reader, "unknown entry '%.80s'", reader->columns[0]);
}

int table_read(FILE *in, const char *folder, const struct layout_settings *layouts,
	       struct tree_builder *builder, struct error *error)
{
	_cleanup_(cleanup_free) struct reader *reader = calloc(1, sizeof(*reader));
	int result = 0;
	int more;

	if (!reader)
		return -ENOMEM;
	reader->in = in;
	reader->folder = folder;
	reader->layouts = layouts;
	reader->builder = builder;
	reader->error = error;
	reader->at.file = tree_builder_file(builder);
	reader->limits = tree_builder_limits(builder);
	while ((more = read_line(reader)) != 0) {
		int entry = more < 0 ? more : split_columns(reader);

		tree_builder_set_line(builder, reader->at.line);
		if (entry == 0 && reader->count > 0)
			entry = read_entry(reader);
		if (entry < 0 && entry != -EINVAL)
			return entry;
		if (entry < 0)
			result = entry;
		if (error->count + error->omitted >= reader->limits->errors)
			return -E2BIG;
	}
	if (ferror(in)) {
		reader->at.line = 0;
		return fail(reader, "cannot be read: %s", strerror(errno));
	}
	return result;
}

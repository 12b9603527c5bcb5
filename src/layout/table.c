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

#define COLUMNS_MAX 8

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

static int read_image(struct reader *reader)
{
	_cleanup_(cleanup_free) char *path = NULL;
	enum image_access access = IMAGE_ACCESS_AUTO;
	int result;

	reader->context = CONTEXT_NONE;
	if (reader->count < 3 || reader->count > 4)
		return fail(reader, "image wants NAME PATH [ro|rw]");
	if (reader->count == 4) {
		result = column_access(reader->columns[3], &reader->at, reader->error, &access);
		if (result < 0)
			return result;
	}
	path = column_path(reader->folder, reader->columns[2]);
	if (!path)
		return -ENOMEM;
	return tree_builder_image(reader->builder, reader->columns[1], path, access, reader->error);
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

static int read_slice(struct reader *reader)
{
	struct slice_options options = { 0 };
	int result = 0;

	reader->context = CONTEXT_BROKEN;
	if (reader->count < 5 || reader->count > 6)
		return fail(reader, "slice wants NAME IMAGE OFFSET LENGTH|- [OPTIONS]");
	if (reader->count == 6)
		result = column_slice_options(reader->columns[5], &reader->at, reader->error,
					      &options);
	if (result == 0)
		result = tree_builder_slice(reader->builder, reader->columns[1], &options,
					    reader->error);
	if (result == 0)
		reader->context = CONTEXT_SLICE;
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

static int read_entry(struct reader *reader)
{
	const char *keyword = reader->columns[0];

	if (strcmp(keyword, "image") == 0)
		return read_image(reader);
	if (strcmp(keyword, "slice") == 0)
		return read_slice(reader);
	if (strcmp(keyword, "extent") == 0)
		return read_extent(reader);
	if (strcmp(keyword, "layout") == 0)
		return fail(reader, "layout lines are not supported by this version");
	return fail(reader, "unknown entry '%.80s'", keyword);
}

int table_read(FILE *in, const char *folder, struct tree_builder *builder, struct error *error)
{
	_cleanup_(cleanup_free) struct reader *reader = calloc(1, sizeof(*reader));
	int result = 0;
	int more;

	if (!reader)
		return -ENOMEM;
	reader->in = in;
	reader->folder = folder;
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

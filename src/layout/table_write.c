/* SPDX-License-Identifier: MIT */
/* Writing a tree as the table that it came from. */
#include "mmapfs/layout.h"

#include "overflow.h"
#include "size.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Columns are as wide as their widest entry, up to here. */
#define COLUMN_WIDTH_MAX 40

#define NSEC_PER_SEC 1000000000

static const char *const kind_words[] = {
	[TREE_DIRECTORY] = "directory",
	[TREE_SLICE] = "slice",
	[TREE_SYMLINK] = "symlink",
	[TREE_LINK] = "link",
};

static bool must_escape(char c)
{
	return (unsigned char)c <= ' ' || c == '#' || c == '\\' || c == 0x7f;
}

/* How many bytes of text to escape: 0 or 1, or 2 for a control character (U+0080 to U+009F), which
 * terminals obey as they do an escape sequence.
 */
static size_t escaped_bytes(const char *text)
{
	if ((unsigned char)text[0] == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80)
		return 2;
	return must_escape(*text);
}

static size_t escaped_length(const char *text)
{
	size_t length = 0;

	while (*text) {
		size_t bytes = escaped_bytes(text);

		length += bytes ? 4 * bytes : 1;
		text += bytes ?: 1;
	}
	return length;
}

void table_write_escaped(const char *text, FILE *out)
{
	while (*text) {
		size_t bytes = escaped_bytes(text);

		if (bytes == 0)
			putc_unlocked(*text++, out);
		for (; bytes > 0; bytes--)
			fprintf(out, "\\%03o", (unsigned char)*text++);
	}
}

static void write_column(const char *text, size_t width, FILE *out)
{
	size_t length = escaped_length(text);

	table_write_escaped(text, out);
	do
		putc_unlocked(' ', out);
	while (length++ < width);
}

struct widths {
	size_t name;
	size_t image;
};

static struct widths measure(const struct tree *tree)
{
	struct widths widths = { 0 };

	for (size_t i = 0; i < tree_image_count(tree); i++)
		widths.image = max_u64(widths.image, escaped_length(tree_image_at(tree, i).name));
	for (size_t i = 0; i < tree_item_count(tree); i++) {
		struct tree_item item = tree_item_at(tree, i);

		if (item.kind == TREE_SLICE)
			widths.name = max_u64(widths.name, escaped_length(item.name));
	}
	widths.image = min_u64(widths.image, COLUMN_WIDTH_MAX);
	widths.name = min_u64(widths.name, COLUMN_WIDTH_MAX);
	return widths;
}

static void write_image(const struct tree_image *image, const struct widths *widths, FILE *out)
{
	char size[SIZE_TEXT_MAX];

	fputs("image   ", out);
	write_column(image->name, widths->image, out);
	if (image_is_memory(image->image))
		fputs("memory", out);
	else
		table_write_escaped(image->path, out);
	fputs(image->access == IMAGE_ACCESS_RW ? " rw" : " ro", out);
	if (image_is_memory(image->image))
		fprintf(out, ",size=%s", size_format(image->memory_size, size));
	policy_write(image->policy, out);
	putc('\n', out);
}

static void write_extent(const struct tree *tree, const struct extent *extent,
			 const struct widths *widths, FILE *out)
{
	char offset[SIZE_TEXT_MAX];
	char length[SIZE_TEXT_MAX] = "-";
	const char *image = "-";

	if (extent->image)
		image = tree_image_at(tree, tree_image_index(tree, extent->image)).name;
	if (extent->length != EXTENT_TAIL)
		size_format(extent->length, length);
	write_column(image, widths->image, out);
	fprintf(out, "%11s %11s", size_format(extent->offset, offset), length);
}

/* "mtime=-1.5": the fraction of a time before 1970 counts backwards, too. */
static void write_time(struct timespec time, FILE *out)
{
	bool negative = time.tv_sec < 0;
	uint64_t seconds = negative ? -(uint64_t)time.tv_sec : (uint64_t)time.tv_sec;
	long nanoseconds = time.tv_nsec;

	if (negative && nanoseconds > 0) {
		seconds--;
		nanoseconds = NSEC_PER_SEC - nanoseconds;
	}
	fprintf(out, "mtime=%s%" PRIu64, negative ? "-" : "", seconds);
	if (nanoseconds > 0)
		fprintf(out, ".%09ld", nanoseconds);
}

/* What the table gave itself: before comes before the first, and commas before the others. */
static void write_owner(const struct tree_item *item, char before, FILE *out)
{
	if (item->has_mode) {
		fprintf(out, "%cmode=%04o", before, (unsigned)item->slice->mode);
		before = ',';
	}
	if (item->has_uid) {
		fprintf(out, "%cuid=%u", before, (unsigned)item->slice->uid);
		before = ',';
	}
	if (item->has_gid) {
		fprintf(out, "%cgid=%u", before, (unsigned)item->slice->gid);
		before = ',';
	}
	if (item->has_mtime) {
		putc(before, out);
		write_time(item->mtime, out);
	}
}

static void write_slice(const struct tree *tree, const struct tree_item *item,
			const struct widths *widths, FILE *out)
{
	const struct slice *slice = item->slice;

	fputs("slice   ", out);
	write_column(item->name, widths->name, out);
	write_extent(tree, &slice->extents[0], widths, out);
	fputs(slice->writable ? " rw" : " ro", out);
	if (slice->resize)
		fputs(",resize", out);
	policy_write(slice->policy, out);
	write_owner(item, ',', out);
	for (const char *at = item->attributes; at && *at; at += strlen(at) + 1) {
		putc(' ', out);
		table_write_escaped(at, out);
	}
	fputs(item->outside ? "  # reaches outside of its image\n" : "\n", out);
	for (uint32_t i = 1; i < slice->extent_count; i++) {
		fprintf(out, "extent  %*s", (int)widths->name + 1, "");
		write_extent(tree, &slice->extents[i], widths, out);
		putc('\n', out);
	}
}

static void write_other(const struct tree_item *item, FILE *out)
{
	fprintf(out, "%s ", kind_words[item->kind]);
	table_write_escaped(item->name, out);
	if (item->target) {
		putc(' ', out);
		table_write_escaped(item->target, out);
	}
	if (item->kind != TREE_LINK)
		write_owner(item, ' ', out);
	putc('\n', out);
}

int table_write(const struct tree *tree, FILE *out)
{
	struct widths widths = measure(tree);

	for (size_t i = 0; i < tree_image_count(tree); i++) {
		struct tree_image image = tree_image_at(tree, i);

		write_image(&image, &widths, out);
	}
	for (size_t i = 0; i < tree_item_count(tree); i++) {
		struct tree_item item = tree_item_at(tree, i);

		if (item.kind == TREE_SLICE)
			write_slice(tree, &item, &widths, out);
		else
			write_other(&item, out);
	}
	return ferror(out) ? -EIO : 0;
}
